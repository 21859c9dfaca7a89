"""The conformance suite: what every latent variable model must satisfy.

A bound that rises is not yet a right bound: an M-step that inflates a scale by five per cent stays
monotone on easy data. `check_model` holds a model to what EM rests on, one check for each, and
`check_family` the components of a mixture; run them on your own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

from em_toolkit.data import Block, UnitBlocks, Units, is_array_like, taken
from em_toolkit.engine.em import em
from em_toolkit.engine.expectation import expect
from em_toolkit.engine.monitor import SAFETY, ELBODecreaseError
from em_toolkit.engine.status import Status
from em_toolkit.families.base import Family
from em_toolkit.model import Guarantee, LatentVariableModel
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import EPS, Array, Statistics

Model = LatentVariableModel[Any, Any, Any]
LogEvidence = Callable[[Any, Array], Array]

# The step of fourth-order differences, in units of each coordinate's own scale: their error and
# that of rounding are both near 1e-12.
_STEP = 1e-3
# A rounding error of more than this share of the objective would hide what is to be found.
_LARGEST_TOLERANCE = 1e-6


class ModelCheckError(AssertionError):
    """A model failed a check; the message says which, by how much, and where to look."""


def check_model(
    model: Model,
    params: Any,
    X: Any,
    *,
    weights: npt.ArrayLike | None = None,
    known: Any = None,
    log_evidence: LogEvidence | None = None,
    gap: Callable[[Any, Any], Array] | None = None,
    reconstruction: Callable[[Any, Any], Array] | None = None,
    random_state: int = 0,
) -> dict[str, str]:
    """Hold a model to the identities of EM.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
        Parameters in general position: not a fixed point, no weight zero. Their class declares
        constraints (see `em_toolkit.parameters`), so that they can be perturbed.
    X : array-like of shape (n_units, ...), or Units
        A few dozen units, of a scale near one or below.
    weights : array-like of shape (n_units,), optional
        Unequal weights; drawn if left out.
    known : ndarray of shape (n_units, ...), or Units, optional
        What is known of the latent variables (`em_toolkit.data.Block`); nothing by default.
    log_evidence : callable, optional
        An independent ``log_evidence(params, X)``, of shape (n_units,): scipy's densities, or
        `by_enumeration` or `by_integration` of this module.
    gap : callable, optional
        For a q that is not exact: an independent KL(q ‖ p(z | x)) of each unit, as
        ``gap(params, X)``, of shape (n_units,).
    reconstruction : callable, optional
        An independent E_q[log p(x | z, θ)] of each unit after an E-step, as
        ``reconstruction(params, X)``, of shape (n_units,).
    random_state : int
        Seed of perturbations and samples.

    Returns
    -------
    outcome : dict of str to str
        For each check ``"passed"``, or why it was not made.

    Raises
    ------
    ModelCheckError
        At the first check that fails.
    """
    if is_array_like(X) or not isinstance(X, Units):
        X = np.asarray(X, dtype=np.float64)
    rng = np.random.default_rng(random_state)
    drawn = rng.uniform(0.5, 2.0, size=len(X))
    given = np.asarray(drawn if weights is None else weights, dtype=np.float64)
    block = Block(X, given, known)
    is_exact = model.guarantee is Guarantee.EXACT
    outcome: dict[str, str] = {}

    # At the start, and where EM has been for a while.
    for point in (params, _after_em(model, params, block, n_iter=5)):
        check_maximize(model, point, block, rng)
        check_about(model, point, block, rng)
        if is_exact:
            check_fisher_identity(model, point, block)
            check_posterior(model, point, block, rng)
    outcome["maximize attains the maximum"] = "passed"
    outcome["statistics move to another origin"] = "passed"
    of_exact = "passed" if is_exact else "not made: the posterior is not exact"
    outcome["Fisher's identity"] = of_exact
    outcome["the bound touches the evidence after an E-step"] = of_exact
    if gap is not None:
        check_gap(model, params, block, gap)
        outcome["the gap against an independent one"] = "passed"
    outcome["the posterior's KL from the prior is not negative"] = _check_terms_if_known(
        model, params, block, reconstruction
    )
    if log_evidence is None:
        outcome["evidence against an independent one"] = "not made: no log_evidence was given"
    else:
        check_evidence(model, params, block, log_evidence)
        outcome["evidence against an independent one"] = "passed"
    check_blocks(model, params, block)
    outcome["any blocks give the same sums"] = "passed"
    check_weights(model, params, block)
    outcome["weights are repetitions"] = "passed"
    outcome["samples follow the density"] = _check_sample_if_there_is_one(model, params, rng)
    if model.guarantee is Guarantee.STOCHASTIC:
        outcome["the bound never falls"] = "not made: the bound is an estimate, and may"
    else:
        check_em(model, params, block)
        outcome["the bound never falls"] = "passed"
    return outcome


def check_family(
    family: Family[Any, Any],
    components: Any,
    X: npt.ArrayLike,
    *,
    log_density: LogEvidence | None = None,
    random_state: int = 0,
) -> dict[str, str]:
    """Hold a family to the identities of EM, as the components of a mixture.

    Parameters
    ----------
    family : Family
    components : Parameters
        Two components at least, in general position.
    X : array-like of shape (n_rows, n_features)
        A few dozen rows, of a scale near one or below.
    log_density : callable, optional
        An independent ``log_density(components, X)``, of shape (n_rows, n_components), such as
        scipy's.
    random_state : int
        Seed of perturbations and samples.

    Returns
    -------
    outcome : dict of str to str
        As `check_model` returns it.

    Raises
    ------
    ModelCheckError
        At the first check that fails.
    """
    rows = np.asarray(X, dtype=np.float64)
    n_components = family.log_density(components, rows[:1]).shape[1]
    # Unequal, so that components that are mixed up show.
    weights = np.arange(1.0, n_components + 1.0)
    params = MixtureParameters(weights / weights.sum(), components)

    if log_density is None:
        return check_model(Mixture(family), params, rows, random_state=random_state)

    def log_evidence(params: Any, X: Array) -> Array:
        joint = log_density(params.components, X) + params.log_weights
        return np.asarray(logsumexp(joint, axis=1))

    def reconstruction(params: Any, X: Array) -> Array:
        log_densities = log_density(params.components, X)
        responsibilities = softmax(log_densities + params.log_weights, axis=1)
        return np.asarray(np.sum(responsibilities * log_densities, axis=1))

    return check_model(
        Mixture(family),
        params,
        rows,
        log_evidence=log_evidence,
        reconstruction=reconstruction,
        random_state=random_state,
    )


def _at(model: Model, params: Any, block: Block) -> tuple[Any, Array]:
    """Return the posterior and the log evidence of a block."""
    if block.known is None:
        return model.posterior(params, block.X)
    return model.posterior_given(params, block.X, block.known)


def _after_em(model: Model, params: Any, block: Block, n_iter: int) -> Any:
    return em(model, params, [block], max_iter=n_iter, tol=0.0, bound_check="off").params


def check_em(model: Model, params: Any, block: Block) -> None:
    """EM never lowers the bound, and takes the same path whatever the blocks.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    X, weights, known = block
    try:
        fits = [
            em(model, params, UnitBlocks(X, weights, size, known), max_iter=20, tol=0.0)
            for size in (len(X), 7)
        ]
    except ELBODecreaseError as error:
        raise ModelCheckError(f"em: {error}") from error
    for fit in fits:
        if fit.status is Status.COLLAPSED:
            raise ModelCheckError(
                f"em: the fit collapsed ({fit.cause}); start from parameters in general position."
            )
    one, other = (fit.trace.bounds for fit in fits)
    if not np.allclose(one, other, rtol=1e-9, atol=1e-9):
        raise ModelCheckError(
            "em: blocks of 7 units and one block lead to different bounds. The methods of a model "
            "must not keep anything from one call to the next."
        )


