"""A course of the outer loop that looks like a recorded one, for what begins where it was."""

import numpy as np
import xarray as xr

AVERAGED = np.zeros((1, 4, 37))
AVERAGED[0, :, 6 * 1 + 5] = [0.0, -0.1, -0.2, -0.4]  # of (1, 5)
COURSES = xr.Dataset(
    {
        "trials": (("course", "evaluation"), [[100.0, 70.0, 20.0]]),
        "averaged": (("course", "iterate", "coordinate"), AVERAGED),
    },
    {"course": ["from zero, 1"], "evaluation": [0, 1, 3], "iterate": range(4)},
)
