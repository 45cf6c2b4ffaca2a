import os
import pickle
import stat
import zipfile

import numpy as np
import pytest

from plasticity.files import check_target, kept_arrays, load_arrays, replacing, save_arrays


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=[0o022, 0o027])
def umask(request):
    """What new files are denied, for one test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_was_written_takes_the_place_of_the_file(tmp_path):
    path = tmp_path / "below" / "notes.txt"
    for text in ("first", "second"):
        with replacing(path) as beside:
            assert beside.parent == path.parent and beside != path
            beside.write_text(text)
        assert path.read_text() == text
    assert _names(path.parent) == ["notes.txt"]


def test_permissions_are_those_of_any_file(tmp_path, umask):
    (tmp_path / "other").touch()
    path = tmp_path / "notes.txt"
    with replacing(path):
        pass
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o600)
    with replacing(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_is_written_through(tmp_path):
    target, link = tmp_path / "elsewhere" / "real.npz", tmp_path / "run.npz"
    link.symlink_to(target)
    for value in (1.0, 2.0):
        save_arrays(link, {"a": np.array(value)})
        assert link.is_symlink() and not target.is_symlink()
        assert load_arrays(target, "", "")["a"] == value
    assert _names(tmp_path) == ["elsewhere", "run.npz"]
    assert _names(target.parent) == ["real.npz"]


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    (tmp_path / "run.npz").mkdir()
    message = r"a file to write to; got the folder .*run.npz: give the name of a file in it"
    for write in (check_target, lambda path: save_arrays(path, {"a": np.ones(2)})):
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "run.npz")
    assert _names(tmp_path) == ["run.npz"] and _names(tmp_path / "run.npz") == []


def test_a_target_is_tried_without_a_trace(tmp_path):
    (tmp_path / "run.npz").write_text("earlier")
    check_target(tmp_path / "run.npz")
    assert (tmp_path / "run.npz").read_text() == "earlier" and _names(tmp_path) == ["run.npz"]


@pytest.mark.parametrize("failure", [OSError("no space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "notes.txt"
    path.write_text("earlier")
    with pytest.raises(type(failure)):
        with replacing(path) as beside:
            beside.write_text("half")
            raise failure
    assert path.read_text() == "earlier"
    assert _names(tmp_path) == ["notes.txt"]


def test_a_rename_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(*names):
        raise PermissionError("busy")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(PermissionError, match="busy"):
        save_arrays(tmp_path / "run.npz", {"a": np.ones(2)})
    assert _names(tmp_path) == []


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"a": np.array([np.pi, np.nan, -0.0]), "b": np.arange(3, dtype=np.int32)}
    save_arrays(tmp_path / "run.npz", arrays)
    with np.load(tmp_path / "run.npz") as file:
        apart = dict(file)
    for found in (apart, load_arrays(tmp_path / "run.npz", "", "")):
        assert sorted(found) == ["a", "b"]
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.array([None, 1])}, "a holds numbers or text; got type object: store each part"),
        ({"file": np.ones(2)}, "no array is called file or .*; got 'file': give it an"),
        ({"allow_pickle": np.ones(2)}, "got 'allow_pickle': give it another name"),
        ({"a.npy": np.ones(2)}, "or ends in .npy; got 'a.npy'"),
    ],
)
def test_arrays_that_would_not_come_back_are_refused(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        save_arrays(tmp_path / "run.npz", arrays)
    assert _names(tmp_path) == []


def _objects(path):
    np.savez(path, a=np.array([None, 1]))


def _archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")


def _half(path):
    save_arrays(path, {"a": np.arange(400.0)})
    path.write_bytes(path.read_bytes()[:300])


def _single(path):
    with path.open("wb") as file:
        np.save(file, np.ones(2))


BROKEN = {
    "half": (_half, r"cut short or damaged \(.*\): restore it"),
    "objects": (_objects, "with pickled objects, which could run any program: restore it"),
    "archive": (_archive, r"a zip archive of other files \(\['word/document.xml'\]\): restore it"),
    "single": (_single, "a single NumPy array: restore it"),
    "folder": (lambda path: path.mkdir(), "a folder: restore it"),
    "empty": (b"", "an empty file: restore it"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "a Git LFS pointer: fetch the file with `git lfs pull`",
    ),
    "page": (b"\xef\xbb\xbf\n<!DOCTYPE html>", "an HTML page: download the file, not the page"),
    "html": (b"<HTML><body>", "an HTML page"),
    "netcdf": (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 or netCDF file: restore it"),
    "pickle": (pickle.dumps([1]), "a pickle: restore it"),
    "text": ("weights: \N{GREEK SMALL LETTER PI}".encode() * 200, "a text file: restore it"),
    "noise": (b"\0\xff" * 99, "a file of another kind: restore it"),
}


def _broken(path, name):
    """Make a file that is no ``.npz``; returns what is to be said of it."""
    content, what = BROKEN[name]
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    return what


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_none_of_arrays_is_named(tmp_path, name):
    what = _broken(tmp_path / "run.npz", name)
    with pytest.raises(ValueError, match=f"^a file of arrays; got .*run.npz, {what}") as caught:
        load_arrays(tmp_path / "run.npz", "a file of arrays", "restore it")
    assert "allow_pickle" not in str(caught.value) and "\n" not in str(caught.value)


def test_no_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="run.npz"):
        load_arrays(tmp_path / "run.npz", "a file of arrays", "restore it")


def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path):
    path, refused = tmp_path / "run.npz", 0
    save_arrays(path, {"a": np.arange(9.0)})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            found = load_arrays(path, "", "")
        except ValueError:
            refused += 1
        else:
            # In the name, which is written twice, and in what is not used, such as the time.
            assert all(array.tobytes() == np.arange(9.0).tobytes() for array in found.values())
    assert refused > len(whole) / 2


@pytest.mark.parametrize("name", ["half", "text", "objects"])
def test_a_file_of_no_use_is_set_aside_beside_the_earlier_ones(tmp_path, name):
    path = tmp_path / "run.npz"
    assert kept_arrays(path, "a part") is None
    contents = []
    for aside in ("run.npz.broken", "run.npz.broken2"):
        what = _broken(path, name)
        contents.append(path.read_bytes())
        with pytest.warns(RuntimeWarning, match=f"run.npz is computed .* as {aside}: .*{what}"):
            assert kept_arrays(path, "a part") is None
    assert [file.read_bytes() for file in sorted(tmp_path.iterdir())] == contents
    save_arrays(path, {"a": np.ones(2)})
    assert kept_arrays(path, "a part")["a"].tolist() == [1.0, 1.0]

    def refuse(arrays):
        raise ValueError(f"{sorted(arrays)} is not wanted")

    with pytest.warns(RuntimeWarning, match=r"kept as run.npz.broken3: \['a'\] is not wanted"):
        assert kept_arrays(path, "a part", refuse) is None


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, where a folder is wanted")
    message = r"a folder to write to; got .*taken \(.*\): choose another, or change its permissions"
    with pytest.raises(ValueError, match=message):
        save_arrays(tmp_path / "taken" / "run.npz", {"a": np.ones(2)})
    assert _names(tmp_path) == ["taken"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(ValueError, match="a folder to write to; got .*change its permissions"):
        save_arrays(tmp_path / "run.npz", {"a": np.ones(2)})
