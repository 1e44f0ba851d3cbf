import numpy as np
import pyarrow as pa
import pytest

from pretrieve.data.image_table import SCHEMA, table_of_contents
from pretrieve.data.splits import hold_out, split_per_class, with_test
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


def _draw(table, *, images_per_class=30, seed=0):
    return split_per_class(table, images_per_class=images_per_class, seed=seed, set_name="birds")


def test_so_many_images_of_each_class_are_drawn_and_the_rest_is_left():
    table = _table([10, 25, 7])
    drawn, rest = _draw(table, images_per_class=7)
    assert [len(_paths(drawn, label)) for label in range(3)] == [7, 7, 6]
    assert [len(_paths(rest, label)) for label in range(3)] == [3, 18, 1]
    assert _paths(drawn) | _paths(rest) == _paths(table)


def test_a_drawn_split_is_the_same_in_whatever_order_the_files_are_listed(rng):
    table = _table([10, 25, 7])
    parts = _draw(table, images_per_class=5)
    for _ in range(3):
        shuffled = _draw(table.take(rng.permutation(table.num_rows)), images_per_class=5)
        for part, again in zip(parts, shuffled, strict=True):
            assert again.equals(part)
    for part in parts:
        assert part["index"].to_pylist() == list(range(part.num_rows))
        assert part["label"].to_pylist() == sorted(part["label"].to_pylist())


def test_a_drawn_split_is_the_same_below_another_folder():
    table = _table([10, 25])
    moved = table_of_contents([f"/elsewhere/{path}" for path in table["path"].to_pylist()], [b""] * 35, table["label"])
    for part, again in zip(_draw(table, images_per_class=5), _draw(moved, images_per_class=5), strict=True):
        assert {f"/elsewhere/{path}" for path in _paths(part)} == {*again["path"].to_pylist()}


def test_another_seed_draws_others_and_more_images_draw_the_same_and_more():
    table = _table([40, 40])
    five, ten = (_paths(_draw(table, images_per_class=count)[0]) for count in (5, 10))
    assert five < ten
    assert _paths(_draw(table, images_per_class=5, seed=1)[0]) != five


def test_a_class_of_one_image_cannot_be_drawn_from():
    with pytest.raises(
        ImageSetError, match=r"each class of 'birds' needs at least 2 images, .* but label 1 has 1; add"
    ):
        _draw(_table([3, 1]))


def test_a_test_split_is_made_from_train_only_where_a_share_is_asked_for():
    train, val = _table([10, 20]), _table([2, 2])
    given = {"train": train, "val": val}
    assert with_test(given, fraction=None, seed=0, set_name="birds") == given
    made = with_test(given, fraction=0.3, seed=0, set_name="birds")
    assert {split: table.num_rows for split, table in made.items()} == {"train": 21, "val": 4, "test": 9}
    assert _paths(made["train"]) | _paths(made["test"]) == _paths(train)
    assert (len(_paths(made["test"], 0)), len(_paths(made["test"], 1))) == (3, 6)


def test_test_and_validation_of_one_seed_are_different_draws():
    table = _table([40, 40])
    test = with_test({"train": table}, fraction=0.2, seed=5, set_name="birds")["test"]
    _, val = hold_out(table, fraction=0.2, seed=5, set_name="birds")
    assert _paths(test) != _paths(val)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 20])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ImageSetError, match=rf"of 'birds' must lie between 0 and 1, but is {fraction}; try 0\.2"):
        with_test({"train": _table([5])}, fraction=fraction, seed=0, set_name="birds")


def test_a_share_beside_a_test_split_and_a_class_too_small_for_one_are_refused():
    with pytest.raises(
        ImageSetError, match=r"must not be given where the data have a test split, but is 0\.2; leave it"
    ):
        with_test({"train": _table([5]), "test": _table([5])}, fraction=0.2, seed=0, set_name="birds")
    with pytest.raises(
        ImageSetError, match=r"to hold one out for the test, but label 0 has 1; add images or give a test"
    ):
        with_test({"train": _table([1])}, fraction=0.2, seed=0, set_name="birds")


def _grouped(counts, group_of):
    table = _table(counts)
    return table.append_column("group", pa.array([group_of(path) for path in table["path"].to_pylist()], pa.string()))


def _groups(table):
    return set(table["group"].to_pylist())


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_a_group_is_kept_or_held_out_whole_and_each_class_gives_about_its_fraction(fraction):
    table = _grouped([60, 40, 80], lambda path: f"{path[0]} {int(path[2:]) // 4}")  # four images a group
    for seed in range(5):
        kept, held = _split(table, fraction=fraction, seed=seed)
        assert _paths(kept) | _paths(held) == _paths(table)
        assert not _groups(kept) & _groups(held)
        for label, count in enumerate([60, 40, 80]):
            assert abs(len(_paths(held, label)) - fraction * count) <= 4


def test_every_group_can_be_held_out_and_the_order_of_rows_does_not_matter(rng):
    table = _grouped([20, 20], lambda path: str(int(path[2:]) // 4 + 5 * (path[0] == "1")))
    held = [_groups(_split(table, seed=seed)[1]) for seed in range(60)]
    assert set.union(*held) == {str(group) for group in range(10)}
    shuffled = table.take(rng.permutation(table.num_rows))
    assert [_groups(_split(shuffled, seed=seed)[1]) for seed in range(3)] == held[:3]


def test_a_class_in_one_group_and_groups_that_cannot_be_divided_are_refused():
    with pytest.raises(
        ImageSetError,
        match=r"groups of each class of 'birds' must be divided to hold some out for validation, but those of 1 "
        r"classes cannot be, the first label 1 in 1 group; add images of other groups or give a val split",
    ):
        _split(_grouped([5, 3], lambda path: "p" if path[0] == "1" else path))
    with pytest.raises(ImageSetError, match="those of 1 classes cannot be, the first 'gnu' in 1 group"):
        hold_out(
            _grouped([5, 3], lambda path: "p" if path[0] == "1" else path),
            fraction=0.2,
            seed=0,
            set_name="birds",
            class_names=["ant", "gnu"],
        )
    # Three groups, each pair of them a class: whichever groups are held out, one class is on one side.
    triangle = {"0/0": "a", "0/1": "b", "1/0": "b", "1/1": "c", "2/0": "c", "2/1": "a"}
    with pytest.raises(ImageSetError, match=r"hold some out for the test, .* in 2 groups; add"):
        with_test({"train": _grouped([2, 2, 2], triangle.get)}, fraction=0.5, seed=0, set_name="birds")
