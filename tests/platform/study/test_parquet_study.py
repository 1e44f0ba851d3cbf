"""Source and target in Parquet files as Hugging Face publishes them, through a whole study."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pretrieve.data.forms import parquet_tables
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

MakeSettings = Callable[..., StudySettings]


class Ear(StudyObserver):
    """Keeps what is noticed."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def noticed(self, message: str) -> None:
        self.notices.append(message)


def write_table(path: Path, *, num_classes: int, per_class: int, seed: int, broken_row: int | None = None) -> None:
    """Write structs of bytes and path beside labels with their names, in several row groups."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_classes * per_class) % num_classes
    structs = []
    for row, label in enumerate(labels):
        buffer = io.BytesIO()
        pixels = (label * 60 + rng.integers(0, 60, (20, 24, 3))).astype(np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG")
        content = b"no image" if row == broken_row else buffer.getvalue()
        structs.append({"bytes": content, "path": f"{row}.jpg"})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(structs, kind), "label": pa.array(labels, pa.int64())})
    label_feature = {"names": [f"kind {label}" for label in range(num_classes)], "_type": "ClassLabel"}
    features = {"info": {"features": {"image": {"_type": "Image"}, "label": label_feature}}}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path, row_group_size=7)


@pytest.mark.usefixtures("ray_cluster")
def test_parquet_source_and_target_become_a_finished_study(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Workers then read the images out of the tables, as they do from data sets that no memory holds.
    monkeypatch.setattr(parquet_tables, "HELD_TABLES_LIMIT", 0)
    write_table(tmp_path / "source.parquet", num_classes=4, per_class=10, seed=0, broken_row=5)
    target = tmp_path / "target" / "data"
    write_table(target / "train-00000-of-00001.parquet", num_classes=3, per_class=16, seed=1, broken_row=2)
    write_table(target / "test-00000-of-00001.parquet", num_classes=3, per_class=4, seed=2, broken_row=0)
    settings = make_settings(
        source={"parquet": str(tmp_path / "source.parquet")},
        targets=[{"parquet": str(tmp_path / "target"), "name": "animals"}],
        grid={"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        training={"epochs": 1, "batch_size": 8},
        refit={"num_seeds": 1},
    )
    ear = Ear()
    record = run_study(settings, ear)
    assert {cell.method for cell in record.cells} == {"finetune", "uot"}
    assert all(cell.test_mean is not None for cell in record.cells)
    left_out = [notice for notice in ear.notices if notice.startswith("left out, because it does not decode")]
    assert len(left_out) == 3, ear.notices
    assert [name for name in ("source.parquet", "train-00000", "test-00000") if any(name in it for it in left_out)] == [
        "source.parquet",
        "train-00000",
        "test-00000",
    ]
