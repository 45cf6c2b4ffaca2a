"""A small experiment and one that needs it, for tests of what runs, keeps and verifies them."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from companion.experiment import Experiment, Variable


@dataclass(frozen=True, kw_only=True)
class Coins(Experiment):
    """Courses of a sine, one a coin; ``bend`` is a parameter, ``log`` is told what is measured."""

    name = "coins"
    title = "Courses of a sine"
    axis = "coin"
    part = 2
    seeds = {"throws": 7}
    tolerance = 1e-5
    variables = {
        "errors": Variable(("coin", "trial"), "mean error of every trial", "mV"),
        "reached": Variable(("coin",), "whether the criterion was met"),
    }

    n_coins: int = 5
    n_trials: int = 6
    bend: float = 1.0

    def coordinates(self):
        return {"coin": [f"coin {i}" for i in range(self.n_coins)], "trial": range(self.n_trials)}

    def measure(self, which):
        errors = self.values(which).astype(np.float32)
        return {"errors": errors, "reached": errors[:, -1] > 5}

    def measure_again(self, which, recorded):
        # Only in float64 do these agree with NumPy's.
        return {"errors": np.asarray(jnp.asarray(self.values(which)[:, :3]))}

    def values(self, which):
        return self.bend * np.sin(np.asarray(which, float))[:, None] + np.arange(self.n_trials)


@dataclass(frozen=True, kw_only=True)
class Sums(Experiment):
    """The sum of each course of `Coins`."""

    name = "sums"
    title = "Sums of courses"
    axis = "coin"
    variables = {"total": Variable(("coin",), "sum over trials", "mV")}

    coins: Coins = Coins()
    factor: float = 1.0

    def coordinates(self):
        return {"coin": self.coins.coordinates()["coin"]}

    def measure_one(self, index, coins):
        return {"total": self.factor * coins.errors[index].sum().astype(float)}

    def measure_one_again(self, index, recorded, coins):
        return self.measure_one(index, coins)
