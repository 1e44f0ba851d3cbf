from __future__ import annotations

import pytest
from pydantic import ValidationError

from pretrieve.methods import find_method
from pretrieve.search.grid import GridSettings
from pretrieve.training.settings import Hyperparameters


def test_the_papers_grid_is_the_default() -> None:
    grid = GridSettings()
    points = grid.points(find_method("uot"))
    assert {p.lr for p in points} == {0.1, 0.03, 0.01, 0.003, 0.001}
    assert {p.weight_decay for p in points} == {1e-4, 1e-5, 0.0}
    assert {p.source_weight for p in points} == {1.0, 0.3, 0.1}
    assert len(points) == len(set(points)) == 45


def test_methods_without_a_source_have_no_source_weight() -> None:
    points = GridSettings().points(find_method("finetune"))
    assert {p.get("source_weight") for p in points} == {None}
    assert len(points) == 15


def test_a_value_given_twice_is_one_point() -> None:
    assert len(GridSettings(lr=(0.1, 0.1), weight_decay=(0.0,)).points(find_method("finetune"))) == 1


def test_co_tuning_has_learning_rates_of_its_own_and_its_trade_off() -> None:
    points = GridSettings(weight_decay=(1e-4, 0.0), top_k=(5, 10)).points(find_method("co_tuning"))
    assert [point.lr for point in points[:5]] == [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    assert {point.weight_decay for point in points} == {1e-4, 0.0}
    assert {(point.get("source_weight"), point.get("top_k")) for point in points} == {(2.3, None)}
    assert len(points) == 10


def test_the_number_of_units_is_a_dimension_of_the_methods_that_select() -> None:
    grid = GridSettings(lr=(0.1,), weight_decay=(0.0,), source_weight=(1.0, 0.3), top_k=(50, 100, 50))
    assert {(p.top_k, p.source_weight) for p in grid.points(find_method("random"))} == {
        (top_k, weight) for top_k in (50, 100) for weight in (1.0, 0.3)
    }
    assert len(grid.points(find_method("random"))) == 4
    assert [point.get("top_k") for point in grid.points(find_method("finetune"))] == [None]


def test_a_point_tells_its_number_of_units() -> None:
    point = Hyperparameters(lr=0.01, weight_decay=0.0, source_weight=0.3, top_k=100, head_lr_ratio=10.0)
    assert point.describe() == "lr 0.01, wd 0, λ 0.3, K 100, head ×10"


@pytest.mark.parametrize("top_k", [(), (0,), (2.5,)])
def test_wrong_numbers_of_units_are_refused(top_k: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="top_k"):
        GridSettings(top_k=top_k)


@pytest.mark.parametrize(
    "field", ["lr", "weight_decay", "source_weight", "head_lr_ratio", "co_tuning_lr", "co_tuning_weight"]
)
def test_negative_and_missing_values_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        GridSettings(**{field: (-0.1,)})
    with pytest.raises(ValidationError, match="at least 1"):
        GridSettings(**{field: ()})
