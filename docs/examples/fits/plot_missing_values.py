"""
A table with holes
==================

On 37 of 153 days nobody measured the ozone over New York. The mixture is fitted to what was
observed, and says what is to be expected of the rest, and how well it is known.
"""

import matplotlib.pyplot as plt
import numpy as np

from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_airquality

air = load_airquality(as_frame=True).data
gm = GaussianMixture(2, random_state=0).fit(air)
filled = gm.impute(air)
draws = np.stack([gm.sample_missing(air, random_state=seed)["ozone"] for seed in range(50)])
low, high = np.percentile(draws, [5, 95], axis=0)

missing = air["ozone"].isna().to_numpy()
days = np.arange(len(air))
figure, ax = plt.subplots(figsize=(9, 3.5), layout="constrained")
ax.plot(days[~missing], air["ozone"][~missing], "o", color="0.5", markersize=4, label="observed")
center = filled["ozone"][missing]
errors = [np.maximum(center - low[missing], 0), np.maximum(high[missing] - center, 0)]
ax.errorbar(days[missing], center, errors, fmt="o", markersize=4, label="expected, 5 % to 95 %")
ax.set(xlabel="day", ylabel="ozone (ppb)")
ax.legend(frameon=False)
