"""
The bound, half-step by half-step
=================================

Each E-step closes the gap between the bound and the log evidence; each M-step raises both, and
opens the gap again. The ledger of the fit has every half-step, and the display draws it.
"""

from em_toolkit import ELBODisplay, GaussianMixture
from em_toolkit.datasets import load_faithful

X = load_faithful().data
gm = GaussianMixture(2, covariance_type="tied", init_params="k-means++", random_state=0).fit(X)
print(gm.trace_)
ELBODisplay.from_estimator(gm)
