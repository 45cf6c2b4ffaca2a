"""Files that are replaced only by whole new ones."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary file beside ``path`` to write to; it takes the place of ``path`` at the end.

    A failure on the way leaves what was there before, and nothing else. Missing folders are made.

    Raises:
        ValueError: a folder that cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    except OSError as error:
        fix = "choose another, or change its permissions"
        raise ValueError(f"a folder to write to; got {path.parent} ({error}): {fix}") from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def save_arrays(path: str | os.PathLike, arrays: Arrays) -> None:
    """Write arrays to one ``.npz``; a failure leaves the earlier file.

    Raises:
        ValueError: a folder that cannot be written to.
    """
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)
