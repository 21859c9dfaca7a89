"""Questions to a fitted model, as functions of the model, its parameters and data."""
