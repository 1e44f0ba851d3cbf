"""The contract of every search strategy, and strategies that break it."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from pretrieve.components import STRATEGIES
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.strategies import SearchStrategy
from pretrieve.testing.strategies import check_strategy

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "asha": [{}, {"grace_epochs": 2, "reduction_factor": 2}],
    "median": [{}, {"min_trials": 5}],
    "optuna": [{}, {"num_trials": 3}],
    "race": [{}, {"level": 0.01}, {"level": 0.5}],
}


@pytest.mark.parametrize("word", sorted(STRATEGIES.built_in()))
def test_a_built_in_strategy_keeps_the_contract(word: str) -> None:
    for settings in SETTINGS.get(word, [{}]):
        check_strategy(STRATEGIES.build(word, settings))


def test_the_files_of_the_folder_are_the_built_in_strategies() -> None:
    folder = Path(inspect.getfile(SearchStrategy)).parent
    files = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
    modules = [member.__module__.rpartition(".")[2] for member in STRATEGIES.built_in().values()]
    assert sorted(modules) == sorted(STRATEGIES.built_in()) == sorted(files)


def asha(**changes: Any) -> AsyncHyperBandScheduler:
    given = {"time_attr": "epoch", "metric": "val/score", "mode": "max", "max_t": 12, "stop_last_trials": False}
    return AsyncHyperBandScheduler(**{**given, **changes})


class SaysNothing(SearchStrategy):
    def scheduler(self, num_epochs: int) -> Any:
        return asha()


class DropsAll(SearchStrategy):
    races = True

    def behind(self, scores: Any) -> Any:
        return np.ones(len(scores), bool)


class DropsByChance(DropsAll):
    def behind(self, scores: Any) -> Any:
        return np.array([random.random() < 0.5 and each < scores.mean(axis=1).max() for each in scores.mean(axis=1)])


class SaysTooMuch(SearchStrategy):
    proposes = True


class TakesAnything(SearchStrategy):
    def __init__(self, **settings: Any) -> None:
        pass


class Stops(SearchStrategy):
    may_stop = True
    shared = asha()

    def scheduler(self, num_epochs: int) -> Any:
        return asha()


class Shares(Stops):
    def scheduler(self, num_epochs: int) -> Any:
        return self.shared


class PrefersSmallScores(Stops):
    def scheduler(self, num_epochs: int) -> Any:
        return asha(mode="min")


class Pauses(Stops):
    class Scheduler(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            return self.PAUSE

    def scheduler(self, num_epochs: int) -> Any:
        return self.Scheduler()


class StopsByChance(Stops):
    class Scheduler(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            return self.STOP if random.random() < 0.2 and result["epoch"] > 1 else self.CONTINUE

    def scheduler(self, num_epochs: int) -> Any:
        return self.Scheduler()


class Forgets(Stops):
    class Scheduler(FIFOScheduler):
        """Stops a trial that is below the best score that any trial began with, but records no earlier score."""

        def __init__(self) -> None:
            super().__init__()
            self.best = 0.0

        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            if result["epoch"] == 1:
                self.best = max(self.best, result["val/score"])
            return self.STOP if result["epoch"] == 5 and result["val/score"] < 2 * self.best else self.CONTINUE

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
            pass

    def scheduler(self, num_epochs: int) -> Any:
        return self.Scheduler()


class Proposes(SearchStrategy):
    proposes = True
    num_trials = 4
    change: ClassVar[dict[str, Any]] = {"lr": 0.2}

    def searcher(self, space: SearchSpace, *, begun: Sequence[Any], scores: Sequence[Any], seed: int) -> Any:
        inner = STRATEGIES.build("optuna", {}).searcher(space, begun=begun, scores=scores, seed=seed)
        change = self.change

        class Changed(Searcher):
            def suggest(self, trial_id: str) -> Any:
                return {**inner.suggest(trial_id), **change}

            def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
                inner.on_trial_complete(trial_id, result, error)

        return Changed()


class ProposesMore(Proposes):
    change: ClassVar[dict[str, Any]] = {"momentum": 0.9}


class ProposesOnePoint(Proposes):
    change: ClassVar[dict[str, Any]] = {"lr": 0.1, "source_weight": 1.0, "weight_decay": 0.0}


class ProposesTheBegunLast(Proposes):
    change: ClassVar[dict[str, Any]] = {}

    def searcher(self, space: SearchSpace, *, begun: Sequence[Any], scores: Sequence[Any], seed: int) -> Any:
        return super().searcher(space, begun=(), scores=scores, seed=seed)


@pytest.mark.parametrize(
    ("strategy", "fault"),
    [
        (SaysNothing, "SaysNothing.may_stop is False and it has one"),
        (DropsAll, "the trial with the best score must stay, but DropsAll.behind drops it of 1"),
        (DropsByChance, "DropsByChance.behind (parts them|decides otherwise)"),
        (SaysTooMuch, "SaysTooMuch.proposes is True and it has none"),
        (TakesAnything, "TakesAnything takes any name"),
        (Shares, r"a scheduler of its own, but Shares.scheduler\(12\) returns one twice"),
        (PrefersSmallScores, "the best score at every epoch must reach its last one, but PrefersSmallScores"),
        (Pauses, "but Pauses.* decides 'PAUSE' at epoch 1"),
        (StopsByChance, "the same scores must lead to the same decisions"),
        (Forgets, "must stop the trials that it would have stopped, but Forgets.* record what is passed to"),
        (Proposes, "a point must lie in .* but Proposes.searcher suggests"),
        (ProposesMore, r"a value for each of \[.head_lr_ratio., .*, .weight_decay.\], but .* .momentum."),
        (ProposesOnePoint, "but ProposesOnePoint.* suggests 1 different ones"),
        (ProposesTheBegunLast, "a point that was begun must be suggested first"),
    ],
)  # fmt: skip
def test_a_strategy_that_breaks_the_contract_is_named_with_its_fault(strategy: Any, fault: str) -> None:
    random.seed(0)
    with pytest.raises(AssertionError, match=fault):
        check_strategy(strategy())


def test_a_scheduler_that_records_results_alone_is_told_earlier_scores_as_results() -> None:
    """The shortest scheduler that a user writes has `on_trial_result` and nothing else."""

    class Short(Forgets):
        class Scheduler(Forgets.Scheduler):
            on_trial_complete = FIFOScheduler.on_trial_complete

    check_strategy(Short())