def check_maximize(model: Model, params: Any, block: Block, rng: np.random.Generator) -> None:
    """(a) No perturbation of the parameters beats `maximize`.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.
    rng : Generator
        The source of perturbations or samples.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    stats = model.expectation(params, *block).statistics
    best = model.maximize(params, stats)

    def objective(candidate: Any) -> float:
        return model.expected_log_joint(candidate, stats) + model.log_prior(candidate)

    vector = best.to_vector()
    if not np.isfinite(vector).all():
        raise ModelCheckError(
            "maximize: its result has free coordinates that are not finite (a weight of zero?). "
            "Check at parameters in general position."
        )
    if not best.from_vector(vector).allclose(best, rtol=1e-9, atol=1e-12):
        raise ModelCheckError(
            "maximize: its result breaks its own constraints (weights that do not sum to one, a "
            "matrix that is not symmetric?): from_vector(to_vector()) is another."
        )
    if not model.project(best, params).allclose(best, rtol=1e-12, atol=1e-14):
        raise ModelCheckError(
            "maximize: it changes what the model holds fixed: its result and "
            "project(result, params) differ."
        )
    reached = objective(best)
    tolerance = SAFETY * _rounding(model, best, stats, reached)
    scales = _scales(lambda candidate: model.expected_log_joint(candidate, stats), best)
    directions = [*np.eye(vector.shape[0]), *rng.standard_normal((20, vector.shape[0]))]
    for direction in directions:
        for step in 10.0 ** np.arange(-6.0, 0.1):
            for signed in (step, -step):
                moved = model.project(best.from_vector(vector + signed * scales * direction), best)
                gain = objective(moved) - reached
                if not gain <= tolerance:
                    coordinate = int(np.abs(direction).argmax())
                    raise ModelCheckError(
                        f"maximize: a step of {signed:.0e} scales (mostly in coordinate "
                        f"{coordinate} of to_vector) raises E_q[log joint] + log prior by "
                        f"{gain:.3g} nats, where rounding explains {tolerance:.1g}. The M-step is "
                        "not the maximizer, or expected_log_joint or log_prior is not its "
                        "objective."
                    )


def check_fisher_identity(model: Model, params: Any, block: Block) -> None:
    """(b) The gradient of the evidence is that of E_q[log joint] at the posterior.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    stats = model.expectation(params, *block).statistics

    def evidence(candidate: Any) -> float:
        return model.expectation(candidate, *block).log_evidence

    def energy(candidate: Any) -> float:
        return model.expected_log_joint(candidate, stats)

    # In nats for a step by a coordinate's own scale: a gradient of the size of the weight is one.
    scales = _scales(energy, params)
    of_evidence = _gradient(evidence, params, scales)
    of_energy = _gradient(energy, params, scales)
    error = np.abs(of_evidence - of_energy)
    if not (error <= 1e-6 * (block.weights.sum() + np.abs(of_evidence).max())).all():
        worst = int(np.nanargmax(error))
        raise ModelCheckError(
            f"Fisher's identity: in coordinate {worst} of to_vector the evidence has gradient "
            f"{of_evidence[worst]:.9g} (times its scale), E_q[log joint] has "
            f"{of_energy[worst]:.9g}. The "
            "statistics are not taken under the posterior, or the evidence and "
            "expected_log_joint describe different densities."
        )


