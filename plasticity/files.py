"""Files that are replaced only by whole new ones, and what to say of those that are no use."""

import codecs
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np

from plasticity.types import require

Arrays = dict[str, np.ndarray]

# First bytes in lower case, what a file with them is, and what helps where another was wanted.
_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file with `git lfs pull`"),
    (b"<!doctype html", "an HTML page", "download the file, not the page that shows it"),
    (b"<html", "an HTML page", "download the file, not the page that shows it"),
    (b"pk\x03\x04", "a zip archive", ""),
    (b"\x89hdf", "an HDF5 or netCDF file", ""),
    (b"\x93numpy", "a single NumPy array", ""),
    (b"\x80", "a pickle", ""),
)
_STORABLE = "biufcUSmM"  # kinds of types that come back from a file without pickle
_RESERVED = ("file", "allow_pickle")  # arguments of numpy.savez_compressed


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary file beside ``path`` to write to; it takes the place of ``path`` at the end.

    A failure on the way leaves what was there before, and nothing else. Missing folders are made, a
    symbolic link is written through, and the permissions are those of the file that was there, or
    of any new file.

    Raises:
        ValueError: a folder that cannot be written to, or in place of the file.
    """
    path, beside = _beside(path)
    try:
        yield beside
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def check_target(path: str | os.PathLike) -> None:
    """Raise the errors of `replacing` before there is anything to write."""
    _beside(path)[1].unlink()


def _beside(path: str | os.PathLike) -> tuple[Path, Path]:
    """Where a file really lies, and a new empty one beside it."""
    path = Path(os.path.realpath(path))
    fix = "give the name of a file in it"
    require(not os.path.isdir(path), "a file to write to", f"the folder {path}", fix)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch(exist_ok=False)  # with the permissions that any new file gets
    except OSError as error:
        fix = "choose another, or change its permissions"
        raise ValueError(f"a folder to write to; got {path.parent} ({error}): {fix}") from error
    return path, beside


def save_arrays(path: str | os.PathLike, arrays: Arrays) -> None:
    """Write arrays to one ``.npz``; a failure leaves the earlier file.

    Raises:
        ValueError: as `check_arrays` and `replacing`.
    """
    check_arrays(arrays)
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)


def check_arrays(arrays: Arrays) -> None:
    """Refuse arrays that `load_arrays` could not give back.

    Raises:
        ValueError: a name that is reserved or ends in .npy; objects in place of numbers or text.
    """
    for name, array in arrays.items():
        usable = name not in _RESERVED and not name.endswith(".npy")
        rule = f"no array is called {' or '.join(_RESERVED)}, or ends in .npy"
        require(usable, rule, repr(name), "give it another name")
        dtype = np.asarray(array).dtype
        fix = "store each part as an array of its own"
        require(dtype.kind in _STORABLE, f"{name} holds numbers or text", f"type {dtype}", fix)


def load_arrays(path: str | os.PathLike, rule: str, fix: str) -> Arrays:
    """All arrays of one ``.npz``.

    Args:
        rule: what the file is to be, and ``fix``: how to come by one, for the message.

    Raises:
        OSError: a file that is not there (FileNotFoundError), or may not be read.
        ValueError: a file that is something else, cut short, damaged, or holds pickled objects.
    """
    path = Path(path)
    require(not path.is_dir(), rule, f"{path}, a folder", fix)
    content = path.read_bytes()
    try:
        with np.load(BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # of zipfile, zlib, NumPy and whatever a damaged header leads to
        damage = f"cut short or damaged ({error})"
        if "Object arrays" in str(error):
            damage = "with pickled objects, which could run any program"
        raise ValueError(refusal(path, rule, fix, b"PK\x03\x04", damage)) from error
    others = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    require(not others, rule, f"{path}, a zip archive of other files ({others[:3]})", fix)
    return arrays


def refusal(path: Path, rule: str, fix: str, own: bytes, damage: str) -> str:
    """One sentence on a file that is not what it should be: expected, found, what to do.

    Args:
        own: first bytes of the right kind of file; one that has them suffers from ``damage``.
    """
    with path.open("rb") as file:
        start = file.read(1024)
    what, advice = (damage, "") if start.startswith(own) else _kind(start)
    return f"{rule}; got {path}, {what}: {advice or fix}"


def _kind(start: bytes) -> tuple[str, str]:
    """What a file that begins so is, and what helps, if that is known."""
    if not start:
        return "an empty file", ""
    for first, what, advice in _KINDS:
        if start.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(first):
            return what, advice
    try:
        text = b"\0" not in start and codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        text = ""
    return "a text file" if text else "a file of another kind", ""


def kept_arrays(
    path: str | os.PathLike, rule: str, check: Callable[[Arrays], None] | None = None
) -> Arrays | None:
    """The arrays of a file that can be computed again, or None if there is none of use.

    One that cannot be read, or that ``check`` refuses with a ValueError, is renamed to
    ``<name>.broken``, or ``.broken2`` and so on, so that nothing is lost.

    Raises:
        OSError: a file that may not be read, or cannot be renamed.

    Warns:
        RuntimeWarning: a file was set aside; says which, as what and why.
    """
    path = Path(os.path.realpath(path))
    if not path.is_file():
        return None
    try:
        arrays = load_arrays(path, rule, "restore it to save the time")
        if check is not None:
            check(arrays)
        return arrays
    except ValueError as error:
        names = (path.with_name(f"{path.name}.broken{n if n > 1 else ''}") for n in count(1))
        aside = next(name for name in names if not name.exists())
        path.rename(aside)
        told = f"{path} is computed again, and what was there kept as {aside.name}: {error}"
        warnings.warn(told, RuntimeWarning, stacklevel=3)
        return None
