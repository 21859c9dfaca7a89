"""The models of `em-toolkit fit`: what each one checks, prints, writes and draws."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.table import Table as Grid

from em_toolkit import PPCA, GaussianMixture, PoissonMixture
from em_toolkit.cli import pictures
from em_toolkit.cli.columns import Numbers
from em_toolkit.cli.messages import InputError
from em_toolkit.cli.reading import Table
from em_toolkit.estimators.mixture import NOISE
from em_toolkit.families import STRUCTURES
from em_toolkit.statistics import Array

_MOST_FEATURES_PRINTED = 20


# Of the smallest variance of a column: the least variance of a component in any direction.
_SHARE_OF_VARIANCE = 1e-6


class Model(ABC):
    """The command line's side of one kind of model; a subclass for each."""

    estimator: ClassVar[type[Any]]
    attributes: ClassVar[tuple[str, ...]]
    beside: ClassVar[str]
    takes_missing: ClassVar[bool] = False

    def check(self, table: Table, numbers: Numbers) -> list[str]:
        """Return notes on the data; raise InputError if this model is not for them.

        Parameters
        ----------
        table : Table
            For the places of cells in the message.
        numbers : Numbers
        """
        return []

    def defaults(self, X: Array) -> dict[str, Any]:
        """Return the settings that follow from the data, where none are given."""
        return {}

    def parameters(self, fitted: Any) -> dict[str, Any]:
        """Return the fitted parameters by name."""
        return {name.rstrip("_"): getattr(fitted, name) for name in self.attributes}

    @abstractmethod
    def criteria(self, fitted: Any, X: Array) -> dict[str, float]:
        """Return the total log-likelihood in nats, and the information criteria that the model has.

        Parameters
        ----------
        fitted : estimator
        X : ndarray of shape (n_rows, n_features)

        Returns
        -------
        criteria : dict of str to float
        """

    @abstractmethod
    def columns(self, fitted: Any, X: Array) -> dict[str, Array]:
        """Return the columns that are written beside the data, by name.

        Parameters
        ----------
        fitted : estimator
        X : ndarray of shape (n_rows, n_features)

        Returns
        -------
        columns : dict of str to ndarray of shape (n_rows,)
        """

    @abstractmethod
    def summary(self, fitted: Any, numbers: Numbers) -> list[tuple[str, list[str]]]:
        """Return the rows of the components' table.

        Parameters
        ----------
        fitted : estimator
        numbers : Numbers

        Returns
        -------
        rows : list of (str, list of str)
            The name of each row, and an entry for each component.
        """

    def notes(self, fitted: Any, numbers: Numbers) -> list[str]:
        """Return remarks for a person, besides the table of the components.

        Parameters
        ----------
        fitted : estimator
        numbers : Numbers
        """
        return []

    @abstractmethod
    def draw(self, fitted: Any, numbers: Numbers) -> Figure:
        """Return a picture of the data and the components.

        Parameters
        ----------
        fitted : estimator
        numbers : Numbers
        """


class _MixtureModel(Model):
    beside = "labels and responsibilities"

    def criteria(self, fitted: Any, X: Array) -> dict[str, float]:
        return {
            "log_likelihood": float(fitted.score_samples(X).sum()),
            "bic": fitted.bic(X),
            "aic": fitted.aic(X),
        }

    def columns(self, fitted: Any, X: Array) -> dict[str, Array]:
        responsibilities = fitted.predict_proba(X).T
        # Beyond the components there is noise.
        names = [*range(len(fitted.weights_)), "noise"][: len(responsibilities)]
        named = {f"responsibility_{k}": r for k, r in zip(names, responsibilities, strict=True)}
        return {"label": fitted.predict(X)} | named

    def _weights(self, fitted: Any, X: Array) -> list[tuple[str, list[str]]]:
        labels = fitted.predict(X)
        counts = [int((labels == k).sum()) for k in range(len(fitted.weights_))]
        return [
            ("weight", [f"{weight:.3f}" for weight in fitted.weights_]),
            ("rows with this label", [str(count) for count in counts]),
        ]


class _Gaussian(_MixtureModel):
    estimator = GaussianMixture
    attributes = ("weights_", "means_", "covariances_")
    takes_missing = True

    def defaults(self, X: Array) -> dict[str, Any]:
        with np.errstate(over="ignore"):
            variances = np.nanvar(X, axis=0)
        positive = variances[(variances > 0.0) & np.isfinite(variances)]
        # A table's units are anybody's guess: the library's 1e-6 may be more than the data vary.
        return {"reg_covar": _SHARE_OF_VARIANCE * float(positive.min())} if positive.size else {}

    def summary(self, fitted: Any, numbers: Numbers) -> list[tuple[str, list[str]]]:
        shape = fitted.means_.shape
        structure = STRUCTURES[fitted.covariance_type]
        stds = np.sqrt(structure.from_sklearn_array(fitted.covariances_, *shape).variances)
        features = [
            (name, [_measured(*pair) for pair in zip(means, deviations, strict=True)])
            for name, means, deviations in zip(numbers.names, fitted.means_.T, stds.T, strict=True)
        ]
        return self._weights(fitted, numbers.X) + features

    def parameters(self, fitted: Any) -> dict[str, Any]:
        if fitted.noise_box_ is None:
            return super().parameters(fitted)
        noise = {"noise_weight": fitted.noise_weight_, "noise_volume": fitted.noise_volume_}
        return super().parameters(fitted) | noise

    def notes(self, fitted: Any, numbers: Numbers) -> list[str]:
        if fitted.noise_box_ is None:
            return []
        n_rows = int((fitted.predict(numbers.X) == NOISE).sum())
        return [f"noise: weight {fitted.noise_weight_:.3f}; {n_rows} rows have the label {NOISE}"]

    def draw(self, fitted: Any, numbers: Numbers) -> Figure:
        return pictures.mixture(fitted, fitted.means_, numbers.X, numbers.names)


