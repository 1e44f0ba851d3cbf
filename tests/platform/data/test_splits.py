import numpy as np
import pytest

from pretrieve.data.image_table import SCHEMA, table_of_contents
from pretrieve.data.splits import hold_out, with_validation
from pretrieve.errors import ImageSetError


def _table(counts, *, interleaved=True):
    """Make a table with counts[k] images of class k, each named by its class and number."""
    names = [(label, number) for label, count in enumerate(counts) for number in range(count)]
    if interleaved:
        names.sort(key=lambda pair: (pair[1], pair[0]))
    paths = [f"{label}/{number}" for label, number in names]
    return table_of_contents(paths, [path.encode() for path in paths], [label for label, _ in names])


def _paths(table, label=None):
    return {path for path in table["path"].to_pylist() if label is None or path.startswith(f"{label}/")}


def _split(table, *, fraction=0.2, seed=0):
    return hold_out(table, fraction=fraction, seed=seed, set_name="birds")


def test_the_parts_share_no_image_and_lose_none():
    table = _table([10, 25, 7])
    kept, held = _split(table)
    assert _paths(kept) | _paths(held) == _paths(table)
    assert not _paths(kept) & _paths(held)


@pytest.mark.parametrize(
    ("count", "fraction", "expected"), [(10, 0.2, 2), (7, 0.2, 1), (2, 0.01, 1), (2, 0.99, 1), (40, 0.9, 36)]
)
def test_each_class_gives_its_rounded_fraction_at_least_one_and_not_all(count, fraction, expected):
    _, held = _split(_table([count, 5, count]), fraction=fraction)
    assert (len(_paths(held, 0)), len(_paths(held, 2))) == (expected, expected)


def test_rows_stay_whole_in_order_and_are_counted_from_zero():
    for part in _split(_table([6, 9])):
        assert part.schema == SCHEMA
        assert part["index"].to_pylist() == list(range(part.num_rows))
        assert [content.decode() for content in part["content"].to_pylist()] == part["path"].to_pylist()
        assert [int(path[0]) for path in part["path"].to_pylist()] == part["label"].to_pylist()
        numbers = [int(path[2:]) for path in part["path"].to_pylist()]
        assert numbers == sorted(numbers)


def test_a_seed_decides_the_split_and_another_seed_makes_another():
    table = _table([30, 30])
    assert _paths(_split(table, seed=1)[1]) == _paths(_split(table, seed=1)[1])
    assert _paths(_split(table, seed=1)[1]) != _paths(_split(table, seed=2)[1])


def test_classes_of_one_size_are_not_all_split_alike():
    _, held = _split(_table([40, 40]))
    numbers = [{path[2:] for path in _paths(held, label)} for label in (0, 1)]
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize("interleaved", [True, False])
def test_another_class_does_not_change_the_split_of_a_class(interleaved):
    _, held = _split(_table([20, 30]))
    _, held_of_more = _split(_table([20, 30, 15], interleaved=interleaved))
    for label in (0, 1):
        assert _paths(held, label) == _paths(held_of_more, label)


def test_every_image_can_be_held_out():
    counts = np.zeros(10)
    for seed in range(200):
        for path in _paths(_split(_table([10]), seed=seed)[1]):
            counts[int(path[2:])] += 1
    assert counts.sum() == 400
    assert counts.min() >= 20
    assert counts.max() <= 60


def test_a_class_of_one_image_cannot_be_split():
    with pytest.raises(ImageSetError, match=r"class of 'birds' needs at least 2 training images .* label 1 has 1; add"):
        _split(_table([5, 1]))


def test_validation_is_made_from_train_only_where_there_is_none():
    train, test, val = _table([10, 10]), _table([3, 3]), _table([2, 2])
    made = with_validation({"train": train, "test": test}, fraction=0.3, seed=0, set_name="birds")
    assert {split: table.num_rows for split, table in made.items()} == {"train": 14, "val": 6, "test": 6}
    assert made["test"] is test
    brought = with_validation({"train": train, "val": val}, fraction=0.3, seed=0, set_name="birds")
    assert brought == {"train": train, "val": val}
