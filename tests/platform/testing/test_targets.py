"""The contract suite accepts the demo's targets, and names what is wrong with a broken one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pretrieve.components import TARGETS
from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_of_contents
from pretrieve.testing import check_target

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("word", ["digits", "greek"])
def test_the_demos_targets_keep_the_contract(word: str) -> None:
    check_target(TARGETS.find(word))


def arrays(seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    splits = {name: (rng.integers(0, 256, (6, 8, 8), dtype=np.uint8), np.arange(6) % 3) for name in ("train", "test")}
    return image_set_from_arrays("arrays", NAMES, splits)


def with_table(split: str, change: Callable[[pa.Table], pa.Table]) -> ImageSet:
    made = arrays()
    return replace(made, splits={**made.splits, split: change(made.splits[split])})


def fingerprinted(splits: Mapping[str, pa.Table], **changes: Any) -> ImageSet:
    return replace(arrays(), splits=splits, fingerprints=dict.fromkeys(splits, "0"), **changes)


def test_a_set_and_a_folder_are_checked_as_they_are(tmp_path: Path) -> None:
    check_target(arrays())
    for row, (name, image) in enumerate(zip("abab", arrays().splits["train"]["content"].to_pylist(), strict=False)):
        (tmp_path / "train" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name / f"{row}.png").write_bytes(image)
    check_target(lambda: load_folder_tree(tmp_path, name="folder"))
    (tmp_path / "test" / "a").mkdir(parents=True)
    Image.open(tmp_path / "train" / "a" / "0.png").save(tmp_path / "test" / "a" / "copy.png", compress_level=9)
    check_target(lambda: load_folder_tree(tmp_path, name="folder"))
    (tmp_path / "test" / "a" / "copy.png").write_bytes((tmp_path / "train" / "a" / "2.png").read_bytes())
    with pytest.raises(
        AssertionError, match=r"'.*train/a/2\.png' of train and '.*test/a/copy\.png' of test are the same"
    ):
        check_target(lambda: load_folder_tree(tmp_path, name="folder"))
    made = load_folder_tree(tmp_path, name="folder")
    (tmp_path / "train" / "b" / "1.png").unlink()
    with pytest.raises(AssertionError, match=r"every image must be read, but '.*train/b/1\.png' of train: .* is gone"):
        check_target(made)


def test_the_same_image_with_another_label_is_no_leak() -> None:
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    splits = {"train": (images, np.array([0, 1, 2])), "test": (images, np.array([1, 2, 0]))}
    check_target(image_set_from_arrays("turned", NAMES, splits))


CALLS: list[int] = []


def drawn_anew() -> ImageSet:
    CALLS.append(0)
    return arrays(seed=len(CALLS))


def drawn_anew_in_secret() -> ImageSet:
    return replace(drawn_anew(), fingerprints={"train": "0", "test": "0"})


def named_anew() -> ImageSet:
    CALLS.append(0)
    return replace(arrays(), class_names=("a", "b", f"c{len(CALLS)}"))


def without_a_class() -> ImageSet:
    return replace(arrays(), class_names=(*NAMES, "d"))


def out_of_range() -> ImageSet:
    return replace(arrays(), class_names=NAMES[:2])


def without_train() -> ImageSet:
    return fingerprinted({"test": arrays().splits["test"]})


def mistyped() -> ImageSet:
    return fingerprinted({"train": arrays().splits["train"], "tset": arrays().splits["test"]})


def junk(table: pa.Table) -> pa.Table:
    contents = [b"no image", *table["content"].to_pylist()[1:]]
    return table_of_contents(table["path"].to_pylist(), contents, table["label"].to_pylist())


def table_of_others(table: pa.Table) -> pa.Table:
    return table.append_column("size", pa.array(range(table.num_rows)))


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (
            drawn_anew,
            r"two calls must give the same fingerprints, but give \{'train': '.*\} and .* \(target 'arrays'\)",
        ),
        (drawn_anew_in_secret, "sets with the same fingerprints must have the same images, but row 0 of train differs"),
        (named_anew, r"two calls must give the same class_names, but give \('a', 'b', 'c\d+'\) and"),
        (without_a_class, "a target must be whole, but without_a_class raises ImageSetError: every class of 'arrays'"),
        (out_of_range, "raises ImageSetError: labels of 'arrays', split 'train', must lie in 0 … 1, but 2 was found"),
        (without_train, r"raises ImageSetError: image set 'arrays' must have a train split, but has \['test'\]"),
        (dict, "a target must be a pretrieve ImageSet, but dict returns a dict"),
        (
            replace(arrays(), class_names=("a", "b", "a")),
            r"names must differ, but labels 0 and 2 are both 'a' \(target",
        ),
        (replace(arrays(), class_names=("a", "b", "")), "class names must be words, but that of label 2 is ''"),
        (replace(arrays(), fingerprints={"train": "0"}), "each split must have a fingerprint, but test has none"),
        (mistyped(), "splits must be of train, val, test, but one is 'tset'"),
        (with_table("test", lambda table: table.slice(0, 0)), "a split must have an image, but test has none; leave"),
        (with_table("test", lambda table: table.slice(2)), "must count from 0, but row 0 of test has index 2"),
        (
            with_table("train", table_of_others),
            "must have the columns index int64, .*, but that of train has .*, size int",
        ),
        (with_table("test", junk), r"must decode, but 'arrays/test/a/0+\.png' of test does not: .* cannot identify"),
        (fingerprinted(dict.fromkeys(("train", "val"), arrays().splits["train"])), "of val are the same, of class 'a'"),
    ],
)
def test_a_broken_target_is_named_with_its_fault(target: Any, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_target(target)


def test_a_target_may_have_groups() -> None:
    groups = pa.array([f"patient {row // 2}" for row in range(6)], pa.string())
    check_target(
        fingerprinted({split: table.append_column("group", groups) for split, table in arrays().splits.items()})
    )