def check_evidence(model: Model, params: Any, block: Block, log_evidence: LogEvidence) -> None:
    """(c) The evidence of each unit equals an independent computation.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.
    log_evidence : callable
        The independent one, ``log_evidence(params, X)`` of shape (n_units,).

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    ours, theirs = _at(model, params, block)[1], np.asarray(log_evidence(params, block.X))
    error = np.abs(ours - theirs)
    if not (error <= 1e-9 * np.maximum(1.0, np.abs(theirs))).all():
        worst = int(np.nanargmax(error))
        raise ModelCheckError(
            f"evidence: unit {worst} has log evidence {ours[worst]:.12g}, independently "
            f"{theirs[worst]:.12g}. A constant may be missing."
        )


def check_blocks(model: Model, params: Any, block: Block) -> None:
    """(d) Any blocks give the same sums, and a fused E-step those of its two parts.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    whole = expect(model, params, [block])
    X, weights, known = block
    for size in (1, 2, 3, 7):
        blocks = UnitBlocks(X, weights, size, known)
        _same(whole, expect(model, params, blocks), f"blocks of {size} units and one block")
    _same(
        whole,
        LatentVariableModel.expectation(model, params, *block),
        "expectation and posterior followed by statistics",
    )


def check_weights(model: Model, params: Any, block: Block) -> None:
    """(e) Weight 2 is a unit given twice, weight 0 a unit left out.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    counts = np.arange(len(block.X)) % 3
    repeats = np.repeat(np.arange(len(block.X)), counts)
    known = None if block.known is None else taken(block.known, repeats)
    repeated = Block(taken(block.X, repeats), np.ones(len(repeats)), known)
    _same(
        expect(model, params, [repeated]),
        expect(model, params, [block._replace(weights=counts.astype(np.float64))]),
        "units repeated and units with weights 0, 1 and 2",
    )


def check_about(model: Model, params: Any, block: Block, rng: np.random.Generator) -> None:
    """(h) Statistics moved to another origin are the same statistics.

    Those of one q, of course: it is the posterior at the first origin.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.
    rng : Generator
        The source of perturbations or samples.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    posterior, _ = _at(model, params, block)
    vector = params.to_vector()
    other = params.from_vector(vector + 0.1 * rng.standard_normal(vector.shape))
    here = model.statistics(params, block.X, posterior, block.weights)
    there = model.statistics(other, block.X, posterior, block.weights)
    _same(there, model.about(other, here), "moving their origin and taking them about another")


