"""Array aliases shared by the package, and the checks its functions use.

Axes: N units, I input channels, T time steps, H trials, C conditions, d the degree of the
plasticity polynomial. Time is in milliseconds throughout, rates of events in Hz, activity and
weights are dimensionless.
"""

from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

PRNGKey: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""]
Flag: TypeAlias = Bool[Array, ""]
Index: TypeAlias = Int[Array, ""]
Units: TypeAlias = Float[Array, "N"]
Weights: TypeAlias = Float[Array, "N N"]
Matrix: TypeAlias = Float[Array, "N M"]
Series: TypeAlias = Float[Array, "T"]
Activity: TypeAlias = Float[Array, "T N"]
Coefficients: TypeAlias = Float[Array, "d1 d1"]
# An array in a dataclass that JAX takes apart and puts together, with axes or with placeholders.
Leaf: TypeAlias = Any


def require(holds: bool, rule: str, value: object, fix: str) -> None:
    """Raise ``ValueError("<rule>; got <value>: <fix>")`` unless ``holds``."""
    if not holds:
        raise ValueError(f"{rule}; got {value}: {fix}")


def is_whole(*values: object) -> bool:
    """Whether all are whole numbers, of Python or NumPy; 2.0 and True are not."""
    return all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)


def require_count(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a whole number ≥ 1."""
    fine = is_whole(value) and value >= 1
    require(fine, f"a whole number {name} ≥ 1", value, "give 1, 2, 3, …")


def is_traced(*values: object) -> bool:
    """Whether any of ``values`` is being traced by JAX, so that it cannot be inspected."""
    return any(isinstance(value, jax.core.Tracer) for value in values)
