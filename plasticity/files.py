"""Files that are replaced only by whole new ones."""

import os
import tempfile
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def save_arrays(path: str | os.PathLike, arrays: Arrays) -> None:
    """Write arrays to one ``.npz``, beside ``path`` and then renamed: a failure changes nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as beside:
        try:
            np.savez_compressed(beside, **arrays)
        except BaseException:
            os.unlink(beside.name)
            raise
    os.chmod(beside.name, 0o644)
    os.replace(beside.name, path)
