"""Array aliases shared by the package, and the one check its factories use.

Axes: N units, I input channels, T time steps, H trials, C conditions, d the degree of the
plasticity polynomial. Time is in milliseconds throughout, rates of events in Hz, activity and
weights are dimensionless.
"""

from typing import Any, TypeAlias

import jax
from jaxtyping import Array, Bool, Float, Int, Key

PRNGKey: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""]
Flag: TypeAlias = Bool[Array, ""]
Index: TypeAlias = Int[Array, ""]
Units: TypeAlias = Float[Array, "N"]
Weights: TypeAlias = Float[Array, "N N"]
Series: TypeAlias = Float[Array, "T"]
Activity: TypeAlias = Float[Array, "T N"]
Coefficients: TypeAlias = Float[Array, "d1 d1"]
# An array in a dataclass that JAX takes apart and puts together, be it with axes or placeholders.
Leaf: TypeAlias = Any


def require(holds: bool, rule: str, value: object, fix: str) -> None:
    """Raise ``ValueError("<rule>; got <value>: <fix>")`` unless ``holds``."""
    if not holds:
        raise ValueError(f"{rule}; got {value}: {fix}")


def is_traced(*values: object) -> bool:
    """Whether any of ``values`` is being traced by JAX, so that it cannot be inspected."""
    return any(isinstance(value, jax.core.Tracer) for value in values)
