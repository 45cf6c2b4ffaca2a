"""Chapter 03: the hand-crafted rule in its published setting, and with one detail left out.

The protocol, written before the networks of its seed learned. *Question*: do 96 networks of ours
reach the published criterion as fast as 34 runs of Miconi's own program did, and how likely is
a median of 20 of ours as low as the published one? *Judge*: a log-rank test of trials to criterion,
both censored at the program's horizon of 3,000, and the bootstrap of medians of 20. *Details*: each
left out alone, 48 of the networks over 3,000 trials, restricted means paired by network, with
intervals that are simultaneous for all. Nothing is chosen, so nothing is tuned.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from companion import record
from companion.contest import share_at_bound
from companion.experiment import Experiment, Variable
from companion.seeds import seed
from companion.settings import SELECTIVE, miconi_setting, selective_setting
from plasticity.learning.criterion import TrialsToCriterion, trials_to_criterion
from plasticity.learning.setting import Setting

# The first change of weights comes with trial 101, so learning is in it; few trials later float32
# and float64 part where nothing clips the change.
_AGAIN = 104


@dataclass(frozen=True, kw_only=True)
class _Runs(Experiment):
    """Networks that learn in one of Miconi's settings."""

    part = 12
    tolerance = 1e-3

    n_networks: int = 96
    n_trials: int = 5000

    @property
    def optimised(self) -> bool:
        """A few short lifetimes take less time than compiling well."""
        return self.n_networks * self.n_trials > 10_000

    def setting(self) -> Setting:
        """In which they learn."""
        raise NotImplementedError(f"{type(self).__name__}.setting")

    def measure_again(self, which: np.ndarray, recorded: xr.Dataset):
        return {"errors": self.learned(which, min(_AGAIN, self.n_trials))[0]}

    def learned(self, which: np.ndarray, horizon: int, **options) -> tuple[np.ndarray, np.ndarray]:
        """Errors of every trial, and what was observed."""
        (number,) = self.seeds.values()
        lifetimes = self.setting().learn(number, which, horizon, **options)
        return np.asarray(lifetimes.errors), np.asarray(lifetimes.observed)

    def learned_at_the_bound(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Errors of every trial, and the share of weights at the bound, (networks,)."""
        errors, shares = self.learned(which, self.n_trials, observe=share_at_bound)
        changing = shares[:, self.setting().learner.first_update :]
        return errors, changing.sum(1) / max(1, changing.shape[1])


_SATURATED = Variable(
    ("network",), "mean share of weights whose change was the largest, once they change"
)


@dataclass(frozen=True, kw_only=True)
class Parity(_Runs):
    """Networks of `companion.settings.miconi_setting` that learn, all details or one left out.

    Attributes:
        without, told_kicks: as there.
    """

    title = "The hand-crafted rule in its published setting"
    seeds = {"parity": seed("parity")}
    variables = {
        "errors": Variable(("network", "trial"), "mean error of every trial"),
        "saturated": _SATURATED,
    }

    without: str | None = None
    told_kicks: bool = False

    @property
    def name(self) -> str:
        kind = "_node_perturbation" if self.told_kicks else ""
        return f"miconi{kind}_without_{self.without}" if self.without else f"miconi{kind}"

    def coordinates(self):
        return {"network": range(self.n_networks), "trial": range(1, self.n_trials + 1)}

    def setting(self) -> Setting:
        return miconi_setting(self.without, told_kicks=self.told_kicks)

    def measure(self, which: np.ndarray):
        errors, shares = self.learned_at_the_bound(which)
        return {"errors": errors, "saturated": shares}


def criterion(errors: np.ndarray) -> TrialsToCriterion:
    """Trials until more than 95 of the last 100 had an error below 1 (Miconi 2017)."""
    window, needed = min(100, errors.shape[-1]), min(96, errors.shape[-1])
    return trials_to_criterion(errors < 1.0, window=window, needed=needed)


_BLOCK = 100  # trials


@dataclass(frozen=True, kw_only=True)
class SelectiveIntegration(_Runs):
    """Networks of `companion.settings.selective_setting` that learn.

    Attributes:
        version: as there.
    """

    title = "Selective integration in its published settings"
    seeds = {"selective integration": seed("selective integration")}
    variables = {
        "trials": Variable(("network",), "trials to criterion", "trials"),
        "reached": Variable(("network",), "whether the criterion was met"),
        "blocks": Variable(("network", "block"), "mean error of 100 trials each"),
        "errors": Variable(("network", "trial"), "mean error of the first trials"),
        "saturated": _SATURATED,
    }

    version: str = next(iter(SELECTIVE))
    n_networks: int = 24
    n_trials: int = 10_000

    @property
    def name(self) -> str:
        return f"selective_integration_{list(SELECTIVE).index(self.version)}"

    def coordinates(self):
        return {
            "network": range(self.n_networks),
            "block": range(max(1, self.n_trials // _BLOCK)),
            "trial": range(1, min(_AGAIN, self.n_trials) + 1),
        }

    def setting(self) -> Setting:
        return selective_setting(self.version)

    def measure(self, which: np.ndarray):
        errors, shares = self.learned_at_the_bound(which)
        met, size = criterion(errors), min(_BLOCK, errors.shape[1])
        whole = errors[:, : errors.shape[1] // size * size].reshape(len(errors), -1, size)
        return {
            "trials": met.trials,
            "reached": met.reached,
            "blocks": whole.mean(axis=-1),
            "errors": errors[:, :_AGAIN],
            "saturated": shares,
        }


PROGRAM_HORIZON = 3000


def program_runs() -> xr.Dataset:
    """Runs of Miconi's own program: ``trials``, ``reached`` and ``late_error``, each (run,).

    Not measured by this book: `book/records/miconi_program.csv` says how they were made.
    """
    runs = pd.read_csv(record.folder() / "miconi_program.csv", comment="#", index_col="rng_seed")
    columns = {
        "trials": runs["trials"].to_numpy(),
        "reached": runs["reached"].to_numpy(bool),
        "late_error": runs["mean_error_last_100"].to_numpy(),
    }
    return xr.Dataset({n: ("run", v) for n, v in columns.items()}, {"run": runs.index.to_numpy()})


def fluctuation_sizes(before, episode, outcome):
    """What `learn` is to observe: sizes of Δ in each step, of units just kicked and of all others.

    ``root``: r.m.s. over the others, (T,); ``kicked``, ``others``: Σ_i |Δ_i|³ over each, (T,).
    """
    size, kicked = jnp.abs(outcome.trajectory.fluctuations), episode.kicks != 0
    cubes = size**3
    return {
        "root": jnp.sqrt(jnp.mean(size**2, axis=1, where=~kicked)),
        "kicked": jnp.sum(cubes, axis=1, where=kicked),
        "others": jnp.sum(cubes, axis=1, where=~kicked),
    }
