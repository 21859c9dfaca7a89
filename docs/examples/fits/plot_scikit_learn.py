"""
Side by side with scikit-learn
==============================

From one `random_state` both classes start alike, and with `reg_covar=0` they take the same path.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.mixture import GaussianMixture as Theirs

from em_toolkit import GaussianMixture, VarianceFloorWarning
from em_toolkit.datasets import load_faithful

X = load_faithful().data
settings = {"n_components": 3, "random_state": 0, "tol": 1e-6, "max_iter": 500}
ours, theirs = (kind(**settings, reg_covar=0.0).fit(X) for kind in (GaussianMixture, Theirs))
print(f"iterations: {ours.n_iter_} and {theirs.n_iter_}")
print(f"largest difference of the means: {np.abs(ours.means_ - theirs.means_).max():.0e}")

# %%
# `reg_covar` is where they part. scikit-learn adds it to every covariance after the M-step, which
# maximizes no objective: its likelihood can fall. Here it is the least variance in any direction,
# and the M-step maximizes the likelihood under this constraint. The two fits below have no variance
# under 0.1, on data of variance one. (The axes of the two pictures differ: at its end the fit on
# the left is more likely than any on the right.)

Z = (X - X.mean(axis=0)) / X.std(axis=0)
with warnings.catch_warnings():
    # Components lie on the floor, as is intended here.
    warnings.simplefilter("ignore", VarianceFloorWarning)
    ours, theirs = (kind(**settings, reg_covar=0.1).fit(Z) for kind in (GaussianMixture, Theirs))
for name, fit in {"em_toolkit": ours, "scikit-learn": theirs}.items():
    falls = (np.diff(fit.lower_bounds_) < -1e-9).sum()
    print(f"{name}: {fit.score(Z):.3f} nats per sample at the end; it fell {falls} times")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
axes[0].plot(range(1, ours.n_iter_ + 1), ours.lower_bounds_)
axes[0].set(title="em_toolkit", ylabel="log-likelihood per sample (nats)")
axes[1].plot(range(theirs.n_iter_), theirs.lower_bounds_, "C1")
axes[1].set(title="scikit-learn")
for ax in axes:
    ax.set_xlabel("iterations before these parameters")
