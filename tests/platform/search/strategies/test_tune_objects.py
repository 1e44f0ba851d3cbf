"""Real schedulers and searchers of Ray Tune as strategies, named as a study names them."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import Float

from pretrieve.components import STRATEGIES
from pretrieve.errors import ComponentError
from pretrieve.search.proposals import CellProblem, CellSearcher, Proposals
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.strategies import SearchStrategy
from pretrieve.search.strategies._tune_objects import adapt
from pretrieve.testing.strategies import check_strategy
from pretrieve.training.settings import Hyperparameters

NUMBERS = itertools.count()

MODULE = """
from ray.tune.schedulers import *
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

built = AsyncHyperBandScheduler(max_t=12, grace_period=2, reduction_factor=4)
rule = MedianStoppingRule(time_attr="training_iteration", grace_period=1, min_samples_required=2)
by_seconds = MedianStoppingRule()
by_loss = AsyncHyperBandScheduler(metric="train/loss_target", mode="min")
population = PopulationBasedTraining(hyperparam_mutations={"lr": [0.1]})
pausing = HyperBandScheduler()
plain = OptunaSearch()
limited = ConcurrencyLimiter(OptunaSearch(seed=0), max_concurrent=2)
with_space = OptunaSearch({"lr": __import__("optuna").distributions.FloatDistribution(1e-9, 1.0)}, "val/score", "max")
variants = BasicVariantGenerator()

def made() -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(max_t=12)

def made_with(seed: int = 0) -> OptunaSearch:
    return OptunaSearch(seed=seed)

def lies() -> AsyncHyperBandScheduler:
    return 3

def unannotated():
    raise AssertionError("called")
