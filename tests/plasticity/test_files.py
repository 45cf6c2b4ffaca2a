import os
import stat

import numpy as np
import pytest

from plasticity.files import replacing, save_arrays


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_takes_the_place_of_the_file(tmp_path):
    path = tmp_path / "below" / "notes.txt"
    for text in ("first", "second"):
        with replacing(path) as beside:
            assert beside.parent == path.parent and beside != path
            beside.write_text(text)
        assert path.read_text() == text
    assert _names(path.parent) == ["notes.txt"]
    # For others to read, whatever a temporary file is made with.
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


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
        assert sorted(file.files) == ["a", "b"]
        for name, array in arrays.items():
            assert file[name].dtype == array.dtype and file[name].tobytes() == array.tobytes()


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
