"""Blocks of rows give the same sums, the ledger costs no pass, and reads well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import STRUCTURES, Data, clusters
from starts import FAITHFUL, faithful_start, gaussian_mixture, poisson

from em_toolkit import Trace
from em_toolkit.engine import Rows
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import (
    Gaussian,
    GaussianComponents,
    Poisson,
)
from em_toolkit.models import Mixture, MixtureParameters, PPCAParameters, ProbabilisticPCA

# -- blocks and passes ----------------------------------------------------------------------------


def blocked_cases() -> Iterator[Any]:
    rng = np.random.default_rng(3)
    X = clusters(rng, 300, 3, 2)
    for structure in STRUCTURES:
        covariances = CLASSES[structure].shared(np.cov(X.T), 2)
        start = MixtureParameters(
            np.array([0.4, 0.6]), GaussianComponents(X[:2].copy(), covariances)
        )
        yield pytest.param(gaussian_mixture(structure), start, X, id=structure)
    counts = rng.poisson(rng.choice([2.0, 9.0], (300, 1)), (300, 2)).astype(float)
    yield pytest.param(
        Mixture(Poisson()), poisson([0.5, 0.5], [[1.0, 2.0], [6.0, 5.0]]), counts, id="poisson"
    )
    loadings = rng.standard_normal((3, 2))
    yield pytest.param(ProbabilisticPCA(), PPCAParameters(X[0], loadings, 1.0), X, id="ppca")


@pytest.mark.parametrize(("model", "start", "X"), list(blocked_cases()))
def test_the_size_of_blocks_changes_nothing(model: Any, start: Any, X: Data) -> None:
    weights = np.random.default_rng(4).uniform(0.1, 3.0, X.shape[0])
    fits = [
        em(model, start, Rows(X, weights, block_size=size), max_iter=10, tol=0.0)
        for size in (300, 1, 7, 128, 299, 10**6)
    ]
    # At unit scale, where 1e-13 is some hundred roundings: EM contracts, and adds none.
    for fit in fits[1:]:
        np.testing.assert_allclose(
            fit.params.to_vector(), fits[0].params.to_vector(), rtol=1e-13, atol=1e-13
        )
        np.testing.assert_allclose(fit.trace.elbo, fits[0].trace.elbo, rtol=1e-13)
        size = np.abs(fits[0].trace.elbo).max()
        np.testing.assert_allclose(fit.trace.kl, fits[0].trace.kl, rtol=0.0, atol=1e-13 * size)


class CountedBlocks:
    """Blocks, and how often they were asked for."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.n_passes, self.n_blocks = rows, 0, 0

    def __iter__(self) -> Iterator[Any]:
        self.n_passes += 1
        for block in self.rows:
            self.n_blocks += 1
            yield block


class CountedMixture(Mixture[Any]):
    n_densities = 0

    def posterior(self, params: Any, X: Data) -> Any:
        self.n_densities += X.shape[0]
        return super().posterior(params, X)


def test_the_ledger_costs_no_pass_over_the_data() -> None:
    blocks, model = CountedBlocks(Rows(FAITHFUL, block_size=100)), CountedMixture(Gaussian())
    fit = em(model, faithful_start(), blocks, max_iter=9, tol=0.0)
    assert len(fit.trace) == 19
    assert blocks.n_passes == fit.trace.n_iter + 1 == 10
    assert blocks.n_blocks == 30
    assert model.n_densities == 10 * 272


def test_blocks_are_of_doubles_in_the_order_of_the_rows() -> None:
    X = np.asfortranarray(np.arange(20, dtype=np.float32).reshape(10, 2))
    weights = np.arange(10, dtype=np.float32)
    blocks = list(Rows(X, weights, block_size=4))
    assert [block.X.shape[0] for block in blocks] == [4, 4, 2]
    for block in blocks:
        assert block.X.dtype == block.weights.dtype == np.float64
        assert block.X.flags.c_contiguous
    np.testing.assert_array_equal(np.concatenate([block.X for block in blocks]), X)
    np.testing.assert_array_equal(np.concatenate([block.weights for block in blocks]), weights)
    np.testing.assert_array_equal(next(iter(Rows(X))).weights, np.ones(10))


