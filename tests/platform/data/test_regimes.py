"""Regimes: how many labels of each class, which ones, and how train and val share them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.image_table import table_of_contents
from pretrieve.data.loading import load_source, load_target
from pretrieve.data.regimes import LongTail, Regime, apply_regime, class_sizes, draw_nested
from pretrieve.data.registry import register_target
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError


def table(*counts: int, offset: int = 0) -> Any:
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f"{offset + row}" for row in range(len(labels))]
    return table_of_contents(names, [b""] * len(labels), labels.tolist())


def cut(splits: dict[str, Any], regime: Regime, seed: int = 0) -> dict[str, Any]:
    num_classes = max(each["label"].to_numpy().max() for each in splits.values()) + 1
    names = [f"class {label}" for label in range(num_classes)]
    return apply_regime(splits, regime, seed=seed, set_name="mine", class_names=names)


def names_of(each: Any) -> set[str]:
    return set(each["path"].to_pylist())


def counts_of(each: Any) -> list[int]:
    return np.bincount(each["label"].to_numpy()).tolist()


def sizes(available: list[int], tail: LongTail, seed: int = 0) -> list[int]:
    made = class_sizes(np.array(available), Regime(long_tail=tail), seed=seed, set_name="mine")
    return [int(size) for size in made]


def test_a_fraction_keeps_its_share_of_each_class_in_train_and_val_and_leaves_test_alone() -> None:
    splits = {"train": table(20, 10), "val": table(10, 5, offset=100), "test": table(7, 7, offset=200)}
    made = cut(splits, Regime(fraction=0.4))
    assert counts_of(made["train"]) == [8, 4]
    assert counts_of(made["val"]) == [4, 2]
    assert made["test"] is splits["test"]
    assert made["train"]["index"].to_pylist() == list(range(12))
    assert names_of(made["train"]) < names_of(splits["train"])


@pytest.mark.parametrize(
    "regimes",
    [
        [Regime(fraction=fraction) for fraction in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)],
        [Regime(images_per_class=number) for number in (2, 3, 4, 5, 8, 13, 25, 100)],
    ],
)
def test_a_smaller_regime_is_part_of_a_larger_one_in_both_splits(regimes: list[Regime]) -> None:
    splits = {"train": table(24, 17, 33), "val": table(6, 13, 4, offset=100)}
    made = [cut(splits, regime) for regime in regimes]
    for smaller, larger in pairwise(made):
        for split in splits:
            assert names_of(smaller[split]) <= names_of(larger[split])
    assert all(made[-1][split].equals(splits[split]) for split in splits)


def test_few_shot_counts_the_labels_of_train_and_val_together() -> None:
    made = cut({"train": table(40, 3), "val": table(10, 1, offset=100)}, Regime(images_per_class=5))
    assert counts_of(made["train"]) == [4, 3]
    assert counts_of(made["val"]) == [1, 1]


def test_without_val_every_label_is_for_training() -> None:
    assert counts_of(cut({"train": table(9, 2)}, Regime(images_per_class=3))["train"]) == [3, 2]
    assert counts_of(cut({"train": table(9, 2)}, Regime(fraction=0.1))["train"]) == [1, 1]


def test_the_draw_of_a_class_depends_on_no_other_class_and_on_the_seed() -> None:
    alone = cut({"train": table(30)}, Regime(fraction=0.5))
    beside = cut({"train": table(30, 8)}, Regime(fraction=0.5))
    assert names_of(alone["train"]) == {name for name in names_of(beside["train"]) if int(name) < 30}
    assert names_of(cut({"train": table(30)}, Regime(fraction=0.5), seed=1)["train"]) != names_of(alone["train"])


@pytest.mark.parametrize(("ratio", "limit", "largest"), [(10, 30, 30), (10, 39, 30), (2.5, 30, 30), (3, 100, 99)])
def test_the_long_tail_falls_from_the_largest_class_to_exactly_one_in_ratio_of_it(
    ratio: float, limit: int, largest: int
) -> None:
    made = sorted(sizes([limit] * 50 + [limit + 9] * 50, LongTail(ratio=ratio)), reverse=True)
    assert made[0] == largest
    assert made[0] == ratio * made[-1]
    # Pareto's law: a straight line in log rank and log size, up to the rounding of sizes.
    expected = largest * np.arange(1, 101) ** (-np.log(ratio) / np.log(100))
    np.testing.assert_allclose(made, expected, atol=0.5)


def test_the_papers_cub_becomes_a_long_tail_of_three_to_thirty_images() -> None:
    made = sizes([30] * 200, LongTail())
    assert (max(made), min(made), len(made)) == (30, 3, 200)


@pytest.mark.parametrize("total", [400, 777, 1025])
def test_a_given_total_is_met_exactly_and_scales_the_tail(total: int) -> None:
    made = sizes([30] * 200, LongTail(total=total))
    assert sum(made) == total
    assert max(made) <= 30
    assert abs(max(made) - 10 * min(made)) <= 6, "one in ten, up to the rounding of the smallest class"


def test_the_seed_draws_which_class_is_large() -> None:
    first, again, other = (sizes([30] * 40, LongTail(), seed) for seed in (0, 0, 1))
    assert first == again
    assert sorted(first) == sorted(other)
    assert first != other


def test_a_long_tail_is_shared_by_train_and_val() -> None:
    whole = {"train": table(*[24] * 9), "val": table(*[6] * 9, offset=1000)}
    made = cut(whole, Regime(long_tail=LongTail(ratio=5)))
    together = np.add(counts_of(made["train"]), counts_of(made["val"]))
    assert sorted(together)[0] * 5 == sorted(together)[-1] == 30
    assert names_of(made["train"]) <= names_of(whole["train"])
    assert all(0.1 <= v / n <= 0.35 for v, n in zip(counts_of(made["val"]), together, strict=True))


@pytest.mark.parametrize(
    ("regime", "message"),
    [
        (Regime(fraction=0.1), r"'fraction 0.1' leaves 1 with fewer, the first 'class 1': 1 of 6; raise fraction"),
        (Regime(images_per_class=1), r"leaves 2 with fewer, the first 'class 0': 1 of 30; raise images_per_class to 2"),
        (Regime(long_tail=LongTail(ratio=6)), r"leaves 1 with fewer, .* lower long_tail.ratio"),
        (Regime(long_tail=LongTail(ratio=7)), r"at least 7 images of every class, but the smallest of 'mine' has 6"),
        (Regime(long_tail=LongTail(ratio=2, total=99)), r"total must be from 3 to 9 for the 2 classes .* but is 99"),
        (Regime(long_tail=LongTail(ratio=2, total=2)), r"total must be from 3 to 9"),
    ],
)
def test_what_the_classes_are_too_small_for_is_refused(regime: Regime, message: str) -> None:
    with pytest.raises(ImageSetError, match=message):
        cut({"train": table(24, 5), "val": table(6, 1, offset=100)}, regime)


def test_one_class_has_no_long_tail() -> None:
    with pytest.raises(ImageSetError, match="at least 2 classes"):
        sizes([30], LongTail())


def test_draws_are_nested_sorted_and_without_repetition() -> None:
    rows = np.arange(5, 45)
    drawn = [draw_nested(rows, number, seed=3) for number in (0, 1, 7, 40)]
    assert [len(each) for each in drawn] == [0, 1, 7, 40]
    assert set(drawn[1]) <= set(drawn[2])
    assert (np.diff(drawn[2]) > 0).all()
    assert drawn[3].tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fraction": 0.5, "images_per_class": 5}, "at most one .* fraction, images_per_class are"),
        ({"fraction": 0}, "greater than 0"),
        ({"fraction": 1.5}, "less than or equal to 1"),
        ({"images_per_class": 0}, "greater than or equal to 1"),
        ({"long_tail": 1}, "greater than 1"),
        ({"long_tail": True}, "valid dictionary"),
        ({"long_tale": {}}, "Extra inputs"),
    ],
)
def test_wrong_regimes_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Regime.model_validate(fields)


def test_a_number_is_short_for_the_ratio_of_a_long_tail() -> None:
    assert Regime.model_validate({"long_tail": 5}) == Regime(long_tail=LongTail(ratio=5))


def test_a_set_without_a_regime_is_whole_and_so_is_one_with_a_fraction_of_one() -> None:
    assert not Regime().restricts
    assert not Regime(fraction=1).restricts
    assert Regime(images_per_class=1).restricts


@pytest.fixture
def registered(no_registered_sets: Any) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (30, 4, 4), dtype=np.uint8), np.repeat([0, 1, 2], 10)
    for name, splits in (("made", ("train", "test")), ("own", ("train", "val", "test"))):
        made = image_set_from_arrays(name, ["a", "b", "c"], dict.fromkeys(splits, (images, labels)))
        register_target(name)(lambda made=made: made)


def load(registered: str, tmp_path: Any, *, seed: int = 0, **regime: Any) -> Any:
    settings = ImageSetSettings.model_validate({"registered": registered, "regime": regime})
    return load_target(settings, seed=seed, cache=tmp_path)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("name", "of_train", "of_val"), [("made", 4, 1), ("own", 3, 2)])
def test_a_target_is_cut_with_the_share_of_val_that_it_has(
    tmp_path: Any, name: str, of_train: int, of_val: int
) -> None:
    whole, few = load(name, tmp_path), load(name, tmp_path, images_per_class=5)
    assert counts_of(few.splits["train"]) == [of_train] * 3
    assert counts_of(few.splits["val"]) == [of_val] * 3
    assert few.splits["test"].equals(whole.splits["test"])
    for split in ("train", "val"):
        assert set(few.splits[split]["content"].to_pylist()) <= set(whole.splits[split]["content"].to_pylist())


@pytest.mark.usefixtures("registered")
def test_regime_and_seed_decide_the_fingerprints_of_train_and_val_and_nothing_changes_without(tmp_path: Any) -> None:
    whole = load("own", tmp_path)
    assert load("own", tmp_path, fraction=1.0).fingerprints == whole.fingerprints
    made = [
        whole,
        load("own", tmp_path, fraction=0.5),
        load("own", tmp_path, fraction=0.5, seed=1),
        load("own", tmp_path, fraction=0.6),
        load("own", tmp_path, images_per_class=5),
        load("own", tmp_path, long_tail=5),
        load("own", tmp_path, long_tail={"ratio": 5, "total": 20}),
    ]
    assert made[1].fingerprints == load("own", tmp_path, fraction=0.5).fingerprints
    for split in ("train", "val"):
        assert len({each.fingerprints[split] for each in made}) == len(made)
    assert len({each.fingerprints["test"] for each in made}) == 1


@pytest.mark.usefixtures("registered")
def test_a_source_may_have_a_fraction_and_no_other_regime(tmp_path: Any) -> None:
    def source(**regime: Any) -> Any:
        settings = ImageSetSettings.model_validate({"registered": "own", "name": "pool", "regime": regime})
        return load_source(settings, seed=0, cache=tmp_path)

    assert counts_of(source(fraction=0.3).splits["train"]) == [3, 3, 3]
    assert source(fraction=0.3).fingerprints["train"] != source().fingerprints["train"]
    assert source(fraction=0.3).fingerprints["test"] == source().fingerprints["test"]
    with pytest.raises(ImageSetError, match="the source 'pool' must be a fraction, but is 'images_per_class 5'"):
        source(images_per_class=5)
