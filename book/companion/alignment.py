"""Chapter 10, second part: where an update points, beside the gradient, and whether that matters.

Weights are held still while updates are looked at, so that all updates of a rule are draws from one
distribution. The gradient is that of the mean error without exploration, by reverse mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from companion.algorithms import AlgorithmTuning
from companion.contest import NUMBERS, Algorithm, Contest, quiet_learner
from companion.experiment import Experiment, Variable
from companion.labels import term_labels
from companion.learned_rule import ODD, Selection, learned_coefficients
from companion.search import in_parts
from companion.seeds import seed
from companion.settings import brief_setting, miconi_setting
from companion.tuning import VERIFIED
from plasticity.learning.lifetime import learn
from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner
from plasticity.model.exploration import Kicks, Noise
from plasticity.model.network import Network, random_network
from plasticity.model.tasks import Task
from plasticity.rules.backpropagation import backpropagation
from plasticity.rules.base import stack
from plasticity.rules.perturbation import clean_trial
from plasticity.rules.three_factor import single_term, zero
from plasticity.rules.trace import FunctionTrace, Polynomial, Trace

STAGES = ("untrained", "halfway")
_SETTLING = 16  # trials in which R̄ comes to rest
_QUIET = 32  # trials whose gradients are averaged
_GROUP = 8  # networks whose updates are held in memory


def update_of(before, episode, outcome):
    """The update at a learning rate of 1 and without a bound, (N, N)."""
    return outcome.trace * outcome.third_factor


def update_of_first_unit(before, episode, outcome):
    """Its row of the synapses onto unit 0, (N,)."""
    return update_of(before, episode, outcome)[0]


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the last axes of two arrays; 0 where one of them is zero."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.einsum("...i,...i->...", a, b) / np.where(norms > 0, norms, 1.0)


def alignment(updates: np.ndarray, gradient: np.ndarray, averages: Sequence[int]) -> np.ndarray:
    """Cosine with the gradient (S,) of the mean of so many updates (M, S), (averages,).

    The mean over all groups of that many that follow each other.
    """
    found = []
    for size in averages:
        groups = updates[: len(updates) // size * size].reshape(-1, size, updates.shape[-1])
        found.append(cosine(groups.mean(axis=1), gradient).mean())
    return np.array(found)


def error_gradient(setting: Setting, keys, networks: Network) -> np.ndarray:
    """−∂/∂W of the mean error in trials without exploration, (networks, S)."""
    learner = quiet_learner(setting)
    rule = backpropagation(learning_rate=0.0, loss="absolute")
    run = learn(keys, networks, setting.task, rule, learner, _QUIET, observe=update_of)
    gradients = np.asarray(run.observed).mean(axis=1)
    return gradients.reshape(len(gradients), -1)


@dataclass(frozen=True, kw_only=True)
class _Aligned(Experiment):
    """Networks of the brief association at two stages, whose weights are held still.

    Attributes:
        n_before: trials of node perturbation, at the numbers chosen for it, that lead halfway.
        n_updates: that are looked at.
        averages: numbers of updates that are averaged before they are compared.
    """

    seeds = {"alignment": seed("alignment")}

    tuning: AlgorithmTuning = AlgorithmTuning()
    n_networks: int = 32
    n_before: int = 40
    n_updates: int = 1024
    averages: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)

    @property
    def needs(self) -> dict[str, Experiment]:
        return {"tuning": self.tuning, "selection": self.tuning.selection}

    def contest(self, name: str, selection: xr.Dataset) -> Contest:
        """The algorithm of that name in the setting of the search."""
        return self.tuning.contest(self.tuning.algorithms.index(name), selection)

    def networks(
        self, stage: str, runs: Sequence[int], tuning: xr.Dataset, selection: xr.Dataset
    ) -> Network:
        """Those of these numbers at a stage."""
        name = "node perturbation"
        contest = self.contest(name, selection)
        networks = contest.setting.networks(self.seeds["alignment"], runs)
        if stage == "untrained":
            return networks
        values, units = _chosen(tuning.sel(algorithm=name))
        rule = stack([contest.rule(values, units)])
        where = (self.seeds["alignment"], runs, self.n_before)
        taught = contest.learn(*where, rule, [values["exploration"]])
        return networks._replace(W=taught.state.W[0])

    def updates(self, contest: Contest, rules, sizes, networks: Network, runs, n: int):
        """Updates of a stack of rules with the weights held still, (rules, networks, n, S)."""
        keys, _, task, _, learner = contest.within.arguments(self.seeds["alignment"], runs)
        scale = jnp.repeat(jnp.asarray(sizes)[:, None], len(runs), 1)
        options = {"noise_scale": scale, "observe": update_of}
        run = learn(keys, networks, task, rules, learner, _SETTLING + n, **options)
        return np.asarray(run.observed)[:, :, _SETTLING:].reshape(len(rules), len(runs), n, -1)

    def keys(self, contest: Contest, runs):
        """Those of the trials in which the gradient is averaged."""
        return contest.setting.arguments(self.seeds["alignment"], runs)[0]


def _chosen(tuned: xr.Dataset) -> tuple[dict[str, float], np.ndarray]:
    """Values and units of an algorithm in an `AlgorithmTuning`."""
    values = dict(zip(NUMBERS, tuned["values"].values.tolist(), strict=True))
    return values, tuned.units.values


def _held(values: dict[str, float]) -> dict[str, float]:
    """The same values with learning rates of zero and no bound."""
    size = 1.0 if np.isnan(values["exploration"]) else values["exploration"]
    return {"exploration": size, "step": 0.0, "bound": np.inf, "readout": 0.0}


@dataclass(frozen=True, kw_only=True)
class AlgorithmAlignment(_Aligned):
    """Of every algorithm, with exploration of the size that was chosen for it."""

    name = "algorithm_alignment"
    title = "Cosine of the updates of algorithms with the gradient"
    axis = "algorithm"
    variables = {
        "cosine": Variable(
            ("algorithm", "stage", "network", "averaged"),
            "cosine with the gradient of the mean of so many updates",
        ),
        "first": Variable(
            ("algorithm", "network", "update"), "cosines of single updates, untrained"
        ),
    }

    @property
    def compared(self) -> list[str]:
        """Those that change recurrent weights."""
        return [n for n in self.tuning.algorithms if n not in ("readout only", "no learning")]

    def coordinates(self):
        return {
            "algorithm": self.compared,
            "stage": list(STAGES),
            "network": range(self.n_networks),
            "averaged": list(self.averages),
            "update": range(VERIFIED),
        }

    def measure_one(self, index: int, tuning: xr.Dataset, selection: xr.Dataset):
        needs = {"tuning": tuning, "selection": selection}
        found = [
            [self._of_group(index, stage, runs, self.n_updates, **needs) for runs in self._groups()]
            for stage in STAGES
        ]
        cosines = [
            [
                alignment(updates, gradient, self.averages)
                for one in groups
                for updates, gradient in one
            ]
            for groups in found
        ]
        first = [cosine(u[:VERIFIED], g) for one in found[0] for u, g in one]
        return {"cosine": cosines, "first": first}

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, tuning: xr.Dataset, selection: xr.Dataset
    ):
        needs = {"tuning": tuning, "selection": selection}
        runs = range(min(2, self.n_networks))
        pairs = self._of_group(index, STAGES[0], runs, VERIFIED, **needs)
        return {"first": [cosine(updates, gradient) for updates, gradient in pairs]}

    def _groups(self) -> list[range]:
        return in_parts(range(self.n_networks), _GROUP)

    def _of_group(self, index: int, stage: str, runs, n: int, tuning, selection) -> list[tuple]:
        """Updates (n, S) and gradient (S,) of each network."""
        contest, networks, updates = self._made(index, stage, runs, n, tuning, selection)
        gradients = error_gradient(contest.setting, self.keys(contest, runs), networks)
        return list(zip(updates, gradients, strict=True))

    def _made(self, index: int, stage: str, runs, n: int, tuning, selection) -> tuple:
        """Contest, networks, and their updates (networks, n, S)."""
        name = self.compared[index]
        contest = self.contest(name, selection)
        held = _held(_chosen(tuning.sel(algorithm=name))[0])
        networks = self.networks(stage, runs, tuning, selection)
        rules = stack([contest.rule(held, np.ones(2))])
        where = (networks, runs, n)
        return contest, networks, self.updates(contest, rules, [held["exploration"]], *where)[0]


@dataclass(frozen=True, kw_only=True)
class UpdateProgress(AlgorithmAlignment):
    """By how much a single update of each algorithm lowers the error, at steps of several sizes.

    A cosine counts all that an update has beside the gradient as loss, also where it moves weights
    that nothing depends on; this counts what the update does. All updates of an algorithm in a
    network are divided by their common r.m.s. and applied one by one, times each step. (Ours.)

    Attributes:
        steps: r.m.s. changes of a weight.
        n_trials: in which the error is measured, without exploration.
    """

    name = "update_progress"
    title = "Decrease of the error after one update, by the size of the step"
    variables = {
        "decrease": Variable(
            ("algorithm", "stage", "network", "step"), "of the mean error, mean over updates"
        ),
        "first": Variable(
            ("algorithm", "network", "step"), "decrease by the first four updates, untrained"
        ),
    }

    n_updates: int = 32
    averages: tuple[int, ...] = (1,)
    steps: tuple[float, ...] = tuple(float(f"{10 ** (e / 2):.3g}") for e in range(-9, -1))
    n_trials: int = 4

    def coordinates(self):
        return super().coordinates() | {"step": list(self.steps)}

    def measure_one(self, index: int, tuning: xr.Dataset, selection: xr.Dataset):
        needs = {"tuning": tuning, "selection": selection}
        decreases = [
            np.concatenate(
                [
                    self._decreases(index, st, runs, self.n_updates, **needs)
                    for runs in self._groups()
                ]
            )
            for st in STAGES
        ]
        first = decreases[0][:, :VERIFIED].mean(axis=1)
        return {"decrease": np.stack(decreases).mean(axis=2), "first": first}

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, tuning: xr.Dataset, selection: xr.Dataset
    ):
        # As many updates as recorded, for it is their common size that a step is measured in.
        runs, needs = range(min(2, self.n_networks)), {"tuning": tuning, "selection": selection}
        decreases = self._decreases(index, STAGES[0], runs, self.n_updates, **needs)
        return {"first": decreases[:, :VERIFIED].mean(axis=1)}

    def _decreases(self, index: int, stage: str, runs, n: int, tuning, selection) -> np.ndarray:
        """Of the error by each update at each step, (networks, n, steps)."""
        contest, networks, updates = self._made(index, stage, runs, n, tuning, selection)
        W = np.asarray(networks.W)
        size = np.sqrt(np.mean(updates**2, axis=(1, 2), keepdims=True))
        unit = (updates / np.where(size > 0, size, 1.0)).reshape(*updates.shape[:2], *W.shape[1:])
        moved = unit[:, :, None] * np.asarray(self.steps)[:, None, None]
        tried = (W[:, None, None] + moved).reshape(-1, *W.shape[1:])
        each = len(tried) // len(W)
        before = self._error(contest, runs, networks, 1)
        repeated = jax.tree.map(lambda a: jnp.repeat(a, each, axis=0), networks)
        after = self._error(contest, runs, repeated._replace(W=jnp.asarray(tried)), each)
        return before[:, None, None] - after.reshape(len(W), n, len(self.steps))

    def _error(self, contest: Contest, runs, networks: Network, each: int) -> np.ndarray:
        keys = jnp.repeat(self.keys(contest, runs), each, axis=0)
        learner = quiet_learner(contest.setting)
        run = learn(keys, networks, contest.setting.task, zero(), learner, self.n_trials)
        return np.asarray(run.errors, float).mean(axis=-1)


@dataclass(frozen=True, kw_only=True)
class TermAlignment(_Aligned):
    """Of every single term, with the kicks of chapter 07."""

    name = "term_alignment"
    title = "Cosine of the updates of single terms with the gradient"
    axis = "network"
    variables = {
        "cosine": Variable(
            ("network", "stage", "term", "averaged"),
            "cosine with the gradient of the mean of so many updates",
        ),
        "first": Variable(("network", "term", "update"), "cosines of single updates, untrained"),
    }

    n_networks: int = 24
    n_updates: int = 512
    averages: tuple[int, ...] = (1, 8, 64, 512)

    def coordinates(self):
        return {
            "network": range(self.n_networks),
            "stage": list(STAGES),
            "term": term_labels(),
            "averaged": list(self.averages),
            "update": range(VERIFIED),
        }

    def measure_one(self, index: int, tuning: xr.Dataset, selection: xr.Dataset):
        cosines = []
        for stage in STAGES:
            updates, gradient = self._of_terms(index, stage, self.n_updates, tuning, selection)
            if stage == STAGES[0]:
                first = cosine(updates[:, :VERIFIED], gradient)
            cosines.append([alignment(of_one, gradient, self.averages) for of_one in updates])
        return {"cosine": cosines, "first": first}

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, tuning: xr.Dataset, selection: xr.Dataset
    ):
        updates, gradient = self._of_terms(index, STAGES[0], VERIFIED, tuning, selection)
        return {"first": cosine(updates, gradient)}

    def _of_terms(self, index: int, stage: str, n: int, tuning, selection) -> tuple:
        """Updates of each term (36, n, S) and the gradient (S,) of a network."""
        setting = brief_setting(n_units=self.tuning.n_units)
        amplitude = setting.learner.exploration.amplitude
        contest = Contest(setting, Algorithm(single_term, "reward", "kicks"))
        networks = self.networks(stage, [index], tuning, selection)
        terms = [(k, ell) for k in range(6) for ell in range(6)]
        rules = stack([single_term(k, ell, learning_rate=0.0) for k, ell in terms])
        sizes = [amplitude] * len(terms)
        updates = self.updates(contest, rules, sizes, networks, [index], n)[:, 0]
        return updates, error_gradient(setting, self.keys(contest, [index]), networks)[0]


@dataclass(frozen=True, kw_only=True)
class SingleKick:
    """One unit is kicked once, up or down; as in Miconi's comparison of gradients.

    Attributes:
        unit: which one.
        time: when, ms.
        size: of the kick, in units of x.
    """

    unit: int = 0
    time: float = 210.0
    size: float = 16 / 30

    def check(self, dt: float) -> None:
        """Every time step will do."""

    def draw(self, key, dt: float, n_steps: int, n_units: int) -> Noise:
        """The kick of one trial."""
        # Drawn as an integer: a float of another precision would be another draw.
        up = jax.random.randint(key, (), 0, 2, jnp.int32) == 1
        sign = jnp.where(up, 1.0, -1.0)
        kicks = jnp.zeros((n_steps, n_units))
        return Noise(kicks.at[round(self.time / dt), self.unit].set(sign * self.size))


def _signed_power(power, r, delta):
    """−sign(rΔ) |rΔ|^power: Hebbian, as a negative odd term is."""
    product = r * delta
    return -jnp.sign(product) * jnp.abs(product) ** power


# The response begins at 200 ms, and so do traces, from the step after on.
_SUMMED = {"tau_e": float("inf"), "onset": 201.0, "plain_sum": True}


def kick_traces(learned: np.ndarray) -> list[dict[str, Trace]]:
    """Name → trace of the rules that are compared after one kick, those of one kind together."""

    def polynomial(theta, **options) -> Polynomial:
        return Polynomial(coefficients=jnp.asarray(theta, float), **options, **_SUMMED)

    polynomials = {f"({k},{ell})": polynomial(single_term(k, ell).coefficients) for k, ell in ODD}
    polynomials["learned"] = polynomial(learned)
    functions = {
        name: FunctionTrace(function=_signed_power, parameters=jnp.asarray(power), **_SUMMED)
        for name, power in (("signed square", 2.0), ("signed root", 0.5))
    }
    told = polynomial([[0.0, 0.0], [0.0, -1.0]], of_kicks=True)
    return [polynomials, functions, {"node perturbation": told}]


@dataclass(frozen=True, kw_only=True)
class KickAlignment(Experiment):
    """Miconi's comparison (eLife 2017;6:e20899, additional experiments), after his public code.

    A network of 200 units sees ten random inputs for 100 ms; from 200 to 300 ms the rate of unit 0
    is to tell the sign of their sum. That unit is kicked once, up or down, at 210 ms. Each trial is
    run with and without the kick, and what a rule makes of the difference in error is compared,
    over trials, at one synapse onto unit 0 drawn at random in each, with node perturbation and with
    the gradient. Ours: the gradient is that of the whole trial; he takes that of one step.
    """

    name = "kick_alignment"
    title = "Updates after a single kick, beside node perturbation and the gradient"
    axis = "network"
    seeds = {"single kick": seed("single kick")}
    variables = {
        "correlation": Variable(
            ("network", "rule", "reference"), "over trials, of one random synapse in each"
        ),
        "values": Variable(
            ("network", "rule", "shown trial"), "what it is, over its r.m.s. in all trials"
        ),
        "first": Variable(
            ("network", "rule", "trial"), "cosine of the row of unit 0 with node perturbation"
        ),
    }

    selection: Selection = Selection()
    n_units: int = 200
    n_networks: int = 12
    n_trials: int = 253

    def coordinates(self):
        return {
            "network": range(self.n_networks),
            "rule": [name for kind in kick_traces(np.zeros((6, 6))) for name in kind]
            + ["gradient"],
            "reference": ["node perturbation", "gradient"],
            "shown trial": range(min(64, self.n_trials)),
            "trial": range(VERIFIED),
        }

    def measure_one(self, index: int, selection: xr.Dataset):
        rows = self._rows(index, self.n_trials, selection)
        synapses = np.random.default_rng(index).integers(self.n_units, size=self.n_trials)
        values = {name: row[np.arange(self.n_trials), synapses] for name, row in rows.items()}
        references = [values[name] for name in ("node perturbation", "gradient")]
        correlation = [[np.corrcoef(v, r)[0, 1] for r in references] for v in values.values()]
        shown = [v[:64] / np.sqrt(np.mean(v**2)) for v in values.values()]
        return {
            "correlation": correlation,
            "values": np.array(shown, np.float32),
            "first": self._first(rows),
        }

    def measure_one_again(self, index: int, recorded: xr.Dataset, selection: xr.Dataset):
        return {"first": self._first(self._rows(index, VERIFIED, selection))}

    @staticmethod
    def _first(rows: dict[str, np.ndarray]) -> np.ndarray:
        told = rows["node perturbation"][:VERIFIED]
        return np.array([cosine(row[:VERIFIED], told) for row in rows.values()])

    def _rows(self, index: int, n_trials: int, selection: xr.Dataset) -> dict[str, np.ndarray]:
        """Updates of the synapses onto unit 0, (trials, N), by rule."""
        key = jax.random.fold_in(jax.random.key(self.seeds["single kick"]), index)
        network_key, trial_key = jax.random.split(key)
        network = random_network(network_key, self.n_units, 10, readout="unit")
        network = network._replace(W_in=0.2 * network.W_in)
        task, learner = self._task(index, n_trials), _kicked_learner()
        learned, _ = learned_coefficients(selection)
        where, rows = (trial_key, network, task), {}
        for kind in kick_traces(learned):
            rules = stack([clean_trial(trace, learning_rate=0.0) for trace in kind.values()])
            rows |= zip(kind, _first_rows(*where, rules, learner, n_trials), strict=True)
        quiet = replace(learner, exploration=Kicks(rate=0.0))
        rule = backpropagation(learning_rate=0.0, loss="absolute")
        return rows | {"gradient": _first_rows(*where, rule, quiet, n_trials)}

    def _task(self, index: int, n_trials: int) -> Task:
        """As many conditions as trials, each with inputs of its own."""
        steps = np.arange(300)
        shown = np.random.default_rng([index, 1]).uniform(-1, 1, size=(self.n_trials, 10))
        shown = shown[:n_trials]
        inputs = np.where(steps[:, None] < 100, shown[:, None, :], 0.0)
        targets = np.repeat(np.sign(shown.sum(axis=1))[:, None], 300, axis=1)
        arrays = (jnp.asarray(inputs), jnp.asarray(targets), jnp.asarray(steps >= 200))
        return Task(*arrays, jnp.zeros((300, 10)), 1.0)


def _kicked_learner() -> Learner:
    # That program, unlike those that learn, begins from x = 0 in every unit.
    dynamics = replace(miconi_setting().learner.dynamics, clamp_start=False)
    options = {"reset_filter": False, "initial_state": 0.0}
    return Learner(dynamics=dynamics, exploration=SingleKick(), **options)


def _first_rows(key, network, task, rule, learner, n_trials: int) -> np.ndarray:
    where = (key, network, task, rule, learner, n_trials)
    return np.asarray(learn(*where, observe=update_of_first_unit).observed)
