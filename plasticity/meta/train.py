"""The outer loop: ascent of the coefficients on the mean reward of lifetimes of fresh networks.

    ψ_kℓ = s_kℓ θ_kℓ,   ψ ← ascent(ψ, mean over lifetimes of cut(∂J/∂ψ))             (ours)

J is the expected mean reward over the trials of a lifetime; s is the size of a term relative to
that of θ_33 (`coordinate_scale`), so that a unit of ψ adds to the trace what θ_33 = 1 does and one
step size suits all coefficients. The paper's summary names no optimiser and no sizes. A rule that
has parameters of another kind is learned alike, with a scale that is given.
"""

import os
import warnings
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from plasticity.derivatives.tangent import check_polynomial
from plasticity.files import Arrays
from plasticity.learning.criterion import evaluate, failure_reward, restricted_mean
from plasticity.learning.setting import Setting
from plasticity.meta.ascent import Ascent, mean_of_cut, norms_of
from plasticity.meta.checkpoint import describe, from_first_process, resume, save_checkpoint
from plasticity.meta.estimators import (
    Estimator,
    MetaGradient,
    check_learned,
    check_scale,
    relative_scale,
)
from plasticity.rules.base import Rule, RuleStack, is_rule
from plasticity.rules.three_factor import make_rule
from plasticity.types import is_whole, require, require_count

# The last run numbers that there are; training starts from 0.
_SCALE_RUNS = np.arange(2**32 - 8, 2**32, dtype=np.uint32)


@dataclass(frozen=True, kw_only=True)
class MetaTraining:
    """How the outer loop is run; all defaults are ours.

    Attributes:
        n_iterations: I, steps of ascent.
        n_networks: B, fresh networks a step.
        n_trials: H, the lifetime that is differentiated.
        step_size, final_step_size, momentum, sparsity: as in `Ascent`; the first
            bounds ‖change of ψ‖ in a step, in units of ψ, but for the pull of the last.
        max_norm: a lifetime's gradient in ψ is cut to this norm; None makes all of norm 1, since
            they spread over three decades and a few would speak for all.
        averaging: a: the iterate j steps back has weight ∝ a^j in the average; 0 takes the last.
        validate_every: iterations between evaluations of the average; start and end are evaluated.
        n_validation, validation_trials: networks and horizon of an evaluation.
        window, needed: the criterion, as in `plasticity.learning.criterion.trials_to_criterion`.
        select: the best evaluated average by restricted mean "trials", or by mean "reward".
        training_seed, validation_seed, test_seed: networks and draws; the last is only kept apart.

    Raises:
        ValueError: a number outside its range, or seeds that are not pairwise distinct.
    """

    n_iterations: int
    n_networks: int
    n_trials: int
    step_size: float = 0.25
    final_step_size: float = 0.1
    momentum: float = 0.8
    sparsity: float = 0.015
    max_norm: float | None = None
    averaging: float = 0.8
    validate_every: int = 5
    n_validation: int = 32
    validation_trials: int = 400
    window: int = 20
    needed: int = 19
    select: str = "trials"
    training_seed: int = 101
    validation_seed: int = 102
    test_seed: int = 103

    def __post_init__(self) -> None:
        counts = ("n_iterations", "n_networks", "n_trials", "validate_every", "n_validation")
        for name in counts:
            require_count(name, getattr(self, name))
        runs = self.n_iterations * self.n_networks
        require(
            runs < 2**32 - 8, "n_iterations · n_networks < 2³² − 8", runs, "lower either number"
        )
        value = self.step_size
        require(0 < value < np.inf, "0 < step_size < ∞", value, "give a positive number")
        value = self.sparsity
        require(0 <= value < np.inf, "0 ≤ sparsity < ∞", value, "use 0 for no pull to zero")
        norm = self.max_norm is None or self.max_norm > 0
        require(norm, "max_norm > 0", self.max_norm, "use None to make all norms 1, inf for none")
        value = self.final_step_size
        require(0 <= value <= 1, "0 ≤ final_step_size ≤ 1", value, "give a share of step_size")
        for name in ("averaging", "momentum"):
            value = getattr(self, name)
            require(0 <= value < 1, f"0 ≤ {name} < 1", value, "use 0 for none")
        criterion = (self.needed, self.window, self.validation_trials)
        ordered = is_whole(*criterion) and 1 <= self.needed <= self.window <= self.validation_trials
        value = ", ".join(map(str, criterion))
        rule = "whole numbers 1 ≤ needed ≤ window ≤ validation_trials"
        require(ordered, rule, value, "validate for more trials, or shorten the window")
        known = self.select in ("trials", "reward")
        require(known, "select trials or reward", self.select, "choose one of them")
        seeds = (self.training_seed, self.validation_seed, self.test_seed)
        fine = is_whole(*seeds) and all(0 <= s < 2**32 for s in seeds)
        require(fine, "whole numbers 0 ≤ seeds < 2³²", seeds, "choose others")
        fix = "choose three, for a network that chose a rule may not judge it"
        rule = "training, validation and test seeds pairwise distinct"
        require(len(set(seeds)) == 3, rule, seeds, fix)


