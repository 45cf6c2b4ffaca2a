"""Checkpoints of a long loop, for one process or several: who made them, and going on from them."""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from plasticity.files import Arrays, check_arrays, check_target, kept_arrays, save_arrays
from plasticity.types import require


def describe(**values) -> dict[str, str]:
    """What tells one loop from another, by name, with precision and the versions of what computes.

    Arrays are described by their digest, all else by its ``repr`` without addresses: functions by
    their names, so give a changed function another name. The fields of a named tuple, and of a
    dataclass that JAX takes apart, are described one by one, and theirs in turn.
    """

    def description(leaf) -> str:
        if not isinstance(leaf, jax.Array | np.ndarray):
            return re.sub(r" at 0x[0-9a-f]+", "", repr(leaf))
        array = np.asarray(leaf)
        return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"

    identity = {name: version(name) for name in ("plasticity", "jax", "jaxlib", "optax")}
    identity["float64"] = str(jax.config.jax_enable_x64)
    for name, value in values.items():
        for part, content in _parts(name, value).items():
            identity[part] = "; ".join(map(description, jax.tree.leaves(content) or [content]))
    return identity


def _parts(name: str, value) -> dict[str, Any]:
    """Dotted name → what has no fields of its own."""
    fields = value._asdict() if hasattr(value, "_asdict") else {}
    if dataclasses.is_dataclass(value) and jax.tree.leaves(value) not in ([], [value]):
        fields = vars(value)
    parts = {}
    for field, part in fields.items():
        parts |= _parts(f"{name}.{field}", part)
    return parts or {name: value}


def save_checkpoint(path: str | os.PathLike | None, state: Arrays, identity: dict) -> None:
    """Replace the file by a whole new one; only in the first process, and only if there is a path.

    A failure or the death of the process leaves the earlier file.
    """
    if path is not None and jax.process_index() == 0:
        save_arrays(path, state | {"identity": np.array(json.dumps(identity))})


def resume(
    path: str | os.PathLike | None,
    fresh: Arrays,
    identity: dict,
    fit: Callable[[Arrays, Arrays], Arrays] | None = None,
) -> Arrays:
    """The state in the file, if there is one, or ``fresh``; every process gets the first one's.

    A file that cannot be read is renamed to ``<name>.broken``, and the loop starts from ``fresh``.

    Args:
        fit: (state of the file, fresh) → a state with the arrays of ``fresh``, where a loop may go
            on that was saved with others.

    Raises:
        ValueError: a path that cannot be written to, or a file that is no checkpoint or was made by
            a loop of another identity; names what differs.

    Warns:
        RuntimeWarning: a file that cannot be read was renamed.
    """
    if path is None or jax.process_index() > 0:
        return from_first_process(fresh)
    check_arrays(fresh)
    rule, fix = "no array of a loop is called identity", "give it another name"
    require("identity" not in fresh, rule, sorted(fresh), fix)
    state = kept_arrays(path, "a checkpoint is a whole .npz of arrays")
    if state is None:
        check_target(path)
        return from_first_process(fresh)
    saved = _identity(path, state)
    names = sorted(saved.keys() | identity.keys())
    differ = {n: (saved.get(n), identity.get(n)) for n in names if saved.get(n) != identity.get(n)}
    rule = f"{path} goes on with what it was saved by (saved, wanted)"
    fix = "choose another file, or set these as they were"
    require(not differ, rule, differ, fix)
    state = fit(state, fresh) if fit else state
    saved, wanted = ({n: (str(a.dtype), a.shape) for n, a in s.items()} for s in (state, fresh))
    names = sorted(n for n in saved.keys() | wanted.keys() if saved.get(n) != wanted.get(n))
    rule = f"{path} holds the arrays of its loop"
    require(not names, rule, f"others of {names}", "choose another file, or move it away")
    return from_first_process(state)


def _identity(path: str | os.PathLike, state: Arrays) -> dict[str, str]:
    """Who made a checkpoint, taken out of its state."""
    try:
        identity = dict(json.loads(str(state.pop("identity"))))
    except (KeyError, TypeError, ValueError) as error:
        rule, fix = "a checkpoint says by which loop it was made", "choose another file, or move it"
        raise ValueError(f"{rule}; got {path}, which does not: {fix}") from error
    return identity


def from_first_process(state: Arrays) -> Arrays:
    """The first process's arrays in every process, bit for bit, so that none can drift away."""
    if jax.process_count() == 1:
        return state

    def agreed(array):
        words = np.atleast_1d(array).view(np.uint32)
        words = np.asarray(multihost_utils.broadcast_one_to_all(words)).astype(np.uint32)
        return words.view(array.dtype).reshape(array.shape)

    return {name: agreed(state[name]) for name in sorted(state)}
