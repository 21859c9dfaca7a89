"""
How many components, of which shape
===================================

Every number of components with each covariance structure, compared by BIC. Fits that fail are kept,
with their reason.
"""

from em_toolkit import ModelSelectionDisplay, select_mixture
from em_toolkit.datasets import load_faithful

X = load_faithful().data
selection = select_mixture(X, range(1, 6), random_state=0)
print(selection)
ModelSelectionDisplay.from_selection(selection)