class MetaTrainingResult(NamedTuple):
    """The course of meta-training and the rule it chose.

    Attributes:
        rule: with the averaged coefficients that did best on the validation networks.
        selected: the iteration of these.
        scale: s, (d+1, d+1), or of the shape of the rule's parameters.
        coefficients: θ, or the rule's parameters, before each iteration and after the last,
            (I+1, d+1, d+1).
        averaged: their averages, of the same shape.
        objectives: mean reward of the training lifetimes, (I,); a return that is not finite counts
            as −2 (0 if the reward is binary).
        gradient_norms: median and largest of ‖∂J/∂ψ‖ over lifetimes, before they are cut, (I, 2).
        lost: lifetimes left out of the gradient, (I,).
        evaluated: iterations whose average was evaluated, (E,).
        held_out_rewards, held_out_trials: mean reward, and restricted mean trials, (E,).
        held_out_lost: validation lifetimes that blew up, (E,).
    """

    rule: Rule
    selected: int
    scale: Float[np.ndarray, "*P"]
    coefficients: Float[np.ndarray, "I1 *P"]
    averaged: Float[np.ndarray, "I1 *P"]
    objectives: Float[np.ndarray, "I"]
    gradient_norms: Float[np.ndarray, "I 2"]
    lost: Int[np.ndarray, "I"]
    evaluated: Int[np.ndarray, "E"]
    held_out_rewards: Float[np.ndarray, "E"]
    held_out_trials: Float[np.ndarray, "E"]
    held_out_lost: Int[np.ndarray, "E"]


def coordinate_scale(setting: Setting, rule: Rule, seed: int) -> Float[np.ndarray, "d1 d1"]:
    """s: `plasticity.meta.estimators.relative_scale`, r.m.s. over 8 networks used for nothing else.

    Raises:
        ValueError: a rule without coefficients; a term that vanishes or is not finite, so that its
            coefficient has no scale.
    """
    fix = "give meta_train a scale"
    polynomial = hasattr(rule, "coefficients")
    require(polynomial, "a rule with coefficients has a scale", type(rule).__name__, fix)
    keys, networks, *shared = setting.arguments(seed, _SCALE_RUNS, rule)
    scales = jax.vmap(lambda key, network: relative_scale(key, network, *shared))(keys, networks)
    scale = np.sqrt(np.mean(np.asarray(scales, float) ** 2, axis=0))
    usable = bool((np.isfinite(scale) & (scale > 0)).all())
    fix = "let the units be kicked, or lower the degree"
    require(usable, "no term r^k Δ^ℓ vanishes in first trials", scale.tolist(), fix)
    return scale