def test_an_array_is_its_rows_and_an_iterator_is_refused() -> None:
    """An iterator would be empty at the second E-step."""
    model, start = gaussian_mixture(), faithful_start()
    whole = em(model, start, Rows(FAITHFUL), max_iter=3)
    np.testing.assert_array_equal(
        em(model, start, FAITHFUL, max_iter=3).trace.elbo, whole.trace.elbo
    )
    listed = em(model, start, list(Rows(FAITHFUL)), max_iter=3)
    np.testing.assert_array_equal(listed.trace.elbo, whole.trace.elbo)
    with pytest.raises(TypeError, match=r"once for each E-step.*Give a list"):
        em(model, start, iter(Rows(FAITHFUL)))


def test_statistics_about_unlike_origins_do_not_add() -> None:
    family = Gaussian()
    components = faithful_start().components
    moved = GaussianComponents(components.means + 1.0, components.covariances)
    responsibilities = np.full((272, 2), 0.5)
    stats = family.statistics(components, FAITHFUL, responsibilities)
    with pytest.raises(ValueError, match="one origin"):
        stats + family.statistics(moved, FAITHFUL, responsibilities)
    double = stats + stats
    np.testing.assert_array_equal(double.second_moment, (2 * stats).second_moment)
    np.testing.assert_array_equal(double.origin, stats.origin)


# -- the ledger -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace() -> Trace:
    return em(gaussian_mixture(), faithful_start(), Rows(FAITHFUL), max_iter=6, tol=0.0).trace


def test_the_ledger_adds_up(trace: Trace) -> None:
    np.testing.assert_allclose(trace.elbo, trace.energy + trace.entropy, rtol=1e-15)
    assert not trace.log_prior.any()
    # What an M-step gains is not entropy, and the next E-step keeps the evidence of its parameters.
    after_m = ~trace.after_e_step
    np.testing.assert_array_equal(trace.entropy[after_m], trace.entropy[:-1:2])
    np.testing.assert_array_equal(trace.log_evidence[after_m], trace.log_evidence[2::2])
    assert (trace.kl[after_m] > 0.0).all()
    assert (np.diff(trace.elbo) > 0.0).all()
    assert (np.diff(trace.seconds) >= 0.0).all()


def test_the_ledger_as_a_frame(trace: Trace) -> None:
    frame = trace.to_frame()
    assert isinstance(frame, pd.DataFrame)
    columns = [item.name for item in fields(Trace)]
    assert list(frame.columns) == [n for n in columns if n not in ("is_exact", "notes")]
    assert len(frame) == len(trace) == 13
    for name in frame.columns:
        np.testing.assert_array_equal(frame[name], getattr(trace, name))
    assert frame["elbo"].dtype == np.float64
    assert np.issubdtype(frame["iteration"].dtype, np.integer)
    # The frame is the reader's own.
    frame.loc[0, "elbo"] = 0.0
    assert trace.elbo[0] != 0.0


def test_the_ledger_cannot_be_written_to(trace: Trace) -> None:
    for name in trace.to_frame():
        with pytest.raises(ValueError, match="read-only"):
            getattr(trace, name)[0] = 0


def test_the_ledger_in_words(trace: Trace) -> None:
    words = str(trace)
    bounds = trace.bounds
    assert "6 iterations" in words
    for number in (bounds[0], bounds[-1], trace.energy[-1], trace.entropy[-1]):
        assert f"{number:.6f}" in words
    assert f"{bounds[-1] - bounds[0]:.3g}" in words
    assert f"{trace.kl[1]:.3g} at the first, {trace.kl[-2]:.3g} at the last" in words
    assert "prior" not in words
    assert len(words.splitlines()) <= 6


def test_the_ledger_of_no_iteration_in_words() -> None:
    fit = em(gaussian_mixture(), faithful_start(), Rows(FAITHFUL), max_iter=0)
    assert "0 iterations" in str(fit.trace)
    assert "nan" not in str(fit.trace)
