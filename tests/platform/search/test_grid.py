from __future__ import annotations

import pytest
from pydantic import ValidationError

from pretrieve.search.grid import GridSettings


def test_the_papers_grid_is_the_default() -> None:
    grid = GridSettings()
    points = grid.points(uses_source=True)
    assert {p.lr for p in points} == {0.1, 0.03, 0.01, 0.003, 0.001}
    assert {p.weight_decay for p in points} == {1e-4, 1e-5, 0.0}
    assert {p.source_weight for p in points} == {1.0, 0.3, 0.1}
    assert len(points) == len(set(points)) == 45


def test_methods_without_a_source_have_no_source_weight() -> None:
    points = GridSettings().points(uses_source=False)
    assert {p.source_weight for p in points} == {None}
    assert len(points) == 15


def test_a_value_given_twice_is_one_point() -> None:
    assert len(GridSettings(lr=(0.1, 0.1), weight_decay=(0.0,)).points(uses_source=False)) == 1


@pytest.mark.parametrize("field", ["lr", "weight_decay", "source_weight", "head_lr_ratio"])
def test_negative_and_missing_values_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        GridSettings(**{field: (-0.1,)})
    with pytest.raises(ValidationError, match="at least 1"):
        GridSettings(**{field: ()})
