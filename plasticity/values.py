"""What is compared, copied, pickled and printed by its value: arrays by all of their numbers."""

import dataclasses
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import numpy as np

from plasticity.types import is_traced


class Value:
    """A base of dataclasses that have ``eq=False, repr=False``.

    Equal are values of one class whose fields are `equal`; equal ones have equal hashes. They are
    printed by `short_repr`. Functions among the fields are copied and pickled by their names, since
    those that JAX compiles cannot be pickled otherwise, and their copies are other functions.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and equal(vars(self), vars(other))

    def __hash__(self) -> int:
        # Without the numbers, which may be many: what is equal is of one structure.
        return hash((type(self), jax.tree.structure(vars(self))))

    def __repr__(self) -> str:
        return short_repr(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: _named(part) for name, part in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: _found(part) for name, part in state.items()})


def equal(one: object, other: object) -> bool:
    """Whether two pytrees are of one structure and their arrays agree in shape and every number."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a is b or bool(np.array_equal(a, b)) for a, b in pairs)


def unequal(one: object, other: object) -> bool:
    """Whether they are not `equal`; tuples have a comparison of their own to be replaced."""
    return not equal(one, other)


def short_repr(value: object) -> str:
    """A value in one line: an array by type and shape, fields at their defaults left out."""
    if isinstance(value, jax.Array | np.ndarray):
        if value.ndim == 0 and not is_traced(value):
            return str(np.asarray(value))
        return f"{value.dtype.name}[{','.join(map(str, value.shape))}]"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        parts, usual = value._asdict(), value._field_defaults
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = dataclasses.fields(value)
        parts = {field.name: getattr(value, field.name) for field in made}
        usual = {f.name: f.default for f in made if f.default is not dataclasses.MISSING}
        factories = (f for f in made if f.default_factory is not dataclasses.MISSING)
        usual |= {field.name: field.default_factory() for field in factories}
    else:
        return getattr(value, "__qualname__", repr(value))
    traced = is_traced(*jax.tree.leaves(value))
    kept = {n: p for n, p in parts.items() if traced or n not in usual or not equal(p, usual[n])}
    inside = ", ".join(f"{name}={short_repr(part)}" for name, part in kept.items())
    return f"{type(value).__name__}({inside})"


class _Name(NamedTuple):
    """Where a function is found."""

    module: str
    name: str


def _named(part: Any) -> Any:
    """The name of a function, if it is found by it; anything else as it is."""
    module, name = (getattr(part, key, None) for key in ("__module__", "__qualname__"))
    # What a notebook defines has no name elsewhere.
    if not callable(part) or module in (None, "__main__") or name is None:
        return part
    try:
        place = _Name(module, name)
        return place if _found(place) is part else part
    except (ImportError, AttributeError):
        return part


def _found(part: Any) -> Any:
    """The function of a name; anything else as it is."""
    return attrgetter(part.name)(import_module(part.module)) if isinstance(part, _Name) else part
