"""Chapter 03: the hand-crafted rule in its published setting, and with one detail left out."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from companion.experiment import Experiment, Variable
from companion.seeds import seed
from companion.settings import miconi_setting

# The first change of weights comes with trial 101, so learning is in it; few trials later float32
# and float64 part where nothing clips the change.
_AGAIN = 104


@dataclass(frozen=True, kw_only=True)
class Parity(Experiment):
    """Networks of `companion.settings.miconi_setting` that learn, all details or one left out.

    Attributes:
        without: one of `companion.settings.QUIRKS`, or none.
    """

    title = "The hand-crafted rule in its published setting"
    part = 12
    optimised = True
    tolerance = 1e-3
    seeds = {"parity": seed("parity")}
    variables = {"errors": Variable(("network", "trial"), "mean error of every trial")}

    without: str | None = None
    n_networks: int = 48
    n_trials: int = 5000

    @property
    def name(self) -> str:
        return f"miconi_without_{self.without}" if self.without else "miconi"

    def coordinates(self):
        return {"network": range(self.n_networks), "trial": range(1, self.n_trials + 1)}

    def measure(self, which: np.ndarray):
        return {"errors": self._errors(which, self.n_trials)}

    def measure_again(self, which: np.ndarray, recorded: xr.Dataset):
        return {"errors": self._errors(which, min(_AGAIN, self.n_trials))}

    def _errors(self, which: np.ndarray, horizon: int) -> np.ndarray:
        setting = miconi_setting(self.without)
        return np.asarray(setting.learn(self.seeds["parity"], which, horizon).errors)