def meta_train(
    setting: Setting,
    estimator: Estimator,
    start: Rule | RuleStack | Float[Array | np.ndarray, "d1 d1"],
    config: MetaTraining,
    *,
    scale: Float[Array | np.ndarray, "*P"] | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool | None = None,
) -> MetaTrainingResult:
    """Learn the rule: ascend from ``start`` by the estimator's gradients, on fresh networks.

    Iteration i meets the runs iB … (i+1)B − 1 of the training seed, so that none serves twice, and
    depends on nothing that is not in the checkpoint: a run that is killed goes on to the same bits
    on the same machine. Several processes call this alike, share the lifetimes and return the same;
    the first one writes.

    Args:
        estimator: of ∂J/∂θ for each lifetime, from `plasticity.meta.estimators`.
        start: a rule, or θ with all else as in the setting's rule.
        scale: s, of the shape of the rule's parameters; by default `coordinate_scale`.
        checkpoint: file replaced after each iteration; if it exists the run goes on from there, to
            more iterations than before if ``final_step_size`` is 1: else steps of the past would
            have been others.
        progress: a bar on stderr with the current objectives; by default only on a terminal.

    Raises:
        ValueError: a start of several rules, without parameters, or without coefficients where no
            scale is given; a scale of another shape, or not positive; a checkpoint that cannot be
            written, or of another run (names what differs).
        FloatingPointError: more than half of an iteration's lifetimes are not finite; the
            checkpoint is that of the iteration before.

    Warns:
        RuntimeWarning: lifetimes that are not finite were left out (names iteration and count); a
            checkpoint that cannot be read was set aside.
    """
    rule = _start(setting, start)
    failure = failure_reward(setting.learner)
    parts = {f"setting.{part.name}": getattr(setting, part.name) for part in fields(setting)}
    numbers = {f"config.{name}": value for name, value in asdict(config).items()}
    fit = None
    if config.final_step_size == 1.0:
        fit = _lengthened
        del numbers["config.n_iterations"]
    given = {}
    if scale is not None:
        given = {"scale": np.asarray(scale, float)}
        check_scale(given["scale"], rule)
    identity = describe(start=rule, estimator=estimator, **given, **parts, **numbers)

    def with_coefficients(theta) -> Rule:
        return rule.with_parameters(jnp.asarray(theta, rule.parameters.dtype))

    def finish(state: Arrays, i: int) -> None:
        """End iteration i (0 is the start): evaluate the average if its turn has come, and save."""
        for turn in np.flatnonzero(state["evaluated"] == i):
            average = with_coefficients(state["averaged"][i])
            _validate(state, int(turn), setting, average, config)
        state["iteration"][...] = i
        save_checkpoint(checkpoint, state, identity)

    steps = (config.step_size, config.final_step_size, config.n_iterations)
    ascent = Ascent(*steps, config.momentum, config.sparsity)
    scale = given["scale"] if given else coordinate_scale(setting, rule, config.training_seed)
    blank = _blank(np.asarray(rule.parameters, float), scale, config, ascent)
    state = resume(checkpoint, blank, identity, fit)
    if state["iteration"] < 0:
        finish(state, 0)
    done, total = int(state["iteration"]), config.n_iterations
    hidden = None if progress is None else not progress  # None: unless on a terminal
    with tqdm(total=total, initial=done, disable=jax.process_index() > 0 or hidden) as bar:
        for i in range(done, total):
            runs = np.arange(i * config.n_networks, (i + 1) * config.n_networks, dtype=np.uint32)
            present = with_coefficients(state["coefficients"][i])
            arguments = setting.arguments(config.training_seed, runs, present)
            estimate = estimator(*arguments, config.n_trials)
            gradient = mean_of_cut(_note(state, i, estimate, failure), config.max_norm)
            state = from_first_process(_ascend(state, i, gradient, ascent, config.averaging))
            finish(state, i + 1)
            held_out = np.nanmax(state["held_out_rewards"])
            bar.set_postfix(reward=state["objectives"][i], best_held_out=held_out)
            bar.update()
    # The first of equals; equal trials leave it to the reward.
    trials = state["held_out_trials"] * (config.select == "trials")
    selected = int(state["evaluated"][np.lexsort((-state["held_out_rewards"], trials))[0]])
    chosen = with_coefficients(state["averaged"][selected])
    history = {name: state[name] for name in MetaTrainingResult._fields if name in state}
    return MetaTrainingResult(chosen, selected, **history)


def _start(setting: Setting, start) -> Rule:
    """The rule to start from, checked."""
    several, fix = isinstance(start, RuleStack), "train from each on its own"
    require(not several, "one rule to start from", "several", fix)
    if not is_rule(start):
        check_polynomial(setting.rule)
        return setting.rule.with_parameters(make_rule(start).coefficients)
    check_learned(start)
    return start


