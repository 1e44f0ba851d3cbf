"""Repeats: what is drawn anew, that repeat 0 is the study of today, and that nothing is learned and tested at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published_miniatures import write_miniature

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import pool_splits, table_of_contents
from pretrieve.data.loading import load_target, load_whole
from pretrieve.data.published._base import PublishedSet
from pretrieve.data.regimes import apply_regime
from pretrieve.data.registry import register_target
from pretrieve.data.repeats import RepeatDraw, draw_repeat, draw_splits, join_draws
from pretrieve.data.settings import ImageSetSettings
from pretrieve.data.splits import hold_out, with_test
from pretrieve.errors import ImageSetError

SEED = 3


def make(images_per_group: int = 0, **counts: list[int]) -> ImageSet:
    """Make a set with so many images of each class in each split; groups are numbered within a class of a split."""
    tables = {}
    for split, each in counts.items():
        labels = np.repeat(np.arange(len(each)), each)
        names = [f"birds/{split}/{row:06d}" for row in np.random.default_rng(0).permutation(len(labels))]
        table = table_of_contents(names, [name.encode() for name in names], labels.tolist())
        if images_per_group:
            groups = [f"{split} {label} {row // images_per_group}" for row, label in enumerate(labels)]
            table = table.append_column("group", pa.array(groups, pa.string()))
        tables[split] = table
    return image_set_of_tables("birds", [f"class {k}" for k in range(len(counts["train"]))], tables, "top1")


def asked(**fields: Any) -> ImageSetSettings:
    return ImageSetSettings.model_validate({"registered": "birds", **fields})


def draw(whole: ImageSet, repeat: int = 0, **fields: Any) -> RepeatDraw:
    return draw_repeat(whole, asked(**fields), repeat=repeat, seed=SEED)


def paths(whole: ImageSet, rows: np.ndarray) -> set[str]:
    return set(pool_splits(whole.splits).take(rows)["path"].to_pylist())


def images_of(*tables: pa.Table) -> set[str]:
    return {path for table in tables for path in table["path"].to_pylist()}


SETS = {
    "train": {"train": [20, 14, 9]},
    "train and test": {"train": [20, 14, 9], "test": [4, 5, 6]},
    "all splits": {"train": [20, 14, 9], "val": [5, 6, 7], "test": [4, 5, 6]},
}
REGIMES: list[dict[str, Any]] = [{}, {"fraction": 0.5}, {"images_per_class": 4}, {"long_tail": {"ratio": 3}}]


@pytest.mark.parametrize("images_per_group", [0, 3])
@pytest.mark.parametrize("regime", REGIMES, ids=str)
@pytest.mark.parametrize("name", SETS)
def test_repeat_0_has_what_the_steps_give_table_by_table(
    name: str, regime: dict[str, Any], images_per_group: int
) -> None:
    whole = make(images_per_group, **SETS[name])
    fraction = None if "test" in whole.splits else 0.3
    splits = with_test(whole.splits, fraction=fraction, seed=SEED, set_name="birds")
    if "val" not in splits:
        splits["train"], splits["val"] = hold_out(splits["train"], fraction=0.2, seed=SEED, set_name="birds")
    if regime:
        setting = asked(regime=regime).regime
        splits = apply_regime(splits, setting, seed=SEED, set_name="birds", class_names=whole.class_names)
    drawn = draw(whole, test_fraction=fraction, regime=regime)
    assert paths(whole, drawn.labelled) == images_of(splits["train"], splits["val"])
    assert paths(whole, drawn.test) == images_of(splits["test"])
    rows = draw_splits(whole, asked(test_fraction=fraction, regime=regime), seed=SEED)
    for split, table in splits.items():
        assert pool_splits(whole.splits).take(rows[split])["path"].to_pylist() == table["path"].to_pylist()


@pytest.fixture
def form(request: Any, tmp_path: Path, make_tree: Callable[..., Path], no_registered_sets: Any) -> dict[str, Any]:
    """Write a set of two classes in one form, and return the fields that name it."""
    files = [f"train/{name}/{number}.png" for name in ("cat", "dog") for number in range(12)]
    root = make_tree(*files)
    if request.param == "folder":
        return {"folder": root}
    if request.param == "registered":
        register_target("birds")(lambda: make(3, train=[12, 12], test=[3, 3]))
        return {"registered": "birds"}
    if request.param == "parquet":
        contents = [(root / file).read_bytes() for file in files]
        pq.write_table(pa.table({"image": contents, "label": [0] * 12 + [1] * 12}), tmp_path / "pets.parquet")
        return {"parquet": tmp_path / "pets.parquet"}
    lines = [f"{file},{file.split('/')[1]},{number // 2}" for number, file in enumerate(files)]
    (root / "pets.csv").write_text("path,label,patient\n" + "\n".join(lines) + "\n")
    return {"csv": root / "pets.csv", "columns": {"group": "patient"}}


@pytest.mark.parametrize("form", ["folder", "csv", "parquet", "registered"], indirect=True)
@pytest.mark.parametrize("test", ["official", "undrawn"])
@pytest.mark.parametrize("regime", [{}, {"images_per_class": 4}], ids=str)
def test_repeat_0_has_the_images_of_load_target_in_every_form(
    form: dict[str, Any], regime: dict[str, Any], test: str, tmp_path: Path
) -> None:
    fields = {**form, "regime": regime, "test": test}
    if "registered" not in form:
        fields["test_fraction"] = 0.25
    setting = ImageSetSettings.model_validate(fields)
    whole = load_whole(setting, seed=SEED, cache=tmp_path)
    drawn = draw_repeat(whole, setting, repeat=0, seed=SEED)
    target = load_target(setting, seed=SEED, cache=tmp_path)
    assert paths(whole, drawn.labelled) == images_of(target.splits["train"], target.splits["val"])
    assert paths(whole, drawn.test) == images_of(target.splits["test"])
    for table in target.splits.values():
        assert table["index"].to_pylist() == list(range(table.num_rows))


@given(
    train=st.lists(st.integers(4, 20), min_size=2, max_size=5),
    splits=st.sampled_from([(), ("test",), ("val", "test")]),
    regime=st.sampled_from([{}, {"fraction": 0.6}, {"images_per_class": 3}]),
    test=st.sampled_from(["official", "undrawn"]),
    repeat=st.integers(0, 3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_labelled_and_test_images_are_disjoint_and_those_undrawn_are_all_the_others(
    train: list[int], splits: tuple[str, ...], regime: dict[str, Any], test: str, repeat: int
) -> None:
    whole = make(train=train, **dict.fromkeys(splits, [4] * len(train)))
    fields = {"regime": regime, "test": test, "test_fraction": None if "test" in splits else 0.25}
    drawn = draw(whole, repeat, **fields)
    for rows in (drawn.labelled, drawn.test):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    assert not np.intersect1d(drawn.labelled, drawn.test).size
    labels = pool_splits(whole.splits)["label"].to_numpy()
    assert set(labels[drawn.labelled]) == set(range(len(train))), "each class is learned"
    if test == "undrawn" or not regime:
        np.testing.assert_array_equal(
            np.union1d(drawn.labelled, drawn.test), np.arange(len(labels)), "no image is left over"
        )
    another = draw(whole, repeat, **fields)
    np.testing.assert_array_equal(another.labelled, drawn.labelled)
    np.testing.assert_array_equal(another.test, drawn.test)


@pytest.mark.parametrize(
    ("name", "fields", "redraws_labelled", "redraws_test", "sentence"),
    [
        (
            "train and test",
            {},
            False,
            False,
            "All repeats of 'birds' have the same 43 labelled images and 15 test images: the test split is its own, "
            "and no regime leaves out images.",
        ),
        (
            "all splits",
            {"regime": {"images_per_class": 99}},
            False,
            False,
            "All repeats of 'birds' have the same 61 la",
        ),
        (
            "train and test",
            {"regime": {"images_per_class": 4}},
            True,
            False,
            "Each repeat of 'birds' draws 12 of 43 labelled images anew; the 15 test images of its own split stay.",
        ),
        (
            "train and test",
            {"regime": {"images_per_class": 4}, "test": "undrawn"},
            True,
            True,
            "Each repeat of 'birds' draws 12 of 43 labelled images and 46 test images anew.",
        ),
        (
            "train",
            {"test_fraction": 0.3},
            True,
            True,
            "Each repeat of 'birds' draws 30 labelled images and 13 test images anew.",
        ),
        (
            "train",
            {"regime": {"images_per_class": 4}, "test": "undrawn"},
            True,
            True,
            "Each repeat of 'birds' draws 12 of 43 labelled images and 31 test images anew.",
        ),
    ],
)
def test_what_is_drawn_anew_is_said_and_differs_between_repeats(
    name: str, fields: dict[str, Any], redraws_labelled: bool, redraws_test: bool, sentence: str
) -> None:
    whole = make(**SETS[name])
    first, second = draw(whole, 0, **fields), draw(whole, 1, **fields)
    assert first.describe().startswith(sentence)
    assert second.describe() == first.describe()
    for drawn in (first, second):
        assert (drawn.redraws_labelled, drawn.redraws_test) == (redraws_labelled, redraws_test)
    assert (first.labelled.tolist() != second.labelled.tolist()) == redraws_labelled
    assert (first.test.tolist() != second.test.tolist()) == redraws_test
    assert (first.labelled.size, first.test.size) == (second.labelled.size, second.test.size)


def test_a_later_repeat_is_the_study_of_its_own_seed() -> None:
    whole, fields = make(**SETS["train"]), {"test_fraction": 0.3, "regime": {"fraction": 0.5}}
    own_seed = derived_seed(SEED, "repeat", 2)
    again = draw_repeat(whole, asked(**fields), repeat=0, seed=own_seed)
    np.testing.assert_array_equal(draw(whole, 2, **fields).labelled, again.labelled)
    np.testing.assert_array_equal(draw(whole, 2, **fields).test, again.test)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("repeat", [0, 2])
def test_what_fewer_labels_keep_more_labels_keep_too(name: str, repeat: int) -> None:
    whole = make(**SETS[name])
    fraction = None if "test" in whole.splits else 0.3
    drawn = [
        [draw(whole, repeat, test_fraction=fraction, regime=regime).labelled for regime in regimes]
        for regimes in (
            [{"fraction": fraction} for fraction in (0.3, 0.5, 0.8, 1.0)],
            [{"images_per_class": number} for number in (2, 3, 5, 8, 99)],
        )
    ]
    for series in drawn:
        for smaller, larger in pairwise(series):
            assert set(smaller) <= set(larger)
            assert len(smaller) < len(larger)


def test_undrawn_images_of_a_group_that_is_learned_from_are_no_test() -> None:
    whole = make(3, train=[30, 30], test=[6, 6])
    for repeat in range(3):
        drawn = draw(whole, repeat, regime={"images_per_class": 5}, test="undrawn")
        groups = np.array(pool_splits(whole.splits)["group"].to_pylist())
        learned = set(groups[drawn.labelled])
        assert learned.isdisjoint(groups[drawn.test])
        # Complete beside: every image of another group is tested.
        assert set(drawn.test) == {row for row, group in enumerate(groups) if group not in learned}


def test_repeats_of_a_new_test_split_keep_groups_whole() -> None:
    whole = make(3, train=[30, 30])
    groups = np.array(pool_splits(whole.splits)["group"].to_pylist())
    for repeat in range(3):
        drawn = draw(whole, repeat, test_fraction=0.3)
        assert set(groups[drawn.labelled]).isdisjoint(groups[drawn.test])
        assert drawn.labelled.size + drawn.test.size == 60


def test_a_class_of_one_image_is_labelled_where_no_image_must_be_held_out() -> None:
    whole = make(train=[5, 1], test=[2, 2])
    assert draw(whole).labelled.size == 6
    with pytest.raises(ImageSetError, match="needs at least 2 training images to hold one out for validation"):
        draw_splits(whole, asked(), seed=SEED)


def test_a_target_that_leaves_nothing_to_test_on_is_refused() -> None:
    whole = make(train=[5, 5])
    for fields in ({}, {"test": "undrawn"}):
        with pytest.raises(ImageSetError, match=r"target 'birds' must have a test split, but has \['train'\]; add one"):
            draw(whole, **fields)
    with pytest.raises(
        ImageSetError,
        match=r"with test: undrawn a regime must leave out images to test on, but of 'birds' 'images_per_class 9' "
        r"draws every image; lower it, or test on a test split",
    ):
        draw(whole, regime={"images_per_class": 9}, test="undrawn")
    with pytest.raises(ImageSetError, match="draws every image or shares its group with one that it draws; lower it"):
        draw(make(5, train=[10, 10]), regime={"images_per_class": 6}, test="undrawn")


def test_undrawn_test_images_have_a_fingerprint_of_their_draw(no_registered_sets: Any, tmp_path: Path) -> None:
    register_target("birds")(lambda: make(**SETS["train and test"]))

    def fingerprint(seed: int = 0, **fields: Any) -> str:
        return load_target(asked(**fields), seed=seed, cache=tmp_path).fingerprints["test"]

    few = {"regime": {"images_per_class": 4}}
    found = [fingerprint(), fingerprint(test="undrawn", **few), fingerprint(1, test="undrawn", **few)]
    found.append(fingerprint(test="undrawn", regime={"images_per_class": 5}))
    assert len(set(found)) == len(found)
    assert fingerprint(test="undrawn") == fingerprint(**few) == found[0]
    assert fingerprint(test="undrawn", **few) == found[1]


@pytest.fixture
def caltech101(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageSetSettings:
    write_miniature("caltech101", tmp_path)
    # A miniature has fewer images than the published set, which `load` would refuse.
    monkeypatch.setattr(PublishedSet, "load", lambda self, root, name, seed: self.read(root, name=name, seed=seed))
    return ImageSetSettings.model_validate({"published": "caltech101", "folder": tmp_path})


def test_the_split_that_a_protocol_draws_is_drawn_anew_as_its_reader_draws_it(
    caltech101: ImageSetSettings, tmp_path: Path
) -> None:
    whole = load_whole(caltech101, seed=SEED, cache=tmp_path)
    for repeat in (0, 1):
        seed = derived_seed(SEED, "repeat", repeat) if repeat else SEED
        drawn = draw_repeat(whole, caltech101, repeat=repeat, seed=SEED)
        read = load_whole(caltech101, seed=seed, cache=tmp_path)
        assert paths(whole, drawn.labelled) == images_of(read.splits["train"])
        assert paths(whole, drawn.test) == images_of(read.splits["test"])
        assert drawn.redraws_test
    assert drawn.describe() == "Each repeat of 'caltech101' draws 63 labelled images and 6 test images anew."


def test_the_images_of_several_repeats_are_listed_once() -> None:
    whole = make(train=[20, 20], test=[3, 3])
    draws = [draw(whole, repeat, regime={"images_per_class": 4}) for repeat in range(3)]
    rows = join_draws(draws)
    assert (np.diff(rows) > 0).all()
    assert set(rows) == {row for each in draws for row in (*each.labelled, *each.test)}
    assert rows.size < sum(each.labelled.size + each.test.size for each in draws)
    np.testing.assert_array_equal(join_draws(draws[:1]), np.union1d(draws[0].labelled, draws[0].test))
