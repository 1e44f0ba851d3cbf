"""Sealed files: no byte can change, and none be lost, without being found."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrieve.artifacts import sealed_files
from pretrieve.artifacts.sealed_files import (
    SealedFile,
    is_kept,
    read_sealed,
    read_sealed_array,
    read_sealed_arrays,
    read_sealed_json,
    sealing,
    write_sealed_arrays,
    write_sealed_json,
)
from pretrieve.errors import DamagedArtifactError


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed file of three blocks of 64 bytes, the last one not full."""
    monkeypatch.setattr(sealed_files, "BLOCK_BYTES", 64)
    with sealing(tmp_path / "kept") as temporary:
        temporary.write_bytes(bytes(range(150)))
    return tmp_path / "kept"


def test_what_was_written_is_read_back(path: Path) -> None:
    assert bytes(read_sealed(path)) == bytes(range(150))
    assert len(SealedFile(path)) == 150
    assert bytes(SealedFile(path).view(60, 70)) == bytes(range(60, 70))


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 64, b"x" * 128])
def test_every_length_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sealed_files, "BLOCK_BYTES", 64)
    with sealing(tmp_path / "kept") as temporary:
        temporary.write_bytes(content)
    assert bytes(read_sealed(tmp_path / "kept")) == content


def test_equal_contents_have_equal_digests_and_others_do_not(tmp_path: Path) -> None:
    digests = []
    for number, content in enumerate(
        (b"one", b"one", b"two", b"", b"one" + bytes(sealed_files.BLOCK_BYTES), bytes(sealed_files.BLOCK_BYTES))
    ):
        with sealing(tmp_path / f"{number}") as temporary:
            temporary.write_bytes(content)
        digests.append(SealedFile(tmp_path / f"{number}").digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5
    assert all(len(digest) == 32 for digest in digests)


def test_each_changed_byte_is_found(path: Path) -> None:
    written = path.read_bytes()
    for place in range(len(written)):
        changed = bytearray(written)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(DamagedArtifactError):
            read_sealed(path)


def test_each_cut_and_each_addition_is_found(path: Path) -> None:
    written = path.read_bytes()
    for length in range(len(written)):
        path.write_bytes(written[:length])
        with pytest.raises(DamagedArtifactError):
            read_sealed(path)
    for more in (b"x", written):
        path.write_bytes(written + more)
        with pytest.raises(DamagedArtifactError):
            read_sealed(path)


def test_a_block_is_compared_when_it_is_asked_for_and_once_a_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_files, "_checked_blocks", {})
    file, compared = SealedFile(path), []
    digest = sealed_files._digest
    monkeypatch.setattr(sealed_files, "_digest", lambda content: compared.append(len(content)) or digest(content))
    file.view(0, 10)
    assert compared == [64]
    file.view()
    assert sorted(compared) == [22, 64, 64]
    compared.clear()
    SealedFile(path).view()
    assert 64 not in compared, "another reader of the same process does not compare them again"


def test_a_damaged_block_spoils_no_other(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[70] ^= 1
    path.write_bytes(content)
    file = SealedFile(path)
    assert bytes(file.view(0, 64)) == bytes(range(64))
    with pytest.raises(DamagedArtifactError, match=r"kept was changed between bytes 64 and 128; run the study again"):
        file.view(60, 70)


def test_the_error_travels_between_processes(tmp_path: Path) -> None:
    error = DamagedArtifactError(tmp_path / "a", "was changed")
    travelled = pickle.loads(pickle.dumps(error))
    assert (travelled.path, str(travelled), travelled.what) == (error.path, str(error), error.what)


def test_json_and_arrays_are_read_back_to_the_bit(tmp_path: Path) -> None:
    write_sealed_json(tmp_path / "a.json", {"a": [1, 0.1]})
    assert read_sealed_json(tmp_path / "a.json") == {"a": [1, 0.1]}
    written = {"a": np.array([1 / 3, np.nan]), "b": np.arange(3), "c": np.zeros((0, 2), dtype=np.float32)}
    write_sealed_arrays(tmp_path / "a.npz", **written)
    read = read_sealed_arrays(tmp_path / "a.npz")
    assert read.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


@pytest.mark.parametrize("shape", [(3, 4), (0, 5), (2, 2, 2)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_array_is_that_of_numpy(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    array = np.asarray(np.random.default_rng(0).normal(size=shape), order=order)
    with sealing(tmp_path / "a.npy") as temporary, temporary.open("wb") as file:
        np.save(file, array)
    read = read_sealed_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(read, array)
    assert not read.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array), "NumPy itself reads the file as well"


def test_torch_itself_reads_a_sealed_file(tmp_path: Path) -> None:
    with sealing(tmp_path / "a.pt") as temporary, temporary.open("wb") as file:
        torch.save({"a": torch.arange(5)}, file)
    assert torch.load(tmp_path / "a.pt", weights_only=True)["a"].tolist() == [0, 1, 2, 3, 4]


def test_nothing_is_there_when_the_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), sealing(tmp_path / "a"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a"
    write_sealed_json(path, "content")
    assert is_kept(path)
    path.write_text("content", encoding="utf-8")  # without its seal
    assert not is_kept(path)
    assert not path.exists()
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith(".a.damaged-")
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == (f"made again, because it is damaged: {path} has 7 bytes, too few for a seal (now {aside})")
    assert not is_kept(path), "and it is not an error that it is gone"
