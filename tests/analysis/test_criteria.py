"""What ICL charges on top of BIC: −2 Σ log max_k p(k | x), and not the entropy of the labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_faithful

X = load_faithful().data


def test_the_charge_is_that_of_the_most_probable_labels() -> None:
    start = {"init_params": "hierarchical", "reg_covar": 0.0, "tol": 1e-9, "max_iter": 5000}
    fit = GaussianMixture(3, covariance_type="EEE", **start).fit(X)
    terms = [
        np.log(weight) + multivariate_normal(mean, fit.covariances_).logpdf(X)
        for weight, mean in zip(fit.weights_, fit.means_, strict=True)
    ]
    logs = np.array(terms) - logsumexp(terms, axis=0)
    of_labels = -2.0 * logs.max(axis=0).sum()
    twice_the_entropy = -2.0 * (np.exp(logs) * logs).sum()
    assert fit.icl(X) - fit.bic(X) == pytest.approx(of_labels, rel=1e-9)
    # A log probability is on average no larger than that of the most probable label.
    assert of_labels < twice_the_entropy
