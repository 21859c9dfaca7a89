"""The compiled Gaussian family, for latent structures other than mixtures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from em_toolkit import FiniteMixture
from em_toolkit.covariances import STRUCTURES
from em_toolkit.families import FixedComponents, Gaussian, GaussianComponents
from em_toolkit.kernels import compiled
from em_toolkit.testing import check_family

RNG = np.random.default_rng(0)
X = np.vstack([RNG.standard_normal((300, 3)), 4.0 + RNG.standard_normal((211, 3))])


def components_of(name: str) -> GaussianComponents:
    family = Gaussian(STRUCTURES[name])  # type: ignore[index]
    responsibilities = RNG.dirichlet(np.ones(2), len(X))
    start = family.reference(family.start_moments(X, responsibilities, X.mean(axis=0)))
    return family.maximize(start, family.statistics(start, X, responsibilities))


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_log_densities_and_moments_are_those_of_the_family(name: str) -> None:
    plain = Gaussian(STRUCTURES[name])  # type: ignore[index]
    fast, components = compiled(plain), components_of(name)
    within, log_density = fast.posterior(components, X)
    assert within is None
    expected = plain.posterior(components, X)[1]
    np.testing.assert_allclose(log_density, expected, rtol=1e-12)
    responsibilities = np.exp(expected - np.logaddexp.reduce(expected, axis=1, keepdims=True))
    ours = fast.statistics(components, X, responsibilities)
    theirs = plain.statistics(components, X, responsibilities)
    for field in ("count", "first_moment", "second_moment"):
        np.testing.assert_allclose(
            getattr(ours, field), getattr(theirs, field), rtol=1e-10, atol=1e-10
        )


def test_log_densities_are_those_of_scipy() -> None:
    components = components_of("full")
    log_density = compiled(Gaussian()).posterior(components, X)[1]
    for k, mean in enumerate(components.means):
        covariance = components.covariances.sklearn_array[k]
        expected = multivariate_normal(mean, covariance).logpdf(X)
        np.testing.assert_allclose(log_density[:, k], expected, rtol=1e-11)


def test_it_conforms() -> None:
    check_family(compiled(Gaussian()), components_of("full"), X[::7])


def test_missing_entries_are_integrated_out() -> None:
    holes = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    components = components_of("full")
    within, log_density = compiled(Gaussian()).posterior(components, holes)
    assert within is not None
    np.testing.assert_array_equal(log_density, Gaussian().posterior(components, holes)[1])


def test_an_estimator_takes_it() -> None:
    fast = FiniteMixture(compiled(Gaussian()), 2, random_state=0).fit(X)
    plain = FiniteMixture(Gaussian(), 2, random_state=0).fit(X)
    assert fast.n_iter_ == plain.n_iter_
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-12)


def test_what_is_held_stays_held_and_is_found_by_the_start() -> None:
    held = FixedComponents(means=np.array([True, False]))
    family = compiled(Gaussian(fixed=held))
    assert type(family.unfixed()) is type(family)
    components = components_of("full")
    stats = family.statistics(components, X, np.full((len(X), 2), 0.5))
    np.testing.assert_array_equal(family.maximize(components, stats).means[0], components.means[0])


def test_a_structure_without_a_kernel_is_refused() -> None:
    class Own(STRUCTURES["full"]):  # type: ignore[misc]
        pass

    with pytest.raises(ValueError, match="has a kernel"):
        compiled(Gaussian(Own))
