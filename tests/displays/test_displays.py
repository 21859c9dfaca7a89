"""The displays: what is drawn equals what was computed, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import matplotlib
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm, poisson
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from em_toolkit import GaussianMixture, PoissonMixture, Trace
from em_toolkit.datasets import load_airquality
from em_toolkit.displays import ELBODisplay, MixtureDisplay
from em_toolkit.displays.marginals import Moments, moments
from em_toolkit.displays.style import palette
from em_toolkit.parameters import Parameters

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

X = load_iris().data
STRUCTURES = ["full", "tied", "diag", "spherical"]


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    """Every test closes what it asked for; a display opens nothing else."""
    yield
    for number in plt.get_fignums():
        plt.close(number)


@pytest.fixture(scope="module")
def gm() -> GaussianMixture:
    return GaussianMixture(3, reg_covar=0.0, random_state=0).fit(X)


@pytest.fixture(scope="module")
def from_points() -> GaussianMixture:
    """A fit whose start lies some 10^5 nats below the rest."""
    return GaussianMixture(3, init_params="k-means++", random_state=0).fit(X)


def positions(trace: Trace) -> Any:
    return trace.iteration - 0.5 * (trace.half_step == "M")


def legend_of(display: Any) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def first_rows(trace: Trace, n_rows: int) -> Trace:
    columns = {item.name: getattr(trace, item.name) for item in fields(Trace)}
    columns = {n: c[:n_rows] if isinstance(c, np.ndarray) else c for n, c in columns.items()}
    return Trace(**columns)


# -- ELBODisplay: one fit -------------------------------------------------------------------------


def test_line_is_the_trace(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm)
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), positions(gm.trace_))
    np.testing.assert_array_equal(line.get_ydata(), gm.trace_.elbo)


def test_gaps_are_the_kl_of_the_trace(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm)
    assert display.gap_ is not None
    vertices = np.concatenate([path.vertices for path in display.gap_.get_paths()])
    trace = gm.trace_
    drawn = [np.ptp(vertices[vertices[:, 0] == x, 1]) for x in positions(trace)]
    np.testing.assert_allclose(drawn, trace.kl, atol=1e-13)
    assert max(drawn) > 1e-3


def test_evidence_line_ends_at_the_log_density_of_scipy(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm)
    assert display.evidence_line_ is not None
    log_joint = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
        for weight, mean, covariance in zip(gm.weights_, gm.means_, gm.covariances_, strict=True)
    ]
    evidence = logsumexp(log_joint, axis=0).mean()
    # The last M-step and the E-step after it have the same parameters.
    np.testing.assert_allclose(display.evidence_line_.get_ydata()[-2:], evidence, rtol=1e-12)


def test_legend_says_what_the_evidence_line_holds(gm: GaussianMixture) -> None:
    assert "log evidence" in legend_of(ELBODisplay.from_estimator(gm))
    penalized = GaussianMixture(3, prior="conjugate", random_state=0).fit(X)
    display = ELBODisplay.from_estimator(penalized, name="penalized")
    assert "log evidence + log prior" in legend_of(display)
    assert display.ax_.get_legend().get_title().get_text() == "penalized"
    trace = penalized.trace_
    assert display.evidence_line_ is not None
    np.testing.assert_allclose(
        display.evidence_line_.get_ydata(), trace.log_evidence + trace.log_prior, rtol=1e-12
    )


def test_half_steps_are_marked(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm)
    for line, half_step in zip(display.ax_.lines[2:], ("E", "M"), strict=True):
        rows = gm.trace_.half_step == half_step
        np.testing.assert_array_equal(line.get_xdata(), positions(gm.trace_)[rows])
        np.testing.assert_array_equal(line.get_ydata(), gm.trace_.elbo[rows])
    assert "ELBO after an M-step" in legend_of(display)


def test_start_far_below_is_cut_off_and_named(from_points: GaussianMixture) -> None:
    trace = from_points.trace_
    assert trace.elbo[0] < -1e5
    display = ELBODisplay.from_estimator(from_points)
    bottom, top = display.ax_.get_ylim()
    assert trace.elbo[0] < bottom < trace.elbo[1:].min()
    assert top > trace.elbo.max()
    assert np.nanmax(trace.kl) > (top - bottom) / 40.0
    assert "the start, at \N{MINUS SIGN}3.25e+05, is far below" in display.ax_.get_xlabel()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), trace.elbo)


def test_start_is_shown_where_gaps_can_be_seen(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm)
    assert display.ax_.get_ylim()[0] < gm.trace_.elbo[0]
    assert display.ax_.get_xlabel() == "iteration"


def test_flat_end_is_left_out_unless_asked_for() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0.0, 1.0, 300), rng.normal(6.0, 1.0, 300)])[:, None]
    start = {"means_init": [[2.0], [3.0]], "tol": 1e-14, "max_iter": 500}
    long = GaussianMixture(2, random_state=0, **start).fit(rows)
    assert long.n_iter_ > 10
    display = ELBODisplay.from_estimator(long)
    right = display.ax_.get_xlim()[1]
    assert right < long.n_iter_ / 2 + 1
    assert f"of {long.n_iter_}" in display.ax_.get_xlabel()
    bounds = long.trace_.bounds
    assert bounds[-1] - bounds[int(right)] < (bounds[-1] - bounds[0]) / 100.0
    whole = ELBODisplay.from_estimator(long, iterations=(0, None))
    assert whole.ax_.get_xlim()[1] > long.n_iter_


def test_iterations(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm, iterations=(2, 5))
    x = display.lines_[0].get_xdata()
    np.testing.assert_array_equal(x, [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), gm.trace_.elbo[4:11])


def test_log_scale_is_the_distance_to_the_end(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm, scale="log")
    distances = display.lines_[0].get_ydata()
    elbo = gm.trace_.elbo
    np.testing.assert_array_equal(distances[:-1], elbo[-1] - elbo[:-1])
    assert np.isnan(distances[-1])
    assert display.ax_.get_yscale() == "log"


def test_log_scale_shows_no_rounding(gm: GaussianMixture) -> None:
    elbo = gm.trace_.elbo.copy()
    elbo[-3] = np.nextafter(elbo[-1], -np.inf)
    display = ELBODisplay(traces={"at rest": replace(gm.trace_, elbo=elbo)}).plot(scale="log")
    (hidden,) = np.nonzero(np.isnan(display.lines_[0].get_ydata()))
    np.testing.assert_array_equal(hidden, [len(elbo) - 3, len(elbo) - 1])


def test_one_row_is_a_point() -> None:
    start = GaussianMixture(3, max_iter=0, random_state=0).fit(X)
    display = ELBODisplay.from_estimator(start)
    (line,) = display.lines_
    assert line.get_marker() == "o"
    assert line.get_ydata() == start.trace_.elbo
    assert display.gap_ is None
    with pytest.raises(ValueError, match="all bounds shown here are equal to it"):
        ELBODisplay.from_estimator(start, scale="log")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_trace_that_breaks_off_after_an_m_step(gm: GaussianMixture, scale: str) -> None:
    cut = first_rows(gm.trace_, 6)
    unknown = np.append(np.ones(5), np.nan)
    cut = replace(cut, log_evidence=cut.log_evidence * unknown, kl=cut.kl * unknown)
    display = ELBODisplay(traces={"cut": cut}).plot(scale=scale)
    assert display.evidence_line_ is not None
    assert display.lines_[0].get_xdata()[-1] == 2.5
    assert np.isnan(display.evidence_line_.get_ydata()[-1])
    display.figure_.canvas.draw()


def test_bound_that_is_no_number_is_left_out(gm: GaussianMixture) -> None:
    cut = first_rows(gm.trace_, 4)
    broken = replace(cut, elbo=np.append(cut.elbo[:3], np.nan))
    display = ELBODisplay(traces={"broken": broken}).plot()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), cut.elbo[:3])


# -- ELBODisplay: several fits --------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits(from_points: GaussianMixture) -> dict[str, GaussianMixture]:
    tied = GaussianMixture(3, covariance_type="tied", random_state=0).fit(X)
    return {"from points": from_points, "tied": tied}


def test_a_line_for_each_fit(fits: dict[str, GaussianMixture]) -> None:
    display = ELBODisplay.from_estimators(fits)
    assert legend_of(display) == list(fits)
    assert display.gap_ is None
    assert display.evidence_line_ is None
    for line, fit in zip(display.lines_, fits.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(fit.n_iter_ + 1))
        np.testing.assert_array_equal(line.get_ydata(), fit.trace_.elbo[fit.trace_.after_e_step])
    bottom, _ = display.ax_.get_ylim()
    assert fits["from points"].trace_.elbo[0] < bottom < fits["tied"].trace_.elbo[0]


def test_log_scale_refers_to_the_best_of_all(fits: dict[str, GaussianMixture]) -> None:
    display = ELBODisplay.from_estimators(fits, scale="log")
    best, other = fits["from points"].trace_.elbo[-1], fits["tied"].trace_
    assert best > other.elbo[-1]
    first, second = (line.get_ydata() for line in display.lines_)
    assert np.isnan(first[-1])
    np.testing.assert_array_equal(second, best - other.elbo[other.after_e_step])


def test_log_scale_with_a_fit_that_is_nowhere_below_the_best(gm: GaussianMixture) -> None:
    traces = {"EM": first_rows(gm.trace_, 9), "exact": first_rows(gm.trace_, 1)}
    exact = replace(traces["exact"], elbo=gm.trace_.elbo[-1:])
    display = ELBODisplay(traces=traces | {"exact": exact}).plot(scale="log")
    assert legend_of(display) == ["EM", "exact (the best)"]
    np.testing.assert_array_equal(
        display.lines_[0].get_ydata(), gm.trace_.elbo[-1] - gm.trace_.elbo[:9:2]
    )


def test_options_of_the_lines(gm: GaussianMixture) -> None:
    display = ELBODisplay.from_estimator(gm, line_kw={"linewidth": 7.0})
    assert display.lines_[0].get_linewidth() == 7.0


# -- ELBODisplay: what cannot be drawn ------------------------------------------------------------


def test_elbo_errors_name_the_remedy_and_open_no_figure(gm: GaussianMixture) -> None:
    peer = SklearnGaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(TypeError, match="keeps the ledger of its fit in trace_"):
        ELBODisplay.from_estimator(peer)
    with pytest.raises(NotFittedError):
        ELBODisplay.from_estimator(GaussianMixture(2))
    with pytest.raises(TypeError, match="expected a mapping of names"):
        ELBODisplay.from_estimators([gm])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"scale: expected one of \['linear', 'log'\], got 'lin'"):
        ELBODisplay.from_estimator(gm, scale="lin")
    with pytest.raises(ValueError, match="at least one fit"):
        ELBODisplay.from_estimators({})
    for iterations in [(-1, None), (3, 2), (gm.n_iter_ + 1, None)]:
        with pytest.raises(ValueError, match=r"iterations: expected \(first, last\)"):
            ELBODisplay.from_estimator(gm, iterations=iterations)
    assert plt.get_fignums() == []


# -- MixtureDisplay: two features -----------------------------------------------------------------


def full_covariances(gm: GaussianMixture) -> Any:
    """Covariance matrices from the public attribute, by scikit-learn's documented shapes."""
    n_components, n_features = gm.means_.shape
    return {
        "full": lambda values: values,
        "tied": lambda values: np.tile(values, (n_components, 1, 1)),
        "diag": lambda values: np.stack([np.diag(row) for row in values]),
        "spherical": lambda values: np.stack([v * np.eye(n_features) for v in values]),
    }[gm.covariance_type](gm.covariances_)


