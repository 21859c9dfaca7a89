"""
The dimension of data
=====================

Probabilistic PCA is a density, so that dimensions can be compared by the likelihood of rows that
the fit has not seen. These rows have twenty features, and vary along five directions and by noise.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from em_toolkit import PPCA, ELBODisplay

rng = np.random.default_rng(0)
loadings = rng.normal(size=(5, 20))
train, test = (rng.normal(size=(n, 5)) @ loadings + rng.normal(size=(n, 20)) for n in (200, 1000))
dimensions = range(1, 16)
scores = [PPCA(q).fit(train).score(test) for q in dimensions]
print("best on new rows:", dimensions[int(np.argmax(scores))])
print("Minka's choice:", PPCA("mle").fit(train).n_components_)

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(dimensions, scores, "o-")
ax.set(xlabel="latent dimension", ylabel="held-out log-likelihood per sample (nats)")

# %%
# Two dimensions make a map, here of digits of 64 pixels.

X, digit = load_digits(return_X_y=True)
plane = PPCA(2).fit(X)
latent = plane.transform(X)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
points = ax.scatter(*latent.T, c=digit, cmap="tab10", vmin=-0.5, vmax=9.5, s=6)
ax.set(xlabel="first latent variable", ylabel="second latent variable")
figure.colorbar(points, ax=ax, label="digit", ticks=range(10))

# %%
# The maximum is known in closed form. EM climbs to it, and shows its bound on the way.

by_em = PPCA(2, solver="em", random_state=0).fit(X)
print(f"closed form: {plane.lower_bound_:.5f}")
print(f"EM:          {by_em.lower_bound_:.5f}, in {by_em.n_iter_} iterations")
ELBODisplay.from_estimator(by_em)
