"""
Two components on Old Faithful
==============================

The eruptions of a geyser fall into two groups: short ones, after which the next comes soon, and
long ones.
"""

from em_toolkit import GaussianMixture, MixtureDisplay
from em_toolkit.datasets import load_faithful

data = load_faithful(as_frame=True).data
gm = GaussianMixture(2, random_state=0).fit(data)
MixtureDisplay.from_estimator(gm, data)