def ellipse_covariance(ellipse: Any, s: float) -> Any:
    """The matrix whose ellipse at s standard deviations this is."""
    angle = np.radians(ellipse.angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = np.diag([ellipse.width, ellipse.height]) / (2.0 * s)
    return rotation @ axes @ axes @ rotation.T


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("features", [(0, 1), (3, 1)])
def test_ellipses_are_the_marginal_covariances(
    covariance_type: str, features: tuple[int, int]
) -> None:
    gm = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(gm, X, features=features)
    for k, covariance in enumerate(full_covariances(gm)):
        expected = covariance[np.ix_(features, features)]
        for ellipse, s in zip(display.ellipses_[k], (1.0, 2.0), strict=True):
            np.testing.assert_allclose(
                ellipse_covariance(ellipse, s), expected, rtol=1e-9, atol=1e-12
            )
            np.testing.assert_array_equal(ellipse.center, gm.means_[k, list(features)])
            lengths = sorted([ellipse.height, ellipse.width])
            np.testing.assert_allclose(
                lengths, 2.0 * s * np.sqrt(np.linalg.svd(expected)[1][::-1]), rtol=1e-9
            )
        mark = display.lines_[k]
        np.testing.assert_array_equal(mark.get_xydata()[0], gm.means_[k, list(features)])


def test_ellipses_hold_their_share_of_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    mixing = np.array([[2.0, 0.3, 0.0], [0.0, 0.5, 0.0], [1.0, -1.0, 0.7]])
    rows = rng.normal(size=(40_000, 3)) @ mixing + [5.0, -3.0, 1.0]
    gm = GaussianMixture(1, reg_covar=0.0).fit(rows)
    display = MixtureDisplay.from_estimator(gm, rows, features=(0, 2))
    for ellipse, share in zip(display.ellipses_[0], (0.393469, 0.864665), strict=True):
        outline = ellipse.get_path().transformed(ellipse.get_patch_transform())
        inside = outline.contains_points(rows[:, [0, 2]]).mean()
        # Five standard deviations of the share among 40,000 draws.
        assert abs(inside - share) < 5.0 * np.sqrt(share * (1.0 - share) / 40_000)


def test_points_are_the_rows_in_mixed_colors(gm: GaussianMixture) -> None:
    display = MixtureDisplay.from_estimator(gm, X, features=(2, 0))
    assert display.points_ is not None
    np.testing.assert_array_equal(display.points_.get_offsets(), X[:, [2, 0]])
    mixed = sum(
        share[:, None] * color
        for share, color in zip(gm.predict_proba(X).T, palette(3), strict=True)
    )
    np.testing.assert_allclose(display.points_.get_facecolors()[:, :3], mixed, atol=1e-12)


def test_sample_weight_is_the_area_and_zero_leaves_out(gm: GaussianMixture) -> None:
    weights = np.linspace(0.0, 3.0, len(X))
    display = MixtureDisplay.from_estimator(gm, X, sample_weight=weights)
    assert display.points_ is not None
    np.testing.assert_array_equal(display.points_.get_offsets(), X[1:, :2])
    areas = display.points_.get_sizes()
    np.testing.assert_allclose(areas / areas[0], weights[1:] / weights[1], rtol=1e-12)


def test_component_of_weight_zero_has_no_ellipse() -> None:
    start = np.zeros((len(X), 3))
    start[:50, 0] = start[50:, 2] = 1.0
    gm = GaussianMixture(3, init_params=start, max_iter=5, tol=0.1).fit(X)
    assert gm.weights_[1] == 0.0
    display = MixtureDisplay.from_estimator(gm, X)
    assert [len(ellipses) for ellipses in display.ellipses_] == [2, 0, 2]
    display.figure_.canvas.draw()
    display = MixtureDisplay.from_estimator(gm, X, features=(0,))
    assert display.lines_[1].get_ydata().max() == 0.0
    assert [text.get_text() for text in display.ax_.texts] == ["0", "2"]


def test_names_label_the_axes() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    gm = GaussianMixture(2, random_state=0).fit(table)
    display = MixtureDisplay.from_estimator(gm, table, features=("d", 0))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("d", "a")
    assert display.points_ is not None
    np.testing.assert_array_equal(display.points_.get_offsets(), X[:, [3, 0]])
    for one in ("b", ["b"], 1, np.array([1])):
        display = MixtureDisplay.from_estimator(gm, table, features=one)
        assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("b", "density")


def test_default_features(gm: GaussianMixture) -> None:
    display = MixtureDisplay.from_estimator(gm, X)
    note = "(the first 2 of 4 features; features= shows others)"
    assert display.ax_.get_xlabel() == f"feature 0\n{note}"
    assert display.ax_.get_ylabel() == "feature 1"


def test_why_these_features_is_said_only_where_there_was_a_choice(gm: GaussianMixture) -> None:
    asked = MixtureDisplay.from_estimator(gm, X, features=(0, 1))
    assert asked.ax_.get_xlabel() == "feature 0"
    for n_features in (1, 2):
        few = GaussianMixture(2, random_state=0).fit(X[:, :n_features])
        display = MixtureDisplay.from_estimator(few, X[:, :n_features])
        assert display.ax_.get_xlabel() == "feature 0"


def test_a_feature_that_is_misspelt_is_told() -> None:
    table = load_iris(as_frame=True).data
    fit = GaussianMixture(2, random_state=0).fit(table)
    with pytest.raises(ValueError, match=r"Did you mean 'petal width \(cm\)'\?$"):
        MixtureDisplay.from_estimator(fit, table, features=("Petal width", 0))


def test_numbers_and_weights_of_ten_components() -> None:
    rng = np.random.default_rng(0)
    gm = GaussianMixture(12, random_state=0).fit(rng.normal(size=(300, 2)))
    display = MixtureDisplay.from_estimator(gm, rng.normal(size=(50, 2)))
    assert [text.get_text() for text in display.ax_.texts] == [str(k) for k in range(12)]
    assert legend_of(display)[:2] == [f"0: {gm.weights_[0]:.1%}", f"1: {gm.weights_[1]:.1%}"]
    assert len(np.unique(palette(20), axis=0)) == 20


def test_legend_lies_outside_the_axes(gm: GaussianMixture) -> None:
    display = MixtureDisplay.from_estimator(gm, X)
    display.figure_.canvas.draw()
    axes, legend = display.ax_.get_window_extent(), display.ax_.get_legend().get_window_extent()
    assert legend.x0 >= axes.x1
    assert legend.x1 <= display.figure_.bbox.x1


def test_options_of_the_artists(gm: GaussianMixture) -> None:
    display = MixtureDisplay.from_estimator(
        gm, X, scatter_kw={"s": 11.0}, line_kw={"linewidth": 7.0}, legend=False
    )
    assert display.points_ is not None
    assert display.points_.get_sizes() == [11.0]
    assert display.ellipses_[0][0].get_linewidth() == 7.0
    assert display.ax_.get_legend() is None


# -- MixtureDisplay: one feature ------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_densities_are_the_marginal_ones(covariance_type: str) -> None:
    gm = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(gm, X, features=(2,))
    assert display.mixture_line_ is not None
    total = 0.0
    for k, covariance in enumerate(full_covariances(gm)):
        grid, term = display.lines_[k].get_data()
        expected = gm.weights_[k] * norm.pdf(grid, gm.means_[k, 2], np.sqrt(covariance[2, 2]))
        np.testing.assert_allclose(term, expected, rtol=1e-9)
        total = total + expected
    np.testing.assert_allclose(display.mixture_line_.get_ydata(), total, rtol=1e-9)


def test_mixture_line_is_the_density_of_the_estimator() -> None:
    rows = X[:, [2]]
    gm = GaussianMixture(2, random_state=0).fit(rows)
    display = MixtureDisplay.from_estimator(gm, rows)
    assert display.mixture_line_ is not None
    grid, density = display.mixture_line_.get_data()
    np.testing.assert_allclose(density, np.exp(gm.score_samples(grid[:, None])), rtol=1e-9)
    assert display.ax_.get_ylim()[1] > density.max()


def bars_of(display: MixtureDisplay) -> Any:
    assert display.bars_ is not None
    return np.array([[bar.get_x(), bar.get_width(), bar.get_height()] for bar in display.bars_])


def test_histogram_is_a_density_of_the_weighted_rows(gm: GaussianMixture) -> None:
    counts = np.arange(len(X)) % 3
    weighted = bars_of(
        MixtureDisplay.from_estimator(gm, X, features=(1,), sample_weight=counts, bins=9)
    )
    repeated = np.repeat(X, counts, axis=0)
    given_twice = bars_of(MixtureDisplay.from_estimator(gm, repeated, features=(1,), bins=9))
    np.testing.assert_allclose(weighted, given_twice, rtol=1e-12)
    assert np.sum(weighted[:, 1] * weighted[:, 2]) == pytest.approx(1.0)
    expected, _ = np.histogram(repeated[:, 1], 9, density=True)
    np.testing.assert_allclose(weighted[:, 2], expected, rtol=1e-12)


def test_bars_mix_the_colors_of_their_rows() -> None:
    rows = np.concatenate([np.linspace(0.0, 1.0, 50), np.linspace(9.0, 10.0, 50)])[:, None]
    gm = GaussianMixture(2, means_init=[[0.5], [9.5]]).fit(rows)
    display = MixtureDisplay.from_estimator(gm, rows, bins=10)
    assert display.bars_ is not None
    for bar, color in ((display.bars_[0], palette(2)[0]), (display.bars_[-1], palette(2)[1])):
        np.testing.assert_allclose(bar.get_facecolor()[:3], color, atol=1e-9)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
def test_spike_leaves_the_rest_to_be_seen() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0.0, 1.0, 300), np.full(40, 1.5)])[:, None]
    gm = GaussianMixture(2, init_params=np.eye(2)[(rows[:, 0] == 1.5).astype(int)]).fit(rows)
    assert gm.covariances_.min() < 1e-4
    display = MixtureDisplay.from_estimator(gm, rows)
    assert display.mixture_line_ is not None
    tallest = bars_of(display)[:, 2].max()
    assert tallest < display.ax_.get_ylim()[1] < 4.0 * tallest
    # The curve itself is whole: its grid finds a component far narrower than the axis.
    assert display.mixture_line_.get_ydata().max() > 10.0


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize(
    "rows",
    [
        np.full((20, 1), 1e8),
        np.append(np.linspace(0.0, 1.0, 99), 1e9)[:, None],
        np.array([[0.0], [1e-9]]),
    ],
    ids=["constant", "outlier", "two rows"],
)
def test_awkward_histograms(rows: Any) -> None:
    display = MixtureDisplay.from_estimator(GaussianMixture(1).fit(rows), rows)
    bars = bars_of(display)
    assert len(bars) <= 100
    assert np.sum(bars[:, 1] * bars[:, 2]) == pytest.approx(1.0)
    display.figure_.canvas.draw()


