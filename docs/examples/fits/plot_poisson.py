"""
Counts
======

Visits to two pages of 300 people, a hundred of whom are of a second kind, drawn at random.
A Poisson mixture finds the kinds and their rates.
"""

import numpy as np

from em_toolkit import MixtureDisplay, PoissonMixture

rng = np.random.default_rng(0)
visits = np.vstack([rng.poisson([2.0, 9.0], (200, 2)), rng.poisson([8.0, 3.0], (100, 2))])
fit = PoissonMixture(2, random_state=0, tol=1e-8).fit(visits)
print("weights", fit.weights_.round(2))
print("rates", *fit.rates_.round(1), sep="\n")
MixtureDisplay.from_estimator(fit, visits)

# %%
# BIC (the lower, the better) of one to four kinds.

for n_components in range(1, 5):
    other = PoissonMixture(n_components, random_state=0, n_init=3).fit(visits)
    print(n_components, round(other.bic(visits), 1))