"""

SPACE = SearchSpace(ranges={"lr": (0.001, 0.1)}, choices={"weight_decay": (0.0, 1e-4), "head_lr_ratio": (10.0,)})


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"tune_objects_{next(NUMBERS)}"  # a module is imported once: each test has its own
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def build_object(found: Any) -> Any:
    """Build the strategy of an object that no module holds."""
    return adapt(found, "an object")()


def build(word: str, **settings: Any) -> Any:
    return STRATEGIES.build(word, settings)


@pytest.mark.parametrize("name", ["built", "rule", "made", "AsyncHyperBandScheduler", "FIFOScheduler"])
def test_a_scheduler_keeps_the_contract(module: str, name: str) -> None:
    strategy = build(f"{module}:{name}")
    check_strategy(strategy)
    assert (strategy.may_stop, strategy.proposes) == (True, False)


@pytest.mark.parametrize("name", ["plain", "limited", "made_with", "OptunaSearch"])
def test_a_searcher_keeps_the_contract(module: str, name: str) -> None:
    strategy = build(f"{module}:{name}", num_trials=6)
    check_strategy(strategy)
    assert (strategy.may_stop, strategy.proposes, strategy.num_trials) == (False, True, 6)


def test_settings_are_the_arguments_of_a_class_or_a_function(module: str) -> None:
    strategy = build("ray.tune.schedulers:AsyncHyperBandScheduler", max_t=12, grace_period=5)
    check_strategy(strategy)
    seeds = (build(f"{module}:made_with", seed=seed) for seed in (1, 1, 2))
    first, same, other = ([point.lr for point in propose(strategy, num_trials=6)] for strategy in seeds)
    assert first == same != other


@pytest.mark.parametrize(
    ("name", "settings", "fault"),
    [
        ("by_seconds", {}, "must count epochs, but MedianStoppingRule counts 'time_total_s'; give it time_attr="),
        ("by_loss", {}, "must go by 'val/score' in mode 'max', but 'MODULE:by_loss' goes by 'train/loss_target'"),
        ("population", {}, "do nothing but stop trials, but PopulationBasedTraining pauses them or changes their"),
        ("PopulationBasedTraining", {}, "do nothing but stop trials, but PopulationBasedTraining pauses"),
        ("pausing", {}, "do nothing but stop trials, but HyperBandScheduler pauses"),
        ("variants", {}, "'MODULE:variants' must be a Searcher of Ray Tune, which learns from the scores .* 'grid'"),
        ("BasicVariantGenerator", {}, "'MODULE:BasicVariantGenerator' must be a Searcher of Ray Tune"),
        ("built", {"max_t": 3}, "'MODULE:built' is built already and has no settings, but max_t is given"),
        ("made", {"max_t": 3}, "a setting of 'MODULE:made' must be known, but 'max_t' is not; it has none"),
        ("AsyncHyperBandScheduler", {"max_t": 3, "grace_period": 4}, "be built .* but grace_period must be <= max_t"),
        ("plain", {"num_trials": 0}, "num_trials must be an integer of at least 1, but is 0"),
        ("lies", {}, "'MODULE:lies' must return a TrialScheduler, but returns 3"),
        ("unannotated", {}, "must be a subclass of pretrieve's SearchStrategy, but is of type function"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_a_remedy(
    module: str, name: str, settings: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ComponentError, match=fault.replace("MODULE", module)):
        build(f"{module}:{name}", **settings)


def test_a_searcher_with_a_space_of_its_own_is_refused(module: str) -> None:
    with pytest.raises(ComponentError, match="must take its space from the study's grid, but has one of its own"):
        propose(build(f"{module}:with_space"))


def test_each_cell_has_a_copy_that_goes_by_the_validation_score(module: str) -> None:
    strategy = build(f"{module}:built")
    first, second = strategy.scheduler(12), strategy.scheduler(12)
    assert isinstance(first, AsyncHyperBandScheduler)
    assert first is not second
    assert first.metric == second.metric == "val/score"
    assert sys.modules[module].built.metric is None, "the user's own object stays as it is"


class Trial:
    trial_id = "a trial"


def test_defaults_of_tune_count_epochs(module: str) -> None:
    """`AsyncHyperBandScheduler` reads `training_iteration`, as Tune calls the number of results of a trial."""
    scheduler: Any = build(f"{module}:AsyncHyperBandScheduler", max_t=4).scheduler(9)
    scheduler.on_trial_add(None, Trial())
    decisions = [
        scheduler.on_trial_result(None, Trial(), {"training_iteration": n, "val/score": 0.5}) for n in (1, 3, 4)
    ]
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.CONTINUE, TrialScheduler.STOP]


def propose(strategy: SearchStrategy, num_trials: int = 4, **known: Any) -> list[Hyperparameters]:
    """Return the points that a strategy proposes in a cell where a larger rate is better."""
    problem = CellProblem(
        ("t", "m"), strategy, SPACE, Hyperparameters.model_dump_json, num_trials, seed=3, **{"scores": {}, **known}
    )
    proposals, points = Proposals(problem), []
    while (proposal := proposals.propose(str(len(points)))) is not None:
        proposals.learn(str(len(points)), proposal[0], proposal[1].lr)
        points.append(proposal[1])
    return points


class Walk(Searcher):
    """Walks up from the smallest rate, faster after a good score; knows of no points but its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rate, self.heard = 0.0, []

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        assert (metric, mode) == ("val/score", "max")
        assert isinstance(config["lr"], Float)
        assert "head_lr_ratio" not in config, "there is nothing to choose"
        self.rate, self.choices = config["lr"].lower, config["weight_decay"].categories
        return True

    def suggest(self, trial_id: str) -> Any:
        return {"lr": self.rate, "weight_decay": self.choices[0]}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        score = result["val/score"] if result else 0.0
        self.heard.append(score)
        self.rate += 0.001 + score


