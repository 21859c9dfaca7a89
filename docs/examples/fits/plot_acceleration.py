"""
Slow convergence, and a way out
===============================

Where components overlap, EM creeps: here it takes hundreds of passes over the data. An accelerator
extrapolates its steps, and takes back each that would lower the bound.
"""

import numpy as np

from em_toolkit import ELBODisplay, GaussianMixture

X = np.random.default_rng(0).normal(size=(3000, 2)) * [1.0, 2.0]
slow = {"n_components": 3, "random_state": 0, "tol": 1e-7, "max_iter": 5000}
plain = GaussianMixture(**slow).fit(X)
fast = GaussianMixture(**slow, acceleration="quasi_newton").fit(X)
print(f"passes over the data: {plain.n_passes_} and {fast.n_passes_}")
ELBODisplay.from_estimators({"plain EM": plain, "quasi-Newton": fast}, scale="log")