COUNTS = np.arange(10.0)[:, None]
FREQUENCIES = [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]


def test_counts_have_probabilities() -> None:
    pm = PoissonMixture(2, weights_init=[0.5, 0.5], rates_init=[[1.0], [3.0]])
    pm.fit(COUNTS, sample_weight=FREQUENCIES)
    display = MixtureDisplay.from_estimator(pm, COUNTS, sample_weight=FREQUENCIES)
    bars = bars_of(display)
    np.testing.assert_array_equal(bars[:, 0], np.arange(10) - 0.5)
    np.testing.assert_allclose(bars[:, 2], np.array(FREQUENCIES) / 1096.0, rtol=1e-12)
    grid, term = display.lines_[1].get_data()
    assert set(range(10)) <= set(grid)
    np.testing.assert_allclose(term, pm.weights_[1] * poisson.pmf(grid, pm.rates_[1, 0]))
    assert display.mixture_line_ is not None
    np.testing.assert_allclose(
        display.mixture_line_.get_ydata(), np.exp(pm.score_samples(grid[:, None])), rtol=1e-9
    )
    assert display.ax_.get_ylabel() == "probability"


def test_many_counts_share_a_bin() -> None:
    rng = np.random.default_rng(0)
    rows = rng.poisson([[900.0], [1500.0]], (2, 300)).reshape(-1, 1)
    pm = PoissonMixture(2, random_state=0).fit(rows)
    bars = bars_of(MixtureDisplay.from_estimator(pm, rows))
    assert len(bars) <= 100
    assert np.sum(bars[:, 1] * bars[:, 2]) == pytest.approx(1.0)


