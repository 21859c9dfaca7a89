"""
Online EM in ten lines
======================

A stream of blocks, each seen once: the running statistics are a weighted mean of the old ones and
of those of the block, and the M-step follows at once (Cappé & Moulines 2009). Statistics are a
vector space, and `about` moves them to the origin of the next block.
"""

import matplotlib.pyplot as plt
import numpy as np

from em_toolkit import GaussianMixture, Rows, check_model
from em_toolkit.covariances import FullCovariances
from em_toolkit.families import Gaussian, GaussianComponents
from em_toolkit.models import Mixture, MixtureParameters

rng = np.random.default_rng(0)
X = np.vstack([rng.normal(-2.0, 1.0, (4000, 2)), rng.normal(2.0, 1.5, (6000, 2))])
X = rng.permutation(X)

model, running, bounds = Mixture(Gaussian()), None, []
params = MixtureParameters(
    np.array([0.5, 0.5]),
    GaussianComponents(
        np.array([[-1.0, 0.0], [1.0, 0.0]]), FullCovariances(np.array([np.eye(2)] * 2))
    ),
)
for check, outcome in check_model(model, params, X[:50]).items():
    print(f"{check}: {outcome}")

# %%
# One pass, a hundred rows at a time.

for step, block in enumerate(Rows(X, block_size=100)):
    found = model.expectation(params, *block)
    stats = found.statistics * (1.0 / found.weight)
    if running is not None:
        rate = (step + 2.0) ** -0.6
        stats = (1.0 - rate) * model.about(params, running) + rate * stats
    running, params = stats, model.maximize(params, len(X) * stats)
    bounds.append(model.expectation(params, X, np.ones(len(X))).log_evidence / len(X))

# %%
# After one pass over the data the bound is close to the one that EM reaches with many.

batch = GaussianMixture(2, random_state=0, tol=1e-6, max_iter=500).fit(X)
print(f"online, one pass: {bounds[-1]:.4f}; EM, {batch.n_passes_} passes: {batch.lower_bound_:.4f}")

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(np.arange(1, len(bounds) + 1) * 100, bounds, label="online EM")
ax.axhline(batch.lower_bound_, color="0.5", linestyle="--", label="EM")
ax.set(xlabel="rows seen", ylabel="log evidence (nats per sample)", ylim=(bounds[2], None))
ax.legend(frameon=False)
