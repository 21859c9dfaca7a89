"""Pictures of the README: ``python -m benchmarks.readme_picture`` writes them beside this file."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.utils import Bunch

from em_toolkit import GaussianMixture, ModelSelectionDisplay, select_mixture
from em_toolkit.datasets import load_faithful
from em_toolkit.displays import ELBODisplay, MixtureDisplay

FIT = Path(__file__).with_name("faithful.png")
SELECTION = Path(__file__).with_name("selection.png")


def main() -> None:
    eruptions = load_faithful()
    draw_fit(eruptions)
    draw_selection(eruptions)


def draw_fit(eruptions: Bunch) -> None:
    mixture = GaussianMixture(
        2, covariance_type="tied", init_params="k-means++", tol=1e-4, random_state=0
    ).fit(eruptions.data)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained")
    MixtureDisplay.from_estimator(mixture, eruptions.data, ax=left)
    left.set(xlabel="eruption (minutes)", ylabel="waiting time (minutes)")
    left.set_title("272 eruptions of Old Faithful, two components")
    ELBODisplay.from_estimator(mixture, ax=right)
    right.set_title("what EM did to the bound")
    figure.savefig(FIT, dpi=100)


def draw_selection(eruptions: Bunch) -> None:
    figure, ax = plt.subplots(figsize=(8.0, 5.0), layout="constrained")
    ModelSelectionDisplay.from_selection(select_mixture(eruptions.data), ax=ax, legend=True)
    figure.savefig(SELECTION, dpi=100)


if __name__ == "__main__":
    main()