def test_two_counts_have_ellipses_of_their_moments() -> None:
    rng = np.random.default_rng(0)
    rows = rng.poisson([3.0, 10.0], (200, 2))
    pm = PoissonMixture(1).fit(rows)
    display = MixtureDisplay.from_estimator(pm, rows)
    expected = np.diag(rows.mean(axis=0))
    np.testing.assert_allclose(
        ellipse_covariance(display.ellipses_[0][1], 2.0), expected, rtol=1e-9, atol=1e-12
    )


# -- MixtureDisplay: what cannot be drawn ---------------------------------------------------------


@pytest.mark.parametrize("features", [(0, 4), (0, -1), (1, 1), (0, 1, 2), (), ("a",), (0.5, 1)])
def test_unknown_features(gm: GaussianMixture, features: Any) -> None:
    with pytest.raises(ValueError, match="features: expected one or two different columns from 0 "):
        MixtureDisplay.from_estimator(gm, X, features=features)
    assert plt.get_fignums() == []


def test_mixture_errors_open_no_figure(gm: GaussianMixture) -> None:
    peer = SklearnGaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(TypeError, match="expected a mixture of em_toolkit"):
        MixtureDisplay.from_estimator(peer, X)  # type: ignore[arg-type]
    with pytest.raises(NotFittedError):
        MixtureDisplay.from_estimator(GaussianMixture(2), X)
    with pytest.raises(ValueError, match="expecting 4 features"):
        MixtureDisplay.from_estimator(gm, X[:, :2])
    with pytest.raises(ValueError, match="sample_weight"):
        MixtureDisplay.from_estimator(gm, X, sample_weight=np.ones(3))
    assert plt.get_fignums() == []


