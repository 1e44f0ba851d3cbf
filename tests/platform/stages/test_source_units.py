"""Units that give a share of their images: which ones, and what that does to keys."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest

from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_of_contents
from pretrieve.stages.source_units import ClassUnits, ClusterUnits, ImageUnits, SourceUnits

LABELS = np.array([0, 1, 0, 1, 1, 0, 0, 1, 2, 0, 1, 2])


@pytest.fixture
def source() -> ImageSet:
    table = table_of_contents([f"{row}" for row in range(len(LABELS))], [b""] * len(LABELS), LABELS.tolist())
    return ImageSet("pool", ("a", "b", "c"), {"train": table}, {"train": "f"})


@pytest.fixture(params=["class", "cluster"])
def units(request: Any, source: ImageSet) -> SourceUnits:
    if request.param == "class":
        return ClassUnits(source, "classes")
    return ClusterUnits(source, "clusters", np.array([1, 0, 1, 0, 0, 1, 1, 0, 2, 1, -1, 2]), 3)


def rows_of_entries(units: SourceUnits, groups: list[int]) -> list[list[int]]:
    return [[int(path) for path in entry.table["path"].to_pylist()] for entry in units.entries(groups, 32)]


def test_rows_are_those_of_the_entries_whole_or_in_part(units: SourceUnits) -> None:
    for each in (units, units.keeping(0.5, 0), units.keeping(0.1, 0)):
        entries = rows_of_entries(each, [2, 0])
        assert all(rows == sorted(rows) for rows in entries)
        assert sorted(chain(*entries)) == each.rows([2, 0]).tolist()


def test_every_unit_gives_its_share_and_the_same_whatever_else_is_chosen(units: SourceUnits) -> None:
    whole, half = rows_of_entries(units, [0, 1, 2]), rows_of_entries(units.keeping(0.5, 0), [0, 1, 2])
    assert [len(rows) for rows in half] == [max(1, round(0.5 * len(rows))) for rows in whole]
    assert [rows_of_entries(units.keeping(0.5, 0), [group])[0] for group in range(3)] == half
    assert units.keeping(0.5, 0).class_counts([0, 1, 2]).keys() == units.class_counts([0, 1, 2]).keys()


def test_a_smaller_share_is_part_of_a_larger_one(units: SourceUnits) -> None:
    rows = [set(units.keeping(fraction, 7).rows([0, 1]).tolist()) for fraction in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert all(smaller <= larger for smaller, larger in pairwise(rows))
    assert rows[-1] == set(units.rows([0, 1]).tolist())


def test_share_and_seed_decide_keys_and_a_whole_unit_keeps_its_own(units: SourceUnits) -> None:
    others = [units, units.keeping(0.5, 0), units.keeping(0.5, 1), units.keeping(0.6, 0)]
    assert len({each.identity([0, 1]) for each in others}) == 4
    assert len({each.entries([0], 32)[0].key for each in others}) == 4
    assert units.keeping(1.0, 5).identity([1, 0]) == units.identity([0, 1])
    assert units.keeping(1.0, 5).entries([0], 32)[0].key == units.entries([0], 32)[0].key


def test_single_images_are_whole(source: ImageSet) -> None:
    units = ImageUnits(source, "images", np.array([0, 2, 5, 11]))
    assert units.rows([3, 1]).tolist() == [2, 11]
    assert rows_of_entries(units, [3, 1]) == [[2, 11]]


def test_dropped_rows_are_given_by_no_unit_and_change_the_keys_of_their_units_alone(units: SourceUnits) -> None:
    lost = int(units.rows([0])[1])
    left = units.without([lost])
    assert left.rows([0]).tolist() == [row for row in units.rows([0]).tolist() if row != lost]
    assert rows_of_entries(left, [0])[0] == left.rows([0]).tolist()
    assert left.entries([0], 32)[0].key != units.entries([0], 32)[0].key
    assert left.entries([1], 32)[0].key == units.entries([1], 32)[0].key
    assert left.identity([0]) != units.identity([0])
    assert left.identity([1]) == units.identity([1])


def test_share_of_a_unit_is_drawn_before_rows_are_dropped(units: SourceUnits) -> None:
    half = units.keeping(0.5, 0)
    lost = int(half.rows([0])[0])
    assert half.without([lost]).rows([0]).tolist() == half.rows([0]).tolist()[1:]


def test_unit_whose_images_are_all_dropped_has_no_entry(units: SourceUnits) -> None:
    left = units.without(units.rows([2]).tolist())
    assert rows_of_entries(left, [1, 2]) == rows_of_entries(units, [1])
    assert left.rows([2]).size == 0


def test_dropped_single_images_are_not_reused(source: ImageSet) -> None:
    units = ImageUnits(source, "images", np.array([0, 2, 5, 11]))
    left = units.without([5])
    assert left.rows([1, 2]).tolist() == [2]
    assert left.identity([1, 2]) != units.identity([1, 2])
    assert left.identity([0, 1]) == units.identity([0, 1])
