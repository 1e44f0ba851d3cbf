"""Files of features as people have them: read, or one message."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pretrieve.errors import UserError
from pretrieve.features.centroid_file import read_centroid_file

MEANS = np.arange(12.0).reshape(3, 4) ** 2 / 7


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write an archive; as bytes, as arrays, or as the members of a ZIP file."""

    def write(content: bytes = b"", members: tuple[tuple[str, bytes], ...] = (), **arrays: object) -> Path:
        path = tmp_path / "means.npz"
        path.write_bytes(content)
        if members:
            with zipfile.ZipFile(path, "w") as archive:
                for name, packed in members:
                    archive.writestr(name, packed)
        if arrays:
            np.savez(path, **arrays)  # type: ignore[arg-type]
        return path

    return write


def npy(array: object, **header: object) -> bytes:
    """Return an array as a .npy file; a header that is given is written in place of its own."""
    buffer = io.BytesIO()
    if not header:
        np.save(buffer, array)
        return buffer.getvalue()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, **header})
    return buffer.getvalue() + np.asarray(array).tobytes()


def packed(compressed: bool = True) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, means=MEANS)
    return buffer.getvalue()


def encrypted() -> bytes:
    content = bytearray(packed())
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def of_method(method: int) -> bytes:
    content = bytearray(packed())
    place = content.find(b"PK\x01\x02")
    content[8:10] = content[place + 10 : place + 12] = struct.pack("<H", method)
    return bytes(content)


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", ">f2", "g", "i1", ">u4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_kind_are_read_as_float64(write: Callable[..., Path], kind: str, order: str) -> None:
    means = (MEANS.astype(int) if np.dtype(kind).kind in "iu" else MEANS).astype(kind, order=order)  # type: ignore[call-overload]
    found = read_centroid_file(write(means=means))
    assert found.means.dtype == np.dtype(float)
    np.testing.assert_array_equal(found.means, means.astype(float))
    assert found.names == ("group 0", "group 1", "group 2")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (np.array([b"owl", "œuf".encode(), b"n01 hen"]), ("owl", "œuf", "n01 hen")),
        (np.array([["owl"], ["hen"], ["kite"]]), ("owl", "hen", "kite")),
        (np.array([[b"owl", b"hen", b"kite"]]), ("owl", "hen", "kite")),
        (np.array(["owl", "hen", "[kite]"], dtype=">U9"), ("owl", "hen", "[kite]")),
        (np.array([7, 8, 9], dtype=np.uint16), ("7", "8", "9")),
    ],
    ids=["bytes", "column", "row of bytes", "big-endian", "numbers"],
)
def test_names_are_text_however_they_are_stored(
    write: Callable[..., Path], names: object, expected: tuple[str, ...]
) -> None:
    assert read_centroid_file(write(means=MEANS, names=names)).names == expected


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
def test_an_archive_that_another_tool_packed_is_read(write: Callable[..., Path], method: int) -> None:
    path = write()
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("means.npy", npy(MEANS))
        archive.writestr("notes.txt", "made in spring")
    np.testing.assert_array_equal(read_centroid_file(path).means, MEANS)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: b"", "not a zip file"),
        (lambda: packed()[:-30], "not a zip file"),
        (lambda: packed(compressed=False)[:150] + bytes(20) + packed(compressed=False)[170:], "Bad CRC-32"),
        (encrypted, "is encrypted"),
        (lambda: of_method(9), "compression method is not supported"),
        (lambda: of_method(12), ".*"),
        (lambda: npy(MEANS), "not a zip file"),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(2000), "not a zip file"),
    ],
    ids=["empty", "cut", "zeros", "encrypted", "deflate64", "not that bzip2", "npy", "hdf5"],
)
def test_a_file_that_is_no_whole_archive_is_one_message(
    write: Callable[..., Path], make: Callable[[], bytes], fault: str
) -> None:
    path = write(make())
    with pytest.raises(
        UserError, match=f"must be a NumPy archive .*means.npz cannot be read: .*{fault}.*copy it again"
    ):
        read_centroid_file(path)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([("means.npy", npy(MEANS, shape=(10**13, 4)))], ".*"),
        ([("means.npy", npy(MEANS, shape=(10**30,)))], ".*"),
        ([("means.npy", npy(MEANS, shape=(4, 4)))], "EOF"),
        ([("means.npy", npy(MEANS, shape=(2, 4)))], r"header of means.npy says \(2, 4\), but more numbers follow"),
        ([("means.npy", npy(MEANS, shape=(-3, -4)))], ".*"),
        ([("means.npy", npy(MEANS)), ("means.npy", npy(MEANS + 1))], "it holds 2 arrays that are called 'means'"),
        ([("means.npy", npy(MEANS)), ("names.npy", npy(np.array(["a", None, 3], object)))], "Object arrays cannot"),
        ([("means.npy", npy(np.array([[MEANS]], object)))], "Object arrays cannot"),
        ([("means.npy", b"\x93NUMPY\x01\x00\x10\x00" + b"[" * 16)], ".*"),
        ([("means.npy", b"text")], ".*"),
    ],
    ids=["terabytes", "overflow", "few", "many", "negative", "twice", "names", "pickle", "brackets", "text"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_not_what_its_header_says_is_one_message(
    write: Callable[..., Path], members: list[tuple[str, bytes]], fault: str
) -> None:
    with pytest.raises(UserError, match=f"cannot be read: .*{fault}.*; copy it again, or write it with np.savez"):
        read_centroid_file(write(members=tuple(members)))


def test_a_small_file_cannot_take_all_memory(write: Callable[..., Path]) -> None:
    path = write()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("means.npy", npy(np.zeros(2**22), shape=(2**11, 2**11)))
    with pytest.raises(UserError, match=r"means.npy has 33,554,\d+ bytes, more than the file can hold"):
        read_centroid_file(path)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (np.array(["a", "b"]), "must have one name a row of 'means', but has 2 for 3"),
        (np.array([["a", "b", "c"], ["d", "e", "f"]]), r"must be text of shape \(K,\), but is <U1 \(2, 3\)"),
        (np.array([0.5, 1.5, 2.5]), r"must be text of shape \(K,\), but is float64 \(3,\)"),
        (np.array([b"\xe9t\xe9", b"b", b"c"]), "must be text, in UTF-8 where it is encoded, but: 'utf-8' codec"),
        (np.array(["\ud800", "b", "c"]), "must be text, in UTF-8 where it is encoded, but: 'utf-8' codec"),
        (np.full(3, 0x7FFFFFFF, np.uint32).view("U1"), "must be text, in UTF-8 where it is encoded, but: "),
    ],
    ids=["few", "two columns", "floats", "latin-1", "half a character", "no character"],
)
def test_names_that_are_no_text_are_one_message(write: Callable[..., Path], names: object, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_centroid_file(write(means=MEANS, names=names))


@pytest.mark.parametrize("name", ["none.npz", ".", "a" * 5_000, "pipe"])
def test_what_is_no_file_is_one_message_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="must be a NumPy archive"):
        read_centroid_file(tmp_path / name)


def test_no_columns_and_too_many_names_are_refused_before_names_are_made(write: Callable[..., Path]) -> None:
    header = npy(np.empty((0, 0)), shape=(5_000_000, 0))
    with pytest.raises(UserError, match=r"K and D above 0, but is float64 \(5000000, 0\)"):
        read_centroid_file(write(members=(("means.npy", header),)))
    with pytest.raises(UserError, match="must have one name a row of 'means', but has 4 for 3"):
        read_centroid_file(write(means=MEANS, names=np.array(list("abcd"))))
