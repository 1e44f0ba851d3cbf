"""Images of a target that do not decode: left out, counted, named, and the scores' denominators told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pretrieve.backbones import Backbone
from pretrieve.data.decode import encode_png
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_fingerprint, table_of_contents
from pretrieve.image_cache.entries import write_entry
from pretrieve.stages.image_cache import count_decoded, describe_left_out, write_left_out
from pretrieve.stages.study_inputs import StudyInputs, split_entry


@pytest.fixture
def inputs(tmp_path: Path) -> StudyInputs:
    """One target of four images a split, of which one of train and two of test are broken."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, broken in {"train": {1}, "val": set(), "test": {0, 3}}.items():
        contents = [encode_png(picture) for picture in rng.integers(0, 256, (4, 9, 9, 3), dtype=np.uint8)]
        contents = [b"" if row in broken else content for row, content in enumerate(contents)]
        splits[split] = table_of_contents([f"{split}/{row}.png" for row in range(4)], contents, [0, 0, 1, 1])
    birds = ImageSet("birds", ("a", "b"), splits, {name: table_fingerprint(table) for name, table in splits.items()})
    backbone = Backbone("small_resnet", tmp_path / "weights.pt", "identity")
    made = StudyInputs(birds, {"birds": birds}, backbone, {}, {}, tmp_path / "images")
    for split, layout in (("train", "whole"), ("val", "square"), ("test", "square")):
        entry = split_entry(birds, split, made.image_size, layout)  # type: ignore[arg-type]
        write_entry(entry, made.images / entry.key)
    return made


def test_every_split_tells_how_many_images_count(inputs: StudyInputs) -> None:
    counts = count_decoded(inputs)["birds"]
    found = {split: (each.num_listed, each.num_decoded, len(each.left_out)) for split, each in counts.items()}
    assert found == {"train": (4, 3, 1), "val": (4, 4, 0), "test": (4, 2, 2)}


def test_the_denominators_are_told_in_sentences(inputs: StudyInputs) -> None:
    assert list(describe_left_out(count_decoded(inputs))) == [
        "training has 3 of the 4 train images of 'birds': 1 left out, because they do not decode",
        "a test score counts 2 of the 4 test images of 'birds': 2 left out, because they do not decode",
    ]


def test_the_record_names_every_image_that_is_left_out(inputs: StudyInputs, tmp_path: Path) -> None:
    told = json.loads(write_left_out(inputs, tmp_path).read_text(encoding="utf-8"))
    assert told["birds"]["test"]["num_decoded"] == 2
    assert told["birds"]["test"]["left_out"][0].startswith("test/0.png: an image must decode, but its file is empty")