@dataclass(frozen=True, eq=False)
class Points(Parameters):
    """The parameters of a family that the displays do not know."""

    places: Any


def test_a_family_of_ones_own_is_registered() -> None:
    points = Points(np.array([[0.0, 1.0, 2.0]]))
    with pytest.raises(TypeError, match=r"got Points: register .*moments\.register"):
        moments(points, [0, 2])

    @moments.register
    def _(components: Points, features: Any) -> Moments:
        return Moments(components.places[:, list(features)], np.zeros((1, 2, 2)))

    np.testing.assert_array_equal(moments(points, [0, 2]).means, [[0.0, 2.0]])


# -- both -----------------------------------------------------------------------------------------


def test_a_display_draws_where_it_is_told(gm: GaussianMixture) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    elbo = ELBODisplay.from_estimator(gm, ax=left)
    mixture = MixtureDisplay.from_estimator(gm, X, ax=right)
    assert elbo.ax_ is left
    assert mixture.ax_ is right
    assert elbo.figure_ is mixture.figure_ is figure
    # Beside axes that are given there may be others: no legend there unless asked for.
    assert right.get_legend() is None
    assert plt.get_fignums() == [figure.number]


def test_a_plot_opens_one_figure_and_can_be_repeated(gm: GaussianMixture) -> None:
    display = ELBODisplay(traces={"iris": gm.trace_})
    assert plt.get_fignums() == []
    first = display.plot().figure_
    assert display.plot() is display
    assert len(plt.get_fignums()) == 2
    assert display.figure_ is not first
    assert len(display.lines_) == 1


