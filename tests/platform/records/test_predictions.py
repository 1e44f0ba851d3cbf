"""Kept predictions survive their file to the bit, and a file that is not what was written is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from damage import damage
from made_predictions import make_predictions

from pretrieve.errors import DamagedArtifactError, UserError
from pretrieve.records.predictions import KeptPredictions, predictions_path, read_predictions, write_predictions

ARRAYS = ("images", "labels", "scores")


@pytest.fixture
def made() -> KeptPredictions:
    """Predictions whose scores hold every kind of float."""
    scores = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    scores[1] = [np.inf, -np.inf, 0.0]
    scores[2, 0] = np.nan
    return make_predictions(scores, [0, 2, 1, 0, 2])


def test_predictions_survive_their_file_to_the_bit(made: KeptPredictions, tmp_path: Path) -> None:
    path = predictions_path(tmp_path, "k")
    write_predictions(path, made)
    read = read_predictions(path)
    for name in ARRAYS:
        assert getattr(read, name).dtype == getattr(made, name).dtype
        assert getattr(read, name).tobytes() == getattr(made, name).tobytes()
    assert replace(read, **{name: getattr(made, name) for name in ARRAYS}).__dict__ == made.__dict__
    first = path.read_bytes()
    write_predictions(path, read)
    assert path.read_bytes() == first, "equal predictions are equal bytes"


def test_any_reader_of_arrow_streams_reads_the_file(made: KeptPredictions, tmp_path: Path) -> None:
    write_predictions(tmp_path / "k.arrows", made)
    with pa.ipc.open_stream(tmp_path / "k.arrows") as reader:
        table = reader.read_all()
    assert table.schema.names == ["image", "label", "scores"]
    assert table.schema.types == [pa.string(), pa.int32(), pa.list_(pa.float32(), 3)]
    assert table["label"].to_pylist() == [0, 2, 1, 0, 2]
    assert table.schema.metadata[b"class_names"] == b'["a", "b", "c"]'
    assert table.schema.metadata[b"made_with"] == b'{"torch": "2", "threads": "1"}'


@pytest.mark.parametrize("how", ["emptied", "cut", "flipped"])
def test_a_damaged_file_is_refused(made: KeptPredictions, tmp_path: Path, how: str) -> None:
    path, rng = tmp_path / "k.arrows", random.Random(how)
    for _ in range(20):
        write_predictions(path, made)
        damage(path, how, rng)
        with pytest.raises(DamagedArtifactError, match=r"k\.arrows"):
            read_predictions(path)


def test_a_file_of_another_version_is_refused(
    made: KeptPredictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptPredictions, "VERSION", 2)
    write_predictions(tmp_path / "k.arrows", made)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"another version \(the record's is 2, and must be 1\)"):
        read_predictions(tmp_path / "k.arrows")


def test_shapes_that_do_not_fit_are_refused(made: KeptPredictions) -> None:
    for changes in ({"labels": made.labels[:4]}, {"images": made.images[:4]}, {"class_names": ("a", "b")}):
        with pytest.raises(ValueError, match=r"must have labels \(N,\) and scores \(N, K\)"):
            replace(made, **changes)
