"""Proposals of real Optuna studies, one a cell, driven without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pretrieve.components import STRATEGIES
from pretrieve.methods import find_method
from pretrieve.search.grid import GridSettings
from pretrieve.search.proposals import CellProblem, CellSearcher, Proposals
from pretrieve.search.search_space import SearchSpace
from pretrieve.training.settings import Hyperparameters

Proposed = tuple[tuple[str, str], Hyperparameters]
"""A cell and a point that was proposed in it."""

PAPERS = GridSettings()

SMALL = GridSettings(lr=(0.01,), weight_decay=(1e-4, 0.0), source_weight=(0.3,))
"""Two points."""


@pytest.fixture
def problem() -> Callable[..., CellProblem]:
    """Make the problem of one cell; a trial's key is its point."""

    def make(target: str = "t", grid: GridSettings = PAPERS, num_trials: int = 8, **more: Any) -> CellProblem:
        def key_of(point: Hyperparameters) -> str:
            return f"{target}: {point.describe()}"

        space = SearchSpace.of(grid, find_method("uot"))
        strategy = STRATEGIES.build("optuna", {})
        return CellProblem((target, "uot"), strategy, space, key_of, num_trials, seed=3, **({"scores": {}} | more))

    return make


def into(planned: list[Proposed]) -> Callable[[tuple[str, str], Hyperparameters], str]:
    def plan(cell: tuple[str, str], point: Hyperparameters) -> str:
        planned.append((cell, point))
        return "a trial"

    return plan


def asked(problems: Sequence[CellProblem], score: Callable[[Hyperparameters], float]) -> list[Proposed]:
    """Ask until nothing is left, and tell each trial's score before the next question."""
    planned: list[Proposed] = []
    cells = [Proposals(each) for each in problems]
    searcher = CellSearcher(cells, stopped=(), outcome_of=lambda key: "finished", plan=into(planned))
    for number in range(100):
        if searcher.suggest(str(number)) == searcher.FINISHED:
            assert len(planned) <= searcher.max_num_trials
            return planned
        searcher.on_trial_complete(str(number), {"epoch": 3.0, "val/score": score(planned[-1][1])})
    raise AssertionError("it never ends")


def test_cells_are_asked_in_turn_and_one_that_is_done_is_left_out(problem: Callable[..., CellProblem]) -> None:
    tasks = asked([problem("a", num_trials=3), problem("b", num_trials=1), problem("c", num_trials=2)], lambda _: 0.5)
    assert [target for (target, _), _ in tasks] == ["a", "b", "c", "a", "c", "a"]


def test_the_corners_come_first_and_no_key_twice(problem: Callable[..., CellProblem]) -> None:
    tasks = asked([problem(num_trials=12)], lambda point: point.lr)
    points = [point for _, point in tasks]
    corners = [(0.1, 1.0), (0.1, 0.1), (0.001, 1.0), (0.001, 0.1)]
    assert [(point.lr, point.source_weight) for point in points[:4]] == corners
    assert len({point.describe() for point in points}) == 12
    assert all(0.001 <= point.lr <= 0.1 and point.weight_decay in (1e-4, 1e-5, 0.0) for point in points)


def test_a_space_of_two_points_is_tried_whole_and_then_ends(problem: Callable[..., CellProblem]) -> None:
    tasks = asked([problem(grid=SMALL, num_trials=8)], lambda _: 0.5)
    assert sorted(point.weight_decay for _, point in tasks) == [0.0, 1e-4]


def test_what_was_tried_is_told_and_what_was_begun_comes_first(problem: Callable[..., CellProblem]) -> None:
    corner = Hyperparameters(lr=0.1, source_weight=1.0, weight_decay=1e-4, head_lr_ratio=10.0)
    begun = Hyperparameters(lr=0.02, source_weight=0.5, weight_decay=0.0, head_lr_ratio=10.0)
    tasks = asked([problem(num_trials=6, scores={corner: 0.9}, begun=[begun])], lambda _: 0.5)
    points = [point for _, point in tasks]
    assert points[0] == begun
    assert corner not in points
    assert len(points) == 5


def test_the_model_learns_where_scores_are_high(problem: Callable[..., CellProblem]) -> None:
    scores = {
        Hyperparameters(lr=lr, source_weight=weight, weight_decay=1e-4, head_lr_ratio=10.0): 0.9 if lr > 0.03 else 0.1
        for lr in (0.001, 0.003, 0.01, 0.05, 0.08)
        for weight in (0.1, 0.3, 1.0)
    }
    tasks = asked([problem(num_trials=15 + 4 + 10, scores=scores)], lambda point: 0.9 if point.lr > 0.03 else 0.1)
    proposed = [point.lr for _, point in tasks[-10:]]
    assert sum(lr > 0.03 for lr in proposed) >= 7


def test_a_diverged_trial_counts_as_the_worst_and_one_without_a_result_as_none(
    problem: Callable[..., CellProblem],
) -> None:
    learned: list[float | None] = []
    cell = Proposals(problem())
    cell.learn = lambda trial_id, key, score: learned.append(score)  # type: ignore[method-assign]
    outcomes = iter(["diverged", "failed", None, "finished"])
    searcher = CellSearcher([cell], stopped=(), outcome_of=lambda key: next(outcomes), plan=into([]))
    for number in range(4):
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), {"epoch": 1.0, "val/score": 0.7, "test/score": 0.9})
    assert learned == [0.0, None, None, 0.7], "and what a test would say is not heard"


def test_nothing_more_is_proposed_in_a_cell_whose_program_is_at_fault(problem: Callable[..., CellProblem]) -> None:
    tasks: list[Proposed] = []
    cells = [Proposals(problem("a", num_trials=9)), Proposals(problem("b", num_trials=2))]
    searcher = CellSearcher(cells, stopped=(), outcome_of=lambda key: "failed", plan=into(tasks))
    searcher.suggest("0")
    searcher.close(("a", "uot"))
    while searcher.suggest(str(len(tasks))) != searcher.FINISHED:
        pass
    assert [target for (target, _), _ in tasks] == ["a", "b", "b"]
