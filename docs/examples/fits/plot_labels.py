"""
Labels that are known for some rows
===================================

The species of 15 of 150 flowers are given. They fix the posterior of these rows, and so say which
component is which species; the other 135 rows are labelled by the fit.
"""

import numpy as np
from sklearn.datasets import load_iris

from em_toolkit import GaussianMixture, MixtureDisplay

iris = load_iris(as_frame=True)
known = np.where(np.arange(150) % 10 == 0, iris.target, -1)
fit = GaussianMixture(3, random_state=0).fit(iris.data, sample_labels=known)

unknown = known == -1
right = (fit.predict(iris.data) == iris.target)[unknown]
print(f"{right.sum()} of {unknown.sum()} flowers without a label are of the species predicted")
MixtureDisplay.from_estimator(fit, iris.data, features=[2, 3])
