"""Chapter 06: how much each estimator of the meta-gradient says about a rule, and at what cost."""

from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
import xarray as xr

from companion.estimator_samples import REFERENCE, Sample, Sampler, samplers
from companion.experiment import Experiment, Variable
from companion.labels import term_labels, unfolded
from companion.seeds import seed
from companion.settings import brief_setting
from companion.signal_to_noise import alignment, mean_and_error, normalised, signal_to_noise
from plasticity.files import Arrays
from plasticity.learning.setting import Setting
from plasticity.meta.train import coordinate_scale
from plasticity.rules.three_factor import make_rule, stack
from plasticity.types import require

STEPS = (0.05, 0.25)  # the second is the default of `plasticity.meta.train.MetaTraining`
_AGAIN = 4  # trials
_KEPT = 2  # lifetimes of a case whose first estimates are kept


class Case(tuple):
    """A learning rate, a sampler, and the number of one of its variants."""
