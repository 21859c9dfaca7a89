"""
Outliers as a component of their own
====================================

With `noise=True` rows that fit nowhere go to a component of constant density, and do not pull at
the others.
"""

import numpy as np

from em_toolkit import GaussianMixture, MixtureDisplay
from em_toolkit.datasets import load_faithful

rng = np.random.default_rng(0)
X = np.vstack([load_faithful().data, rng.uniform([0, 20], [7, 120], (40, 2))])
noisy = GaussianMixture(2, noise=True, random_state=0).fit(X)
print(f"{(noisy.predict(X) == -1).sum()} of {len(X)} rows are noise")
MixtureDisplay.from_estimator(noisy, X)
