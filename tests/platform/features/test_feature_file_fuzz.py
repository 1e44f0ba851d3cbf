"""Files of features, and lists of names, with anything in them: what they hold, or one message."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import harmless, num_cases

from pretrieve.data.group_lists import read_group_list
from pretrieve.errors import UserError
from pretrieve.features.centroid_file import read_centroid_file

NUM_CASES = num_cases(300)
NAMES = ["n01 owl", "n02 hen [bird]", "crane", "crane", "great white shark", "great owl", "7", "café", ":kite: x"]

ODD_SHAPES: list[Any] = [
    (10**12, 64),
    (10**30,),
    (-1, 4),
    (0, 10**9),
    (),
    (2**62, 2**62),
    (9, 3),
    (9, 5),
    (36,),
    [9, 4],
]
ODD_KINDS: list[Any] = [
    "<f8",
    ">f4",
    "|O",
    "<U4",
    "|S0",
    "<c16",
    "|V9",
    "<M8[s]",
    "|b1",
    "x",
    7,
    [("a", "<f8")],
    "<U999999",
]
ODD_WORDS: list[Any] = [
    "", "0", "8", "9", "-1", "007", "²", "٣", "9" * 5_000, "crane", "great", "great owl", "n01", "n0", "[", "[1", "\0",
    "cafe\u0301", " crane ", "\ud800", "😀", "x" * 10_000, None, True, 8, 10**400, 1.5, float("nan"), [], ["crane"], {},
]  # fmt: skip


def archive_of(members: list[tuple[str, bytes]], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def with_header(descr: Any, shape: Any, rng: random.Random) -> bytes:
    """Return a .npy file whose header need not be that of the numbers behind it."""
    text = repr({"descr": descr, "fortran_order": rng.random() < 0.3, "shape": shape})
    if rng.random() < 0.1:
        text = rng.choice(
            ["{" * 300, text[:-5], "__import__('os').mkdir('made-by-numpy')", text.replace("(", "(1L, "), ""]
        )
    version = rng.choice([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"])
    length = struct.pack("<H" if version[0] == 1 else "<I", rng.choice([len(text), len(text), 10, 60_000]))
    return b"\x93NUMPY" + version + length + text.encode() + rng.randbytes(rng.choice([288, 288, 0, 5]))


def odd_archive(rng: random.Random) -> bytes:
    numbers = np.random.default_rng(rng.randrange(99)).random((9, 4))
    names = np.array(NAMES, dtype=rng.choice(["U", ">U20", object])) if rng.random() < 0.8 else np.array([b"\xff"] * 9)
    buffers = [io.BytesIO(), io.BytesIO()]
    np.save(buffers[0], numbers.astype(rng.choice(["<f8", ">f2", "g", "i1", "c8"])))
    np.save(buffers[1], names.reshape(rng.choice([(9,), (9, 1), (3, 3)])))
    members = [("means.npy", buffers[0].getvalue()), ("names.npy", buffers[1].getvalue())]
    for _ in range(rng.randrange(3)):
        odd = with_header(rng.choice(ODD_KINDS), rng.choice([*ODD_SHAPES, (9, 4), (9,)]), rng)
        members[rng.randrange(2)] = (rng.choice(["means.npy", "names.npy", "means", "../means.npy"]), odd)
    return archive_of(
        members, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    )


def damaged(content: bytes, rng: random.Random) -> bytes:
    spoilt = bytearray(content)
    kind = rng.choice(["whole", "cut", "zeros", "flipped", "flipped", "inserted", "field"])
    place = rng.randrange(len(spoilt))
    if kind == "cut":
        del spoilt[place:]
    elif kind == "zeros":
        spoilt[place:] = bytes(len(spoilt) - place)
    elif kind == "inserted":
        spoilt[place:place] = rng.randbytes(20)
    elif kind == "flipped":
        for _ in range(rng.randint(1, 4)):
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    elif kind == "field":  # flags, method, sizes and offsets of a ZIP file's directory
        start = spoilt.find(b"PK\x01\x02") + rng.choice([8, 10, 16, 20, 24, 28, 42])
        spoilt[start : start + 4] = rng.choice([b"\xff" * 4, bytes(4), rng.randbytes(4), b"\x01\x00\x09\x00"])
    return bytes(spoilt)


def odd_list(rng: random.Random) -> bytes:
    words = [rng.choice([*ODD_WORDS, *NAMES, 0, 1, 4, 6, 7]) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.5:
        text = json.dumps(words, ensure_ascii=rng.random() < 0.5, default=str) if rng.random() < 0.8 else "[" * 100_000
    else:
        text = rng.choice(["\n", "\r\n", "\n\n"]).join(map(str, words))
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
    content = text.encode(encoding, "surrogatepass" if "utf" in encoding else "replace")
    return damaged(content, rng) if content and rng.random() < 0.2 else content


def answer(read: Callable[[], Any]) -> Any:
    """Return what is read, or the message of the one clean error."""
    try:
        return read()
    except UserError as error:
        message = str(error)
    message.encode()  # a terminal can show it
    assert len(message) < 2_000
    return message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_archive_is_centroids_or_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, read = tmp_path / "means.npz", []
    rng = random.Random(0)
    read_centroid_file(_written(path, archive_of([("means.npy", _npy(np.eye(2)))], zipfile.ZIP_LZMA)))
    with harmless(tmp_path):
        for _ in range(NUM_CASES):
            found = answer(lambda: read_centroid_file(_written(path, damaged(odd_archive(rng), rng))))
            if not isinstance(found, str):
                read.append(found)
                assert found.means.ndim == 2
                assert len(found.names) == len(found.means)
    assert 0 < len(read) < NUM_CASES
    assert [each.name for each in tmp_path.iterdir()] == ["means.npz"]


def test_any_list_is_groups_or_one_message(tmp_path: Path) -> None:
    path, read = tmp_path / "groups.txt", []
    rng = random.Random(1)
    with harmless(tmp_path):
        for _ in range(NUM_CASES):
            found = answer(lambda: read_group_list(str(_written(path, odd_list(rng))), NAMES))
            if not isinstance(found, str):
                read += found
    assert {2, 3}.isdisjoint(read)  # the two cranes, which no word tells apart
    assert {0, 1, 4, 5} <= set(read)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()