class _Poisson(_MixtureModel):
    estimator = PoissonMixture
    attributes = ("weights_", "rates_")

    def check(self, table: Table, numbers: Numbers) -> list[str]:
        for name, values in zip(numbers.names, numbers.X.T, strict=True):
            for strange, kind in (
                (values < 0.0, "negative"),
                (values % 1.0 != 0.0, "no whole number"),
            ):
                if strange.any():
                    row = int(np.flatnonzero(strange)[0])
                    raise InputError(
                        f"{table.where(row, name)}: {values[row]:g} is {kind}, and a Poisson "
                        "mixture is for counts; choose columns with --columns"
                    )
        return []

    def summary(self, fitted: Any, numbers: Numbers) -> list[tuple[str, list[str]]]:
        features = [
            (f"rate of {name}", [f"{rate:.4g}" for rate in rates])
            for name, rates in zip(numbers.names, fitted.rates_.T, strict=True)
        ]
        return self._weights(fitted, numbers.X) + features

    def draw(self, fitted: Any, numbers: Numbers) -> Figure:
        return pictures.mixture(fitted, fitted.rates_, numbers.X, numbers.names)


class _PPCA(Model):
    estimator = PPCA
    beside = "latent coordinates"
    attributes = (
        "mean_",
        "components_",
        "loadings_",
        "explained_variance_",
        "explained_variance_ratio_",
        "noise_variance_",
    )

    def criteria(self, fitted: Any, X: Array) -> dict[str, float]:
        return {"log_likelihood": fitted.score(X) * len(X)}

    def columns(self, fitted: Any, X: Array) -> dict[str, Array]:
        return {f"latent_{k}": values for k, values in enumerate(fitted.transform(X).T)}

    def summary(self, fitted: Any, numbers: Numbers) -> list[tuple[str, list[str]]]:
        ratios = fitted.explained_variance_ratio_
        head = [
            ("variance along it", [f"{v:.4g}" for v in fitted.explained_variance_]),
            ("share of all variance", [f"{ratio:.1%}" for ratio in ratios]),
        ]
        features = [
            (f"direction: {name}", [f"{entry:+.3f}" for entry in entries])
            for name, entries in zip(numbers.names, fitted.components_.T, strict=True)
        ]
        return head + features

    def draw(self, fitted: Any, numbers: Numbers) -> Figure:
        return pictures.ppca(fitted, numbers.X, numbers.names)


MODELS: dict[str, Model] = {
    "gaussian-mixture": _Gaussian(),
    "poisson-mixture": _Poisson(),
    "ppca": _PPCA(),
}


def component_tables(rows: Sequence[tuple[str, list[str]]], width: int) -> list[Grid]:
    """Return the components' table for a screen, in several parts where it is too narrow for all.

    Parameters
    ----------
    rows : sequence of (name, entries)
        An entry for each component.
    width : int
        Of the screen, in characters.
    """
    hidden = len(rows) - _MOST_FEATURES_PRINTED - 2
    if hidden > 0:
        rows = rows[: _MOST_FEATURES_PRINTED + 2]
    names = [name if len(name) <= 30 else name[:29] + "…" for name, _ in rows]
    widest = max(len(entry) for _, entries in rows for entry in entries)
    each = max(widest, len("component 10")) + 3
    n_components = len(rows[0][1])
    at_once = max(1, (width - max(map(len, names))) // each)
    grids = []
    for first in range(0, n_components, at_once):
        part = slice(first, first + at_once)
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        grid.add_column("", no_wrap=True)
        for k in range(n_components)[part]:
            grid.add_column(f"component {k}", justify="right", no_wrap=True)
        for i, (name, (_, entries)) in enumerate(zip(names, rows, strict=True)):
            grid.add_row(name, *entries[part], end_section=i == 1)
        if hidden > 0:
            grid.add_row(f"… and {hidden} more")
        grids.append(grid)
    return grids


def _measured(mean: float, std: float) -> str:
    """Mean ± standard deviation, with the digits that the deviation leaves meaningful."""
    if not std > 0.0:
        return f"{mean:.6g} ± 0"
    digits = 1 - math.floor(math.log10(std))
    if digits > 6 or max(abs(mean), std) >= 1e7:
        # As many as the deviation leaves meaningful, and as there are.
        before = math.floor(math.log10(abs(mean))) + 1 if mean else 0
        return f"{mean:.{min(max(before + digits, 5), 15)}g} ± {std:.2g}"
    return f"{mean:.{max(digits, 0)}f} ± {std:.{max(digits, 0)}f}"