def _check_sample_if_there_is_one(model: Any, params: Any, rng: np.random.Generator) -> str:
    try:
        check_sample(model, params, rng)
    except NotImplementedError as error:
        return f"not made: {error}"
    return "passed"


def check_sample(
    model: Any, params: Any, rng: np.random.Generator, *, n_units: int = 20_000
) -> None:
    """(f) Samples follow the density: the score has mean zero under it.

    The score is the gradient of log p(x | θ); that of a parameter whose samples are off (a
    standard deviation taken for a variance, say) is not centred.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    rng : Generator
        The source of perturbations or samples.
    n_units : int
        The number of samples.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    X = model.sample(params, n_units, rng)[0]

    def log_evidence(candidate: Any) -> Array:
        return np.asarray(model.posterior(candidate, X)[1])

    if len(X) != n_units:
        raise ModelCheckError(f"sample: asked for {n_units} units, got {len(X)}.")
    scores = _gradient(log_evidence, params, np.ones_like(params.to_vector()))
    standard_errors = scores.std(axis=1) / np.sqrt(n_units)
    z = np.abs(scores.mean(axis=1)) / np.where(standard_errors > 0.0, standard_errors, 1.0)
    if not (z < 5.0).all():
        worst = int(np.nanargmax(z))
        raise ModelCheckError(
            f"sample: over {n_units} draws the score in coordinate {worst} of to_vector has mean "
            f"{scores[worst].mean():.3g}, {z[worst]:.1f} standard errors from zero. The samples do "
            "not follow the density."
        )


def check_posterior(model: Model, params: Any, block: Block, rng: np.random.Generator) -> None:
    """(g) After an E-step the bound touches the evidence, measured.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.
    rng : Generator
        The source of perturbations or samples.

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    vector = params.to_vector()
    perturbed = [params.from_vector(vector + 0.1 * rng.standard_normal(vector.shape))]
    for candidate in [params, *perturbed]:
        found = model.expectation(candidate, *block)
        energy = model.expected_log_joint(candidate, found.statistics)
        kl = (found.log_evidence - energy) - found.entropy
        tolerance = SAFETY * _rounding(model, candidate, found.statistics, energy)
        tolerance += SAFETY * EPS * abs(found.entropy)
        if not abs(kl) <= tolerance:
            raise ModelCheckError(
                f"posterior: after an E-step log evidence − energy − entropy is {kl:.3g} nats, "
                f"where rounding explains {tolerance:.1g}. The posterior is not exact, its "
                "entropy is wrong, or the evidence and expected_log_joint differ by a constant."
            )