def _blank(theta: np.ndarray, scale, config: MetaTraining, ascent: Ascent) -> Arrays:
    """All that the loop knows, before its start is evaluated."""
    n = config.n_iterations
    evaluated = np.unique([*range(0, n, config.validate_every), n])
    course = np.full((n + 1, *theta.shape), np.nan)
    course[0] = theta
    return _named(ascent.start(theta.shape)) | {
        "iteration": np.array(-1),
        "scale": scale,
        "coefficients": course,
        "averaged": course.copy(),
        "objectives": np.full(n, np.nan),
        "gradient_norms": np.full((n, 2), np.nan),
        "lost": np.zeros(n, int),
        "evaluated": evaluated,
        "held_out_rewards": np.full(evaluated.size, np.nan),
        "held_out_trials": np.full(evaluated.size, np.nan),
        "held_out_lost": np.zeros(evaluated.size, int),
    }


def _lengthened(state: Arrays, blank: Arrays) -> Arrays:
    """A state of fewer iterations as the beginning of one of more."""
    kinds, wanted = ({name: array.dtype for name, array in s.items()} for s in (state, blank))
    if kinds != wanted:
        return state  # `resume` says what differs
    done, total = len(state["objectives"]), len(blank["objectives"])
    fix = "give as many or more, or another file"
    require(done <= total, f"a run of {done} iterations goes on", f"n_iterations = {total}", fix)
    longer = dict(state)
    for name in ("coefficients", "averaged", "objectives", "gradient_norms", "lost"):
        longer[name] = np.concatenate([state[name], blank[name][len(state[name]) :]])
    # An evaluation at the end of the shorter run is dropped where the longer one has none.
    _, before, now = np.intersect1d(state["evaluated"], blank["evaluated"], return_indices=True)
    longer["evaluated"] = blank["evaluated"]
    for name in ("held_out_rewards", "held_out_trials", "held_out_lost"):
        longer[name] = blank[name].copy()
        longer[name][now] = state[name][before]
    return longer


def _validate(state: Arrays, turn: int, setting: Setting, rule: Rule, config: MetaTraining) -> None:
    """Evaluation number ``turn``, on the validation networks, the same ones every time."""
    sizes = {"n_networks": config.n_validation, "n_trials": config.validation_trials}
    criterion = {"window": config.window, "needed": config.needed}
    evaluation = evaluate(setting, rule, seed=config.validation_seed, **sizes, **criterion)
    state["held_out_rewards"][turn] = evaluation.rewards.mean()
    state["held_out_trials"][turn] = restricted_mean(evaluation.trials)
    state["held_out_lost"][turn] = evaluation.lost.sum()


def _note(state: Arrays, i: int, estimate: MetaGradient, failure: float):
    """Gradients in ψ of the lifetimes that are finite; what the others were worth is noted."""
    gradients = np.asarray(estimate.gradients, float) / state["scale"]
    norms, returns = norms_of(gradients), np.asarray(estimate.returns, float)
    good = np.asarray(estimate.finite) & np.isfinite(norms)
    state["objectives"][i] = np.where(np.isfinite(returns), returns, failure).mean()
    state["lost"][i] = lost = int((~good).sum())
    where = f"{lost} of {good.size} lifetimes are not finite in iteration {i + 1}"
    if 2 * lost > good.size:
        advice = "lower step_size or the learning rate, clip its updates, or shorten lifetimes"
        raise FloatingPointError(f"{where}, more than half: {advice}")
    if lost:
        warnings.warn(f"{where}: they are left out of the gradient", RuntimeWarning, stacklevel=3)
    state["gradient_norms"][i] = np.median(norms[good]), norms[good].max()
    return gradients[good]


def _ascend(state: Arrays, i: int, gradient, ascent: Ascent, averaging: float) -> Arrays:
    """θ and its average after iteration i."""
    memory = [state[f"optimiser_{j}"] for j in range(len(ascent.start(gradient.shape)))]
    theta, mean, scale = state["coefficients"], state["averaged"], state["scale"]
    psi, memory = ascent.step(theta[i] * scale, gradient, memory, i)
    theta[i + 1] = psi / scale
    share = (1 - averaging) / (1 - averaging ** (i + 2))
    mean[i + 1] = mean[i] + share * (theta[i + 1] - mean[i])
    return state | _named(memory)


def _named(memory: list[np.ndarray]) -> Arrays:
    return {f"optimiser_{j}": leaf for j, leaf in enumerate(memory)}