def test_importing_the_displays_needs_no_matplotlib() -> None:
    blocked = "import sys; sys.modules |= dict.fromkeys(['matplotlib', 'pandas'])"
    answer = subprocess.run(
        [sys.executable, "-c", f"{blocked}; import em_toolkit, em_toolkit.displays"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


# -- MixtureDisplay: rows with missing entries ----------------------------------------------------


@pytest.fixture(scope="module")
def holed() -> tuple[Any, GaussianMixture]:
    rows = load_airquality().data
    return rows, GaussianMixture(2, random_state=0).fit(rows)


def test_a_row_that_misses_one_is_a_tick_on_the_axis_of_the_other(
    holed: tuple[Any, GaussianMixture],
) -> None:
    rows, gm = holed
    display = MixtureDisplay.from_estimator(gm, rows)
    ozone, solar = rows[:, 0], rows[:, 1]
    assert display.points_ is not None
    whole = ~np.isnan(ozone) & ~np.isnan(solar)
    np.testing.assert_array_equal(display.points_.get_offsets(), rows[whole, :2])
    alone = [ozone[~np.isnan(ozone) & np.isnan(solar)], solar[np.isnan(ozone) & ~np.isnan(solar)]]
    assert [len(ticks.get_segments()) for ticks in display.ticks_] == [len(v) for v in alone]
    for axis, (ticks, values) in enumerate(zip(display.ticks_, alone, strict=True)):
        segments = np.stack(ticks.get_segments())
        np.testing.assert_array_equal(segments[:, :, axis], np.column_stack([values, values]))
        # From the axis on, wherever the limits are.
        ends = ticks.get_transform().transform(segments.reshape(-1, 2))
        inside = display.ax_.transAxes.inverted().transform(ends)
        np.testing.assert_allclose(np.unique(inside[:, 1 - axis].round(9)), [0.0, 0.025])
        assert (inside[:, axis] > 0.0).all()
        assert (inside[:, axis] < 1.0).all()
    assert legend_of(display)[-1] == "the other is missing"


def test_ticks_have_the_colours_of_their_rows(holed: tuple[Any, GaussianMixture]) -> None:
    rows, gm = holed
    display = MixtureDisplay.from_estimator(gm, rows)
    lonely = ~np.isnan(rows[:, 0]) & np.isnan(rows[:, 1])
    expected = gm.predict_proba(rows[lonely]) @ palette(2)
    np.testing.assert_allclose(display.ticks_[0].get_colors()[:, :3], expected, atol=1e-12)


def test_a_tick_far_out_is_within_the_axes() -> None:
    rows = np.vstack([np.random.default_rng(0).normal(size=(200, 2)), [50.0, np.nan]])
    display = MixtureDisplay.from_estimator(GaussianMixture(1).fit(rows), rows)
    assert display.ellipses_[0][1].get_width() < 50.0
    assert display.ax_.get_xlim()[1] > 50.0
    assert len(display.ticks_) == 1


def test_the_histogram_is_of_what_was_observed(holed: tuple[Any, GaussianMixture]) -> None:
    rows, gm = holed
    display = MixtureDisplay.from_estimator(gm, rows, features=0, bins=7)
    seen = rows[~np.isnan(rows[:, 0]), 0]
    heights, _ = np.histogram(seen, 7, density=True)
    assert display.bars_ is not None
    np.testing.assert_allclose([bar.get_height() for bar in display.bars_], heights)
