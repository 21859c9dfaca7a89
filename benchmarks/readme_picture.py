"""The picture of the README: ``python -m benchmarks.readme_picture`` writes it beside this file."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_faithful
from em_toolkit.displays import ELBODisplay, MixtureDisplay

PICTURE = Path(__file__).with_name("faithful.png")


def main() -> None:
    eruptions = load_faithful()
    mixture = GaussianMixture(
        2, covariance_type="tied", init_params="k-means++", tol=1e-4, random_state=0
    ).fit(eruptions.data)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained")
    MixtureDisplay.from_estimator(mixture, eruptions.data, ax=left)
    left.set(xlabel="eruption (minutes)", ylabel="waiting time (minutes)")
    left.set_title("272 eruptions of Old Faithful, two components")
    ELBODisplay.from_estimator(mixture, ax=right)
    right.set_title("what EM did to the bound")
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
