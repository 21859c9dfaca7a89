"""Linear algebra that keeps the digits: spectral decompositions and principal axes."""
