"""
A mixture of PPCAs
==================

`ComponentsOf` makes any model a family: here each cluster is a probabilistic PCA with a dimension
of its own. The latent coordinates are part of the bound, and `check_model` holds the mixture to it.
"""

import matplotlib.pyplot as plt
import numpy as np

from em_toolkit import check_model, em
from em_toolkit.models import (
    ComponentsOf,
    Mixture,
    MixtureParameters,
    PPCAParameters,
    ProbabilisticPCA,
    Several,
)

rng = np.random.default_rng(0)
line = rng.normal(size=(200, 1)) @ [[3.0, 1.0, 0.0]]
plane = rng.normal(size=(300, 2)) @ [[0.0, 2.0, 1.0], [0.0, -1.0, 2.0]] + [6.0, 0.0, 0.0]
X = np.vstack([line, plane]) + 0.3 * rng.normal(size=(500, 3))

mixture = Mixture(ComponentsOf(ProbabilisticPCA()))
start = MixtureParameters(
    np.array([0.5, 0.5]),
    Several(
        (
            PPCAParameters(X[:200].mean(axis=0) + 0.5, rng.normal(size=(3, 1)), 1.0),
            PPCAParameters(X[200:].mean(axis=0) - 0.5, rng.normal(size=(3, 2)), 1.0),
        )
    ),
)
for check, outcome in check_model(mixture, start, X[::20]).items():
    print(f"{check}: {outcome}")

# %%
# One component spreads along a line, the other over a plane; the noise is the same.

fit = em(mixture, start, X, tol=1e-8, max_iter=1000)
for part in fit.params.components.parts:
    print(
        part.loadings.shape[1], "latent coordinates, noise variance", round(part.noise_variance, 3)
    )

labels = mixture.posterior(fit.params, X)[0].responsibilities.argmax(axis=1)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for ax, (a, b) in zip(axes, [(0, 1), (1, 2)], strict=True):
    ax.scatter(X[:, a], X[:, b], c=np.where(labels == 0, "C0", "C1"), s=8)
    ax.set(xlabel=f"feature {a}", ylabel=f"feature {b}")
