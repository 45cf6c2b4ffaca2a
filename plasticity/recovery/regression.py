"""The coefficients of a polynomial trace, from recorded weights or from recorded activity.

A change of weights is linear in them: ΔW_ij = ηδ Σ_kℓ θ_kℓ F_kℓ,ij with F_kℓ,ij = Σ_t λ_t r_j^k
Δ_i^ℓ, so weights give ηθ at once. Activity gives it as well. With W⁰ before the first trial, trial
h has

    (τ/dt)(x_{t+1} − x_t) + x_t = Σ_j W⁰_ij r_j + Σ_c B_ic u_c + Σ_kℓ ηθ_kℓ G_kℓ,i + (τ/dt) kick_i,
    G_kℓ,i = Σ_j r_j Σ_{g<h} δ_g F_kℓ,ij of trial g,

which is linear in W⁰, in the input weights B and in ηθ. The first two differ from unit to unit and
are taken out; what is left is one regression for all units. Learning is not simulated, each step is
predicted from the one before, so that chaos does not matter. Kicks are few and large: they are
found as outliers and left out. All of it is for changes of weights without a bound. (Ours. The same
question by gradients through simulated learning: Mehta et al., NeurIPS 2024.)
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from numpy.polynomial.polynomial import polyvander
from scipy.linalg import solve_triangular

from plasticity.recovery.recording import Recording
from plasticity.rules.trace import decay_weights
from plasticity.types import Coefficients, require

Theta: TypeAlias = Coefficients | Float[np.ndarray, "d1 d1"]

HELD_OUT = 0.2  # share of the trials, the last ones, that are predicted and not fitted
STEPS_PER_WEIGHT = 1.5  # that weights of their own need, in the trials held out
_OUTLIER = 5.0  # robust standard deviations from which on a residual is taken for a kick
_ROUNDS = 100  # of leaving out kicks and fitting again, at most


class Assumed(NamedTuple):
    """What is assumed of a rule whose coefficients are looked for; the defaults are the book's.

    Attributes:
        degree: d, the highest power of both factors.
        tau_e: decay time of the trace, ms.
        tau_filter: time constant of the filter of x̄, which starts each trial with x, ms.
        baseline_rate: step of the running baseline R̄, one for each condition.
        initial_baseline: R̄ before the first trial.
    """

    degree: int = 5
    tau_e: float = 1000.0
    tau_filter: float = 20.0
    baseline_rate: float = 0.25
    initial_baseline: float = -1.0


ASSUMED = Assumed()


class Compressed(NamedTuple):
    """A least-squares problem in P numbers: ‖y − Gθ‖² = ‖projected − factor θ‖² + rest.

    Attributes:
        factor: upper triangle of G = QR, (P, P).
        projected: Qᵀy, (P,).
        rest: what no θ explains, ().
        n_numbers: entries of y.
    """

    factor: Float[np.ndarray, "P P"]
    projected: Float[np.ndarray, "P"]
    rest: float
    n_numbers: int

    @classmethod
    def of(cls, blocks) -> "Compressed":
        """Of blocks (G, y) of rows, one after the other; never by normal equations."""
        factor, n_numbers = None, 0
        for G, y in blocks:
            rows = np.column_stack([G, y])
            rows = rows if factor is None else np.concatenate([factor, rows])
            factor, n_numbers = np.linalg.qr(rows, mode="r"), n_numbers + len(y)
        # Fewer rows than numbers: the triangle is filled up with zeros.
        P = factor.shape[1] - 1
        whole = np.zeros((P + 1, P + 1))
        whole[: len(factor)] = factor
        return cls(whole[:P, :P], whole[:P, P], float(whole[P, P] ** 2), n_numbers)

    @property
    def total(self) -> float:
        """‖y‖²."""
        return float(self.projected @ self.projected) + self.rest

    def explained(self, theta: Float[np.ndarray, "P"]) -> float:
        """1 − ‖y − Gθ‖² / ‖y‖²."""
        left = self.projected - self.factor @ theta
        return 1.0 - (float(left @ left) + self.rest) / self.total


class Recovered(NamedTuple):
    """What a recording says of the coefficients of a rule.

    Attributes:
        coefficients: ηθ, (d+1, d+1).
        standard_errors: of these, as of independent residuals of one size.
        fitted: the regression in trials that were fitted, with what is fitted in place of kicks.
        held_out: the same in the trials that were not, the last ones, without kicks.
        free: share of the trials held out that the best constant weights would explain, fitted to
            them alone; a rule may explain more, for these do not change. NaN where there are fewer
            than `STEPS_PER_WEIGHT` steps for each weight of a unit.
        kept: share of the numbers fitted that were used; the others were taken for kicks.
    """

    coefficients: Float[np.ndarray, "d1 d1"]
    standard_errors: Float[np.ndarray, "d1 d1"]
    fitted: Compressed
    held_out: Compressed
    free: float
    kept: float

    @property
    def sizes(self) -> Float[np.ndarray, "d1 d1"]:
        """R.m.s. of what each coefficient is multiplied with: times it, a coefficient compares."""
        norms = np.linalg.norm(self.fitted.factor, axis=0)
        return (norms / np.sqrt(self.fitted.n_numbers)).reshape(self.coefficients.shape)

    def directions(self) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P d1 d1"]]:
        """Singular values of the regression, and its directions, in coordinates of equal effect.

        Along a direction with the singular value s the standard error is 1/s times that of a term
        that is at right angles to all others.
        """
        scaled = self.fitted.factor / np.linalg.norm(self.fitted.factor, axis=0)
        _, strengths, rows = np.linalg.svd(scaled)
        return strengths, rows.reshape(-1, *self.coefficients.shape)

    def error_of(self, known: Theta) -> float:
        """R.m.s. effect of the error of the coefficients, over that of the rule whose ηθ is known.

        Raises:
            ValueError: coefficients of another degree, or none that is not 0.
        """
        known = self._checked(known)
        wrong = self.fitted.factor @ (self.coefficients.ravel() - known)
        return float(np.linalg.norm(wrong) / np.linalg.norm(self.fitted.factor @ known))

    def learning_rate_of(self, coefficients: Theta) -> float:
        """η with which a rule θ fits best, and at least 0.

        Raises:
            ValueError: coefficients of another degree, or none that is not 0.
        """
        effect = self.fitted.factor @ self._checked(coefficients)
        return max(float(effect @ self.fitted.projected) / float(effect @ effect), 0.0)

    def explained_by(self, coefficients: Theta) -> float:
        """Share of the trials held out that a rule θ explains, at its best η.

        It is a share of what constant weights leave unexplained that were fitted to the earlier
        trials. Below zero: worse than such weights.

        Raises:
            ValueError: as `learning_rate_of`.
        """
        theta = self.learning_rate_of(coefficients) * np.asarray(coefficients, float)
        return self.held_out.explained(theta.ravel())

    def _checked(self, coefficients: Theta) -> Float[np.ndarray, "P"]:
        theta = np.asarray(coefficients, float)
        rule, fix = f"coefficients {self.coefficients.shape}", "give as many powers as were fitted"
        require(theta.shape == self.coefficients.shape, rule, theta.shape, fix)
        fix = "a rule that learns nothing explains nothing"
        require(bool(theta.any()), "a coefficient that is not 0", "none", fix)
        return theta.ravel()


def recover_from_weights(
    recording: Recording,
    weights: Float[np.ndarray, "H M M"],
    assumed: Assumed = ASSUMED,
    *,
    held_out: float = HELD_OUT,
) -> Recovered:
    """Coefficients from the weights among recorded units before each trial.

    Arguments and result as in `recover_rule`; nothing is taken for a kick, and `Recovered.free` is
    1, for the changes themselves are known.

    Raises:
        ValueError: weights of another shape or not finite; nothing held out; τ_e < dt.
    """
    weights = np.asarray(weights, float)
    H, _, M = recording.rates.shape
    fix = "give those among the recorded units, before each trial"
    require(weights.shape == (H, M, M), f"weights {(H, M, M)}", weights.shape, fix)
    bad = int((~np.isfinite(weights)).sum())
    require(bad == 0, "weights are finite", f"{bad} that are not", "leave these trials out")
    terms, changes = _Terms(recording, assumed), np.diff(weights, axis=0)
    last = _first_held_out(H - 1, held_out)

    def rows(trials):
        return ((terms.of_trial(h).reshape(-1, terms.count), changes[h].ravel()) for h in trials)

    fitted, later = (Compressed.of(rows(trials)) for trials in (range(last), range(last, H - 1)))
    theta = _Inverse.of(fitted.factor).solve(fitted.factor.T @ fitted.projected)
    freedom = fitted.n_numbers - len(theta)
    return _recovered(theta, fitted, later, freedom=freedom, free=1.0, kept=1.0)


def recover_rule(
    recording: Recording, assumed: Assumed = ASSUMED, *, held_out: float = HELD_OUT
) -> Recovered:
    """Coefficients from activity and rewards, of a network that changes from trial to trial.

    Units that were not recorded are missing from the sum over j; the recorded ones stand in for
    them as far as they can.

    Args:
        held_out: share of the trials, the last ones, that are predicted and not fitted.

    Raises:
        ValueError: too few trials for the weights of a unit; nothing held out; τ_e < dt.
    """
    M, T = recording.rates.shape[2], recording.rates.shape[1] - 1
    terms, last = _Terms(recording, assumed), _first_held_out(len(recording.rates), held_out)
    y, Z, n = _predicted(recording), _predictors(recording), last * T
    need = 2 * (Z.shape[1] + terms.count)
    fix = f"record {-(-need // T)} trials or more beside those held out, or fewer units"
    require(n >= need, f"{need} steps or more to fit the weights of {M} units", n, fix)
    basis, triangle = np.linalg.qr(Z[:n])
    early, late = np.empty((M, n, terms.count)), np.empty((M, len(Z) - n, terms.count))
    for unit in range(M):
        G = terms.of_unit(unit)
        inside = basis.T @ G[:n]
        early[unit] = G[:n] - basis @ inside
        late[unit] = G[n:] - Z[n:] @ solve_triangular(triangle, inside)
    fit = _fit_without_kicks(y[:n], basis, early)
    left = y[n:] - Z[n:] @ solve_triangular(triangle, fit.weights)
    clean = np.abs(left - _effect(late, fit.theta)) <= fit.largest
    rows = ((late[unit][clean[:, unit]], left[clean[:, unit], unit]) for unit in range(M))
    later = Compressed.of(rows)
    free = 1.0 - _left_by_free_weights(left, clean, Z[n:]) / later.total
    freedom = int(fit.kept.sum()) - M * Z.shape[1] - terms.count
    kept = float(fit.kept.mean())
    return _recovered(fit.theta, fit.problem, later, freedom=freedom, free=free, kept=kept)


def predicted_changes(
    recording: Recording,
    coefficients: Theta,
    assumed: Assumed = ASSUMED,
) -> Float[np.ndarray, "H M M"]:
    """δ Σ_kℓ ηθ_kℓ F_kℓ: by how much a rule of these ηθ changes the weights in each trial.

    The degree is that of the coefficients.

    Raises:
        ValueError: τ_e < dt.
    """
    theta = np.asarray(coefficients, float)
    terms = _Terms(recording, assumed._replace(degree=len(theta) - 1))
    right = terms.presynaptic @ theta  # (H, T, M, ℓ)
    H, T, M, L = right.shape
    left = np.swapaxes(terms.postsynaptic, 2, 3).reshape(H, T * L, M)
    return np.swapaxes(left, 1, 2) @ np.swapaxes(right, 2, 3).reshape(H, T * L, M)


def _recovered(
    theta, fitted: Compressed, later: Compressed, *, freedom: int, free: float, kept: float
) -> Recovered:
    spread = fitted.rest / max(freedom, 1)
    errors = np.sqrt(spread * _Inverse.of(fitted.factor).diagonal())
    shape = (round(len(theta) ** 0.5),) * 2
    return Recovered(theta.reshape(shape), errors.reshape(shape), fitted, later, free, kept)


def _first_held_out(n_trials: int, held_out: float) -> int:
    last = n_trials - int(np.ceil(held_out * n_trials))
    fix = "hold out a fifth, of five trials or more"
    require(0 < last < n_trials, "trials to fit and trials to hold out", (n_trials, held_out), fix)
    return last


def _predicted(recording: Recording) -> Float[np.ndarray, "n M"]:
    """(τ/dt)(x_{t+1} − x_t) + x_t of all trials and steps."""
    x, ratio = recording.states, recording.tau / recording.dt
    return (ratio * np.diff(x, axis=1) + x[:, :-1]).reshape(-1, x.shape[-1])


def _predictors(recording: Recording) -> Float[np.ndarray, "n q"]:
    """What the weights of a unit are multiplied with: rates, and inputs that are used."""
    inputs = recording.inputs.reshape(-1, recording.inputs.shape[-1])
    used = inputs[:, np.linalg.norm(inputs, axis=0) > 0]
    rates = recording.rates[:, :-1]
    return np.concatenate([rates.reshape(-1, rates.shape[-1]), used], axis=1)


class _Inverse(NamedTuple):
    """(RᵀR)⁻¹ of a triangle, its columns scaled alike; directions that are all but 0 are left out.

    Attributes:
        root: A of (RᵀR)⁻¹ = AAᵀ, (P, P).
    """

    root: Float[np.ndarray, "P P"]

    @classmethod
    def of(cls, factor: Float[np.ndarray, "P P"]) -> "_Inverse":
        norms = np.linalg.norm(factor, axis=0)
        norms = np.where(norms > 0, norms, 1.0)
        _, strengths, rows = np.linalg.svd(factor / norms)
        told = strengths > 1e-12 * strengths.max()
        return cls(rows[told].T / strengths[told] / norms[:, None])

    def solve(self, gradient: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
        return self.root @ (self.root.T @ gradient)

    def diagonal(self) -> Float[np.ndarray, "P"]:
        return (self.root**2).sum(axis=1)


class _Fit(NamedTuple):
    """A regression without kicks.

    Attributes:
        theta: coefficients, (P,).
        weights: of each unit, in the basis, (q, M).
        kept: what was not taken for a kick, (n, M).
        largest: residual of each unit from which on it was, (M,).
        problem: the regression, with what is fitted in place of kicks.
    """

    theta: Float[np.ndarray, "P"]
    weights: Float[np.ndarray, "q M"]
    kept: Bool[np.ndarray, "n M"]
    largest: Float[np.ndarray, "M"]
    problem: Compressed


def _fit_without_kicks(
    y: Float[np.ndarray, "n M"], basis: Float[np.ndarray, "n q"], G: Float[np.ndarray, "M n P"]
) -> _Fit:
    """Again and again: replace kicks by what is fitted, fit, and say what is a kick.

    With kicks in a few numbers of a hundred, each round leaves a few hundredths of the error.
    """
    factor = Compressed.of((block, np.zeros(len(block))) for block in G).factor
    inverse, effects = _Inverse.of(factor), np.linalg.norm(factor, axis=0)
    theta, kept = np.zeros(G.shape[-1]), np.ones(y.shape, bool)
    fitted, predicted, smallest = y, np.zeros_like(y), 1e-12 * np.abs(y).max()
    for _ in range(_ROUNDS):
        filled = np.where(kept, y, fitted)
        weights = basis.T @ filled
        left = filled - basis @ weights
        # RᵀR loses half the digits of what it is applied to: of the residual, not of y.
        step = inverse.solve(np.tensordot(G, (left - predicted).T, axes=([0, 1], [0, 1])))
        theta = theta + step
        predicted = _effect(G, theta)
        fitted = basis @ weights + predicted
        residuals = np.abs(y - fitted)
        largest = np.maximum(_OUTLIER * np.median(residuals, axis=0) / 0.6745, smallest)
        before, kept = kept, residuals <= largest
        small = np.linalg.norm(effects * step) <= 1e-11 * np.linalg.norm(effects * theta)
        if small and (kept == before).all():
            break
    # At the least squares Qᵀy = Rθ, so that G need not be taken apart again.
    missed = float(((left - predicted) ** 2).sum())
    problem = Compressed(factor, factor @ theta, missed, left.size)
    return _Fit(theta, weights, kept, largest, problem)


def _effect(G: Float[np.ndarray, "M n P"], theta: Float[np.ndarray, "P"]):
    """Gθ, (n, M)."""
    return (G @ theta).T


def _left_by_free_weights(
    left: Float[np.ndarray, "n M"], clean: Bool[np.ndarray, "n M"], Z: Float[np.ndarray, "n q"]
) -> float:
    """Squares that the best constant weights leave, by those that are fitted to these trials.

    NaN with fewer than `STEPS_PER_WEIGHT` steps for each weight.
    """
    total, n_weights = 0.0, Z.shape[1]
    for unit, kept in enumerate(clean.T):
        if kept.sum() < STEPS_PER_WEIGHT * n_weights:
            return np.nan
        basis, y = np.linalg.qr(Z[kept])[0], left[kept, unit]
        misses = float(((y - basis @ (basis.T @ y)) ** 2).sum())
        # What is fitted leaves less than the best weights do, by one step for each of them.
        total += misses * len(y) / (len(y) - n_weights)
    return total


class _Terms:
    """F of a recording: what a trial adds to each term of the trace, times δ."""

    def __init__(self, recording: Recording, assumed: Assumed):
        require(assumed.degree >= 0, "degree ≥ 0", assumed.degree, "give the highest power")
        self.count = (assumed.degree + 1) ** 2
        self.rates = recording.rates[:, :-1]
        decay = decay_weights(self.rates.shape[1], recording.dt, assumed.tau_e)
        factors = np.asarray(decay, float) * _prediction_errors(recording, assumed)[:, None]
        change = _fluctuations(recording, assumed)
        # Contiguous, for `of_unit` reshapes it for every unit. (H, T, M, k)
        self.presynaptic = np.ascontiguousarray(polyvander(self.rates, assumed.degree))
        self.postsynaptic = factors[..., None, None] * polyvander(change, assumed.degree)

    def of_trial(self, h: int) -> Float[np.ndarray, "M M P"]:
        """δF of one trial, for all pairs of units."""
        factors = (self.presynaptic[h], self.postsynaptic[h])
        terms = np.einsum("tjk,til->ijkl", *factors, optimize=True)
        return terms.reshape(*terms.shape[:2], self.count)

    def of_unit(self, unit: int) -> Float[np.ndarray, "n P"]:
        """G of one unit: what all trials before add to its input, at each step."""
        H, T, M, K = self.presynaptic.shape
        left = np.swapaxes(self.postsynaptic[:, :, unit], 1, 2)  # (H, ℓ, T)
        F = (left @ self.presynaptic.reshape(H, T, M * K)).reshape(H, -1, M, K)
        F = F.transpose(0, 2, 3, 1).reshape(H, M, self.count)
        before = np.zeros_like(F)
        np.cumsum(F[:-1], axis=0, out=before[1:])
        return (self.rates @ before).reshape(H * T, self.count)


def _prediction_errors(recording: Recording, assumed: Assumed) -> Float[np.ndarray, "H"]:
    """δ = R − R̄ of each trial, R̄ a running mean for each condition, as `Learner` has it."""
    baselines = np.full(recording.conditions.max() + 1, float(assumed.initial_baseline))
    errors = np.empty(len(recording.rewards))
    for trial, slot in enumerate(recording.conditions):
        errors[trial] = recording.rewards[trial] - baselines[slot]
        baselines[slot] += assumed.baseline_rate * errors[trial]
    return errors


def _fluctuations(recording: Recording, assumed: Assumed) -> Float[np.ndarray, "H T M"]:
    """Δ_t = x̄_t − x_{t+1}, with x̄ from x_0 on."""
    x, gain = recording.states, 1.0 - np.exp(-recording.dt / assumed.tau_filter)
    filtered, changes = x[:, 0], np.empty_like(x[:, 1:])
    for step in range(changes.shape[1]):
        changes[:, step] = filtered - x[:, step + 1]
        filtered = filtered - gain * changes[:, step]
    return changes
