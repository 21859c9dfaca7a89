"""Standard errors and confidence intervals of a fitted mixture."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from em_toolkit.analysis.coordinates import Estimand
from em_toolkit.analysis.information import ObservedInformation, observed_information
from em_toolkit.data import Block, Rows
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.notebook import html_table
from em_toolkit.statistics import Array, IntArray

if TYPE_CHECKING:
    import pandas as pd

# In standard errors: farther from the maximum, these are not those of the estimates.
_NEAR = 0.1
# Rows whose scores are held at a time.
_BLOCK = 1024


@dataclass(frozen=True, eq=False, repr=False)
class Inference:
    """Standard errors and confidence intervals of all parameters of a fitted mixture.

    Standard errors are those of maximum likelihood (or of the maximum of the posterior, if there is
    a prior), from the observed information. They hold for many rows from a mixture of this form,
    whose components are well apart; the order of the components is taken as known.

    Parameters
    ----------
    information : ObservedInformation
    feature_names : sequence of str
    notes : tuple of str
        What is held on the floor of `reg_covar`: a variance there has no standard error.

    Attributes
    ----------
    missing_fraction : float
        The largest fraction of information that is missing, because components and entries are
        not observed. It is the rate of convergence of EM at the maximum (compare
        ``trace_.rate``).
    distance : float
        The predicted distance to the maximum, in standard errors.
    """

    information: ObservedInformation
    feature_names: Sequence[str]
    notes: tuple[str, ...] = ()

    @property
    def missing_fraction(self) -> float:
        return self.information.missing_fraction

    @property
    def distance(self) -> float:
        return self.information.distance

    @property
    def _by_name(self) -> dict[str, Estimand]:
        return {item.name: item for item in self.information.estimands}

    @property
    def standard_errors(self) -> dict[str, Array]:
        """The standard errors of "weights", "means" and so on, in the fitted attributes' shapes.

        Zero for what is held fixed, and for the weight of a single component.
        """
        root = self.information.root
        return {
            name: np.linalg.norm(item.jacobian @ root, axis=1).reshape(item.values.shape)
            for name, item in self._by_name.items()
        }

    def covariance(self, name: str, other: str | None = None) -> Array:
        """Return the covariance of the estimates of two kinds of parameters, raveled.

        Parameters
        ----------
        name, other : str
            Such as "means"; the second is the first by default.

        Returns
        -------
        covariance : ndarray of shape (size of the one, size of the other)
        """
        items, root = self._by_name, self.information.root
        left, right = items[name].jacobian @ root, items[other or name].jacobian @ root
        return np.asarray(left @ right.T)

    def confidence_intervals(self, level: float = 0.95) -> dict[str, Array]:
        """Return intervals that contain the true values with a probability of about `level` each.

        Intervals of weights are symmetric in log odds, those of variances and rates in the
        logarithm, so that they stay within the possible values; the others are symmetric.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Returns
        -------
        intervals : dict of str to ndarray of shape (..., 2)
            Lower and upper ends along the last axis, after the fitted attribute's own axes.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level: expected a number between 0 and 1, got {level!r}.")
        z = float(norm.ppf(0.5 + 0.5 * level))
        errors = self.standard_errors
        return {name: _interval(item, errors[name], z) for name, item in self._by_name.items()}

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return a table with a row for each parameter, such as "means[0, petal_length]".

        Parameters
        ----------
        level : float
            The level of the intervals.

        Returns
        -------
        frame : DataFrame
            With the columns estimate, standard_error, lower and upper.
        """
        import pandas as pd

        errors, intervals = self.standard_errors, self.confidence_intervals(level)
        frames = []
        for name, item in self._by_name.items():
            index = list(np.ndindex(item.values.shape))
            if item.symmetric:
                index = [where for where in index if where[-2] <= where[-1]]
            columns = {
                "estimate": [item.values[where] for where in index],
                "standard_error": [errors[name][where] for where in index],
                "lower": [intervals[name][(*where, 0)] for where in index],
                "upper": [intervals[name][(*where, 1)] for where in index],
            }
            labels = [self._label(item, where) for where in index]
            frames.append(pd.DataFrame(columns, index=labels))
        return pd.concat(frames)

    def _label(self, item: Estimand, where: tuple[int, ...]) -> str:
        """Return the label of a parameter: components by number, features by name."""
        n_features = len(self.feature_names)
        n_axes = 2 if item.symmetric else int(item.values.ndim == 2)
        assert all(size == n_features for size in item.values.shape[item.values.ndim - n_axes :])
        split = len(where) - n_axes
        names = [str(k) for k in where[:split]] + [self.feature_names[j] for j in where[split:]]
        return f"{item.name}[{', '.join(names)}]"

    def __repr__(self) -> str:
        parts = [f"{name} {item.values.shape}" for name, item in self._by_name.items()]
        return (
            f"<Inference of {', '.join(parts)}: missing fraction of information "
            f"{self.missing_fraction:.3g}; to_frame() has estimates and standard errors>"
        )

    def _repr_html_(self) -> str | None:
        return html_table(self.to_frame, self._remark, float_format="{:.4g}".format)

    def __str__(self) -> str:
        return f"{self.to_frame().to_string(float_format='{:.4g}'.format)}\n{self._remark}"

    @property
    def _remark(self) -> str:
        missing = f"largest fraction of information that is missing: {self.missing_fraction:.3g}"
        return "\n".join([missing, *self.notes])


def _interval(item: Estimand, errors: Array, z: float) -> Array:
    values = item.values
    ends = np.stack([values - z * errors, values + z * errors], axis=-1)
    signs = np.array([-z, z])
    positive = item.positive
    relative = errors[positive] / values[positive]
    ends[positive] = values[positive][:, None] * np.exp(signs * relative[:, None])
    if item.name == "weights":
        inner = errors > 0.0
        share, error = values[inner], errors[inner]
        odds = share / (1.0 - share)
        steps = (error / (share * (1.0 - share)))[:, None]
        ends[inner] = 1.0 / (1.0 + np.exp(-signs * steps) / odds[:, None])
    return ends


def infer(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    X: Array,
    weights: Array | None,
    labels: IntArray | None,
    feature_names: Sequence[str],
    notes: tuple[str, ...] = (),
) -> Inference:
    """Return standard errors at fitted parameters.

    Parameters
    ----------
    mixture : Mixture
        With its priors, and what is held fixed.
    params : MixtureParameters
        The maximum of the likelihood, or of the posterior.
    X : ndarray of shape (n_rows, n_features)
        The rows that were fitted.
    weights : ndarray of shape (n_rows,) or None
        How many rows each stands for; one each if None.
    labels : ndarray of int of shape (n_rows,) or None
        The components of rows for which they are known, −1 for the others.
    feature_names : sequence of str
    notes : tuple of str
        What a reader should know of the parameters.

    Returns
    -------
    Inference

    Raises
    ------
    ValueError
        If the data do not determine the parameters.

    Warns
    -----
    ConvergenceWarning
        If the maximum is predicted to be more than a tenth of a standard error away.
    """

    def responsibilities(block: Block) -> Array:
        if block.known is None:
            return mixture.posterior(params, block.X)[0].responsibilities
        return mixture.posterior_given(params, block.X, block.known)[0].responsibilities

    blocks = ((block, responsibilities(block)) for block in Rows(X, weights, _BLOCK, labels))
    information = observed_information(mixture, params, blocks)
    found = Inference(information, feature_names, notes)
    if found.distance > _NEAR:
        warnings.warn(
            f"The maximum is predicted to be {found.distance:.2g} standard errors away from the "
            "parameters, whose standard errors are then not those of the estimates. Fit with a "
            "smaller tol (such as tol=1e-8, stopping='distance'), and take the rows of the fit.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return found
