"""The test of a race against SciPy's, and its rounds for processes that return in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ray.tune.search import Searcher
from scipy.stats import ttest_rel

from pretrieve.search.racing import RaceSearcher
from pretrieve.search.strategies.race import RaceStrategy
from pretrieve.search.tune_config import TRIAL


@pytest.mark.parametrize("level", [0.01, 0.2, 0.5])
def test_a_trial_drops_out_where_a_paired_t_test_against_the_best_says_so(rng: Any, level: float) -> None:
    scores = (rng.random((8, 60)) < np.linspace(0.5, 0.9, 8)[:, None]).astype(float)
    best = scores[np.argmax(scores.mean(1))]
    expected = [
        best.mean() > each.mean() and ttest_rel(best, each, alternative="greater").pvalue < level for each in scores
    ]
    assert RaceStrategy(level=level).behind(scores).tolist() == expected
    assert any(expected)
    assert not all(expected)


def test_trials_that_are_right_about_the_same_images_stay() -> None:
    same = np.array([[1.0, 0.0, 1.0, 1.0]] * 3)
    assert not RaceStrategy(level=0.5).behind(same).any()
    constant = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert RaceStrategy().behind(constant).tolist() == [False, True], "always wrong where the best is always right"
    assert not RaceStrategy().behind(np.array([[1.0], [0.0]])).any(), "one image tells nothing of others"


class Rounds:
    """A race whose trial `n` drops out after round `n`."""

    def __init__(self, cell: tuple[str, str], num_trials: int) -> None:
        self.cell, self.max_num_runs = cell, num_trials * num_trials
        self.rounds: list[list[str]] = []
        self.num_trials = num_trials

    def next_round(self) -> Sequence[str]:
        self.rounds.append([f"{self.cell[1]} {trial}" for trial in range(len(self.rounds), self.num_trials)])
        return list(self.rounds[-1])


def test_a_round_begins_when_all_processes_of_the_one_before_have_returned() -> None:
    races = [Rounds(("birds", "uot"), 3), Rounds(("birds", "finetune"), 2)]
    searcher, draw = RaceSearcher(races), random.Random(0)
    assert searcher.max_num_trials == 13
    running: dict[str, str] = {}
    began: list[str] = []
    while (suggested := searcher.suggest(f"run {len(began)}")) != Searcher.FINISHED or running:
        if isinstance(suggested, dict):
            running[f"run {len(began)}"] = suggested[TRIAL]
            began.append(suggested[TRIAL])
            if len(running) < 4 and draw.random() < 0.5:
                continue
        cells = {name: [run for run, text in running.items() if text.startswith(name)] for name in ("uot", "finetune")}
        for race in races:
            unreturned = [running[run] for run in cells[race.cell[1]]]
            assert set(unreturned) <= set(race.rounds[-1] if race.rounds else ()), "no round begins before its time"
        ended = draw.choice(sorted(running))
        del running[ended]
        searcher.on_trial_complete(ended)
    assert began[:2] == ["uot 0", "finetune 0"], "the cells take turns"
    assert sorted(began) == sorted(text for race in races for texts in race.rounds for text in texts)
    assert [len(race.rounds) for race in races] == [4, 3]


def test_a_closed_cell_begins_nothing_more() -> None:
    searcher = RaceSearcher([Rounds(("birds", "uot"), 3), Rounds(("birds", "finetune"), 2)])
    searcher.suggest("first")
    searcher.close(("birds", "uot"))
    assert [searcher.suggest(f"run {number}") for number in range(3)] == [
        {TRIAL: "finetune 0"},
        {TRIAL: "finetune 1"},
        None,
    ]
    searcher.on_trial_complete("first")
