"""
How exactly the means are known
===============================

Standard errors follow from the observed information, with no bootstrap and no differences.
"""

import matplotlib.pyplot as plt

from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_faithful

data = load_faithful(as_frame=True).data
gm = GaussianMixture(2, tol=1e-8, stopping="distance", random_state=0).fit(data)
table = gm.inference(data).to_frame(level=0.95)
print(table.round(3))

waiting = table[table.index.str.startswith("means") & table.index.str.contains("waiting")]
figure, ax = plt.subplots(figsize=(7, 2), layout="constrained")
for row, (_, values) in enumerate(waiting.iterrows()):
    ax.plot(values.iloc[2:4], [row, row], "-", color="C0", linewidth=4, alpha=0.6)
    ax.plot(values.iloc[0], row, "o", color="C0")
ax.set(yticks=range(len(waiting)), yticklabels=waiting.index, ylim=(-0.7, 1.7))
ax.set_xlabel("waiting time (minutes), and its interval of 95 %")