def test_a_searcher_that_takes_no_points_is_asked_again_and_told_the_scores_of_earlier_runs() -> None:
    strategy = build_object(Walk())
    whole = propose(strategy, num_trials=6)
    assert len(whole) == 6
    earlier = {point: point.lr for point in whole[:3]}
    assert propose(strategy, num_trials=6, scores=earlier) == whole[3:], "the search goes on as if never interrupted"
    begun = whole[3:4]
    resumed = propose(strategy, num_trials=6, scores=earlier, begun=begun)
    assert resumed[0] == begun[0]
    assert len(resumed) == 3


def test_a_searcher_that_takes_points_is_told_earlier_scores(module: str) -> None:
    strategy = build(f"{module}:made_with", seed=4)
    rates = [0.001 * 1.2**n for n in range(25)]
    scores = {Hyperparameters(lr=rate, weight_decay=0.0): float(rate > 0.03) for rate in rates}
    assert sum(point.lr > 0.03 for point in propose(strategy, num_trials=35, scores=scores)) >= 7


def test_a_searcher_that_waits_is_asked_again_once_a_trial_ended() -> None:
    limited = build_object(ConcurrencyLimiter(OptunaSearch(seed=0), max_concurrent=1))
    cells = [
        Proposals(CellProblem((name, "m"), limited, SPACE, Hyperparameters.model_dump_json, 2, seed=3, scores={}))
        for name in ("a", "b")
    ]
    planned: list[str] = []

    def plan(cell: Any, point: Any) -> str:
        planned.append(cell[0])
        return "a trial"

    searcher = CellSearcher(cells, stopped=(), outcome_of=lambda key: "finished", plan=plan)
    asked = [searcher.suggest(str(n)) for n in range(3)]
    assert planned == ["a", "b"]
    assert asked[2] is None, "both cells wait for their trials"
    searcher.on_trial_complete("1", {"val/score": 0.5})
    assert searcher.suggest("3") is not None
    assert planned == ["a", "b", "b"]
    searcher.on_trial_complete("0", {"val/score": 0.5})
    searcher.on_trial_complete("3", {"val/score": 0.5})
    assert searcher.suggest("4") is not None
    assert searcher.suggest("5") == Searcher.FINISHED


def test_a_cell_of_one_point_needs_no_searcher(module: str) -> None:
    space = SearchSpace(ranges={}, choices={"lr": (0.1,), "weight_decay": (0.0,), "head_lr_ratio": (10.0,)})
    searcher = build(f"{module}:plain").searcher(space, begun=(), scores=(), seed=0)
    assert searcher.suggest("0") == {"lr": 0.1, "weight_decay": 0.0, "head_lr_ratio": 10.0}


class Beside(Walk):
    """Rounds beside the bounds, and names a choice by another number of the same value."""

    def suggest(self, trial_id: str) -> Any:
        return {"lr": 0.1 + 1e-17 + 2e-16, "weight_decay": False}


def test_a_suggestion_is_rounded_into_the_ranges_and_a_choice_is_the_grids_own_value() -> None:
    searcher = build_object(Beside()).searcher(SPACE, begun=(), scores=(), seed=0)
    suggestion = searcher.suggest("0")
    assert suggestion == {"lr": 0.1, "weight_decay": 0.0, "head_lr_ratio": 10.0}
    assert type(suggestion["weight_decay"]) is float


class Elsewhere(Walk):
    def suggest(self, trial_id: str) -> Any:
        return {"lr": 0.01, "weight_decay": 0.5}


def test_a_suggestion_outside_the_grid_is_refused() -> None:
    searcher = build_object(Elsewhere()).searcher(SPACE, begun=(), scores=(), seed=0)
    with pytest.raises(ComponentError, match=r"a value of the grid for each of .* but Elsewhere suggests .*0\.5"):
        searcher.suggest("0")


class ChoosesNothing(Walk):
    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        raise ValueError("a choice of values is not supported")


def test_a_space_that_a_searcher_cannot_draw_from_is_refused() -> None:
    with pytest.raises(ComponentError, match=r"'an object' must take the space .* but a choice .* change the grid"):
        build_object(ChoosesNothing()).searcher(SPACE, begun=(), scores=(), seed=0)