def check_gap(model: Model, params: Any, block: Block, gap: Callable[[Any, Any], Array]) -> None:
    """(g) The gap that a q leaves equals an independent KL(q ‖ p(z | x)).

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.
    gap : callable
        An independent KL(q ‖ p(z | x)), ``gap(params, X)`` of shape (n_units,).

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    found = model.expectation(params, *block)
    energy = model.expected_log_joint(params, found.statistics)
    kl = (found.log_evidence - energy) - found.entropy
    expected = float(np.sum(block.weights * gap(params, block.X)))
    if not abs(kl - expected) <= 1e-9 * max(1.0, abs(energy)):
        raise ModelCheckError(
            f"gap: log evidence − energy − entropy is {kl:.12g} nats, KL(q ‖ p(z | x)) is "
            f"independently {expected:.12g}. The entropy of q is wrong, or the evidence and "
            "expected_log_joint differ by a constant."
        )


def _check_terms_if_known(
    model: Model,
    params: Any,
    block: Block,
    reconstruction: Callable[[Any, Any], Array] | None,
) -> str:
    stats = model.expectation(params, *block).statistics
    if reconstruction is None and np.isnan(model.expected_log_likelihood(params, stats)):
        return "not made: the model has no method expected_log_likelihood"
    check_terms(model, params, block, reconstruction)
    return "passed"


def check_terms(
    model: Model,
    params: Any,
    block: Block,
    reconstruction: Callable[[Any, Any], Array] | None = None,
) -> None:
    """(i) The terms of the bound's second form are what they are called.

    E_q[log p(x | z, θ)] less the bound is KL(q ‖ p(z | θ)), negative for no unit: at the
    parameters of the E-step, and at those of the M-step after it. Where the former is computed
    independently, too, both agree.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    block : Block
        Units, their weights, and what is known of their latent variables.
    reconstruction : callable, optional
        An independent E_q[log p(x | z, θ)], ``reconstruction(params, X)`` of shape (n_units,).

    Raises
    ------
    ModelCheckError
        If the model fails the check.
    """
    expected = None if reconstruction is None else np.asarray(reconstruction(params, block.X))
    maximizer = model.maximize(params, model.expectation(params, *block).statistics)
    for index in range(len(block.X)):
        one = np.array([index])
        known = None if block.known is None else taken(block.known, one)
        found = model.expectation(params, taken(block.X, one), np.ones(1), known)
        for candidate in (params, maximizer):
            energy = model.expected_log_joint(candidate, found.statistics)
            likelihood = model.expected_log_likelihood(candidate, found.statistics)
            likelihood += found.entropy_within
            kl = (likelihood - energy) - found.entropy
            tolerance = SAFETY * _rounding(model, candidate, found.statistics, energy)
            tolerance += SAFETY * EPS * abs(found.entropy)
            if not kl >= -tolerance:
                raise ModelCheckError(
                    f"terms: of unit {index}, expected_log_likelihood less the bound, which is "
                    f"KL(q ‖ p(z)), is {kl:.3g} nats, where rounding explains {tolerance:.1g}. A "
                    "constant is missing in expected_log_likelihood, or entropy_within does not "
                    "say what else is latent."
                )
            if expected is not None and candidate is params:
                error = abs(likelihood - expected[index])
                if not error <= 1e-9 * max(1.0, abs(expected[index])):
                    raise ModelCheckError(
                        f"terms: unit {index} has E_q[log p(x | z)] {likelihood:.12g}, "
                        f"independently {expected[index]:.12g}."
                    )


def by_enumeration(log_joint: Callable[[Any, Array, Any], Array], values: list[Any]) -> LogEvidence:
    """Return an oracle for a latent variable with few values: log Σ_z p(x, z | θ).

    Parameters
    ----------
    log_joint : callable
        ``log_joint(params, X, z)``, of shape (n_units,).
    values : list
        All values of z.
    """

    def log_evidence(params: Any, X: Array) -> Array:
        terms = np.stack([log_joint(params, X, z) for z in values])
        return np.asarray(np.logaddexp.reduce(terms, axis=0))

    return log_evidence


def by_integration(
    log_joint: Callable[[Any, Array, Array], Array], n_latent: int, *, limit: float = 9.0
) -> LogEvidence:
    """Return an oracle for one or two real latent variables: log ∫ p(x, z | θ) dz.

    The trapezoidal rule on a grid from −limit to limit, in steps of 0.02 (0.15 for two). It is
    exact to rounding for a Gaussian integrand whose standard deviation is more than 1.5 steps and
    that vanishes at the limits.

    Parameters
    ----------
    log_joint : callable
        ``log_joint(params, X, z)`` for one z of shape (n_latent,), of shape (n_units,).
    n_latent : int
        The dimension of z.
    limit : float
        Half the width of the grid.
    """
    step = 0.02 if n_latent == 1 else 0.15
    axis = np.arange(-limit, limit + step / 2.0, step)
    grid = np.stack(np.meshgrid(*[axis] * n_latent, indexing="ij"), axis=-1).reshape(-1, n_latent)

    def log_evidence(params: Any, X: Array) -> Array:
        total = np.full(X.shape[0], -np.inf)
        for z in grid:
            total = np.logaddexp(total, log_joint(params, X, z))
        return total + n_latent * np.log(step)

    return log_evidence


def _rounding(model: Model, params: Any, stats: Any, objective: float) -> float:
    error = EPS * (1.0 + abs(objective)) + model.rounding_error(params, stats)
    if not SAFETY * error <= _LARGEST_TOLERANCE * (1.0 + abs(objective)):
        raise ModelCheckError(
            f"rounding_error: {error:.3g} nats beside an objective of {objective:.6g} would hide "
            "anything. State rounding errors (multiples of 2.2e-16), and check at parameters that "
            "are not ill-conditioned."
        )
    return error


def _scales(energy: Callable[[Any], float], params: Any) -> Array:
    """By how much each coordinate may change until the energy of a unit changes by about one."""
    vector = params.to_vector()
    here = energy(params)
    curvatures = np.empty(vector.shape)
    for j in range(vector.shape[0]):
        step = np.zeros_like(vector)
        step[j] = _STEP
        there = energy(params.from_vector(vector + step)) + energy(
            params.from_vector(vector - step)
        )
        curvatures[j] = abs(2.0 * here - there) / _STEP**2
    # Where it is flat or more than flat, the unit of the coordinate itself.
    weight = abs(here) + 1.0
    return np.minimum(1.0, np.sqrt(weight / np.maximum(curvatures, weight)))


def _gradient(function: Callable[[Any], Any], params: Any, scales: Array) -> Array:
    """Return the derivative for a step by the scale of each coordinate."""
    vector = params.to_vector()

    def at(coordinate: int, steps: float) -> Any:
        moved = vector.copy()
        moved[coordinate] += steps * _STEP * scales[coordinate]
        return function(params.from_vector(moved))

    columns = []
    for j in range(vector.shape[0]):
        near, far = at(j, 1.0) - at(j, -1.0), at(j, 2.0) - at(j, -2.0)
        columns.append((8.0 * near - far) / (12.0 * _STEP))
    return np.array(columns)


def _same(one: Statistics, other: Statistics, what: str) -> None:
    for name, a, b in _leaves("", one, other):
        scale = max(1.0, float(np.abs(a).max(initial=0.0)))
        if not np.allclose(a, b, rtol=0.0, atol=1e-10 * scale):
            raise ModelCheckError(
                f"sums: {what} give different {name}: {a} and {b}. Statistics must add over units "
                "and be linear in their weights."
            )


def _leaves(name: str, one: Any, other: Any) -> list[tuple[str, Array, Array]]:
    if isinstance(one, Statistics):
        return [
            leaf
            for item in fields(one)
            for leaf in _leaves(item.name, getattr(one, item.name), getattr(other, item.name))
        ]
    if isinstance(one, tuple):
        pairs = zip(one, other, strict=True)
        return [leaf for a, b in pairs for leaf in _leaves(name, a, b)]
    return [(name, np.asarray(one), np.asarray(other))]
