"""The contract suite of search strategies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from pretrieve.metric_names import EPOCH, SECONDS, VAL_SCORE
from pretrieve.search.early_stopping import NO_CONTROLLER, CellScheduler, EarlierTrial
from pretrieve.search.proposals import CellProblem, Proposals
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.strategies import SearchStrategy
from pretrieve.search.tune_config import TRAINING_ITERATION, TRIAL
from pretrieve.training.settings import Hyperparameters
from pretrieve_selection.members import build_member

NUM_EPOCHS = 12
NUM_TRIALS = 16
CELL = ("a target", "a method")
LARGE = SearchSpace(
    ranges={"lr": (0.001, 0.1), "source_weight": (0.1, 1.0)},
    choices={"weight_decay": (1e-4, 0.0), "head_lr_ratio": (10.0,)},
)
SMALL = SearchSpace(ranges={}, choices={"lr": (0.1, 0.01), "weight_decay": (0.0,), "head_lr_ratio": (10.0,)})


def check_strategy(strategy: SearchStrategy) -> None:
    """Check that a search strategy keeps its contract, on made-up scores; no cluster is needed.

    Raises:
      AssertionError: it does not; the message says rule, value and place.

    >>> from pretrieve.search.strategies.asha import AshaStrategy
    >>> check_strategy(AshaStrategy(reduction_factor=4))
    """
    name = type(strategy).__name__
    _check_settings(strategy, name)
    for says, asked in (("may_stop", "scheduler"), ("proposes", "searcher"), ("races", "behind")):
        has = getattr(type(strategy), asked) is not getattr(SearchStrategy, asked)
        assert getattr(strategy, says) == has, (
            f"{says} must be True exactly where the strategy has {asked}(), but {name}.{says} is "
            f"{getattr(strategy, says)} and it has {'one' if has else 'none'}"
        )
    if strategy.may_stop:
        _check_scheduler(strategy, f"{name}.scheduler({NUM_EPOCHS})")
    if strategy.races:
        _check_race(strategy, f"{name}.behind")
    if strategy.proposes:
        _check_searcher(strategy, f"{name}.searcher")


def _check_settings(strategy: SearchStrategy, name: str) -> None:
    try:
        build_member(type(strategy), {"no_such_setting": 1}, word=name)
    except ValueError:
        return
    raise AssertionError(f"a constructor must refuse a setting that it does not know, but {name} takes any name")


@dataclass(frozen=True)
class _Trial:
    """Stands for a Tune trial: its identity, and the configuration from which its cell and key are read."""

    trial_id: str

    @property
    def config(self) -> dict[str, str]:
        spec = {"target": CELL[0], "method": CELL[1], "key": self.trial_id}
        return {TRIAL: json.dumps({"spec": spec})}


TRIALS = tuple(_Trial(f"trial {number}") for number in range(NUM_TRIALS))
"""They take turns in this order; the one in the middle is the best at every epoch."""


def _score(trial: _Trial, epoch: int) -> float:
    """Return a score that rises with the epochs, each trial to a limit of its own."""
    number = TRIALS.index(trial)
    limit = 0.9 if number == NUM_TRIALS // 2 else 0.1 + 0.7 * (number * 7 % NUM_TRIALS) / NUM_TRIALS
    return limit * (1 - 0.7**epoch)


def _check_scheduler(strategy: SearchStrategy, place: str) -> None:
    first, second = strategy.scheduler(NUM_EPOCHS), strategy.scheduler(NUM_EPOCHS)
    assert isinstance(first, TrialScheduler), f"a scheduler must be a TrialScheduler of Tune, but {place} is {first!r}"
    assert first is not second, f"each cell must have a scheduler of its own, but {place} returns one twice"
    allowed = {TrialScheduler.CONTINUE, TrialScheduler.STOP}
    first.on_trial_add(NO_CONTROLLER, TRIALS[0])  # type: ignore[arg-type]
    for epoch in range(1, NUM_EPOCHS):
        result = {EPOCH: epoch, TRAINING_ITERATION: epoch, VAL_SCORE: _score(TRIALS[0], epoch)}
        decision = first.on_trial_result(NO_CONTROLLER, TRIALS[0], result)  # type: ignore[arg-type]
        assert decision in allowed, (
            f"a decision must be one of {sorted(allowed)}, but {place} decides {decision!r} at epoch {epoch}"
        )
    stops = _play(strategy)
    assert stops == _play(strategy), f"the same scores must lead to the same decisions, but {place} decides otherwise"
    best = TRIALS[NUM_TRIALS // 2].trial_id
    assert best not in stops, (
        f"the trial with the best score at every epoch must reach its last one, but {place} stops it at epoch "
        f"{stops.get(best)}"
    )
    for epoch in (1, NUM_EPOCHS // 3, NUM_EPOCHS - 1):
        resumed = _play(strategy, interrupted_after=epoch)
        assert resumed == stops, (
            f"a search that is resumed must stop the trials that it would have stopped, but {place}, resumed after "
            f"epoch {epoch}, stops {resumed}, not {stops}; record what is passed to on_trial_complete"
        )


def _play(strategy: SearchStrategy, interrupted_after: int = 0) -> Mapping[str, int]:
    """Return at which epoch each trial is stopped, by key; an interrupted search is played by two schedulers."""
    told: dict[_Trial, list[tuple[int, float]]] = {trial: [] for trial in TRIALS}
    stops: dict[str, int] = {}
    scheduler = _begin(strategy, told, stops)
    for epoch in range(1, NUM_EPOCHS + 1):
        for trial in TRIALS:
            if trial.trial_id in stops:
                continue
            score = _score(trial, epoch)
            told[trial].append((epoch, score))
            result = {EPOCH: float(epoch), VAL_SCORE: score, SECONDS: 1.0}
            if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                stops[trial.trial_id] = epoch
        if epoch == interrupted_after:
            scheduler = _begin(strategy, told, stops)
    return stops


def _begin(
    strategy: SearchStrategy, told: Mapping[_Trial, list[tuple[int, float]]], stops: Mapping[str, int]
) -> CellScheduler:
    trials = [EarlierTrial(CELL, trial.trial_id, tuple(scores)) for trial, scores in told.items() if scores]
    earlier = [trial for trial in trials if trial.key in stops]
    begun = [trial for trial in trials if trial.key not in stops]
    scheduler = CellScheduler(lambda: strategy.scheduler(NUM_EPOCHS), NUM_EPOCHS, earlier, begun)
    for trial in told:
        if trial.trial_id not in stops:
            scheduler.on_trial_add(None, trial)
    return scheduler


def _check_race(strategy: SearchStrategy, place: str) -> None:
    draws = np.random.default_rng(0)
    for num_trials, num_images in ((1, 4), (2, 1), (6, 30), (6, 3_000)):
        chances = np.linspace(0.9, 0.4, num_trials)[:, None]
        scores = (draws.random((num_trials, num_images)) < chances).astype(float)
        scores[-1] = scores[0]  # two trials that are right about the same images
        found = strategy.behind(scores.copy())
        assert (found.shape, found.dtype) == ((num_trials,), np.dtype(bool)), (
            f"a race must say of each of {num_trials} trials whether it drops out, as an array of booleans, but "
            f"{place} returns {found!r}"
        )
        best = int(np.argmax(scores.mean(axis=1)))
        assert not found[best], f"the trial with the best score must stay, but {place} drops it of {num_trials}"
        assert found[0] == found[-1], f"trials with the same scores must stay or drop together, but {place} parts them"
        again = strategy.behind(scores.copy())
        assert (found == again).all(), f"the same scores must lead to the same decisions, but {place} decides otherwise"


def _check_searcher(strategy: SearchStrategy, place: str) -> None:
    assert strategy.num_trials >= 1, f"num_trials must be at least 1, but is {strategy.num_trials} where {place} is"
    for space in (LARGE, SMALL):
        first, second = (strategy.searcher(space, begun=(), scores=(), seed=0) for _ in range(2))
        assert isinstance(first, Searcher), f"a searcher must be a Searcher of Tune, but {place} returns {first!r}"
        assert first is not second, f"each cell must have a searcher of its own, but {place} returns one twice"
        names = {*space.ranges, *space.choices}
        suggestion = first.suggest("first")
        assert isinstance(suggestion, dict), f"a first point must be suggested, but {place} suggests {suggestion!r}"
        assert suggestion.keys() == names, (
            f"a point must have a value for each of {sorted(names)}, but {place} suggests {suggestion}"
        )
        _check_points(strategy, space, place)
    tried, begun = (
        Hyperparameters(lr=lr, source_weight=0.5, weight_decay=0.0, head_lr_ratio=10.0) for lr in (0.02, 0.03)
    )
    points = _propose(strategy, LARGE, {tried: 0.5}, [begun])
    assert points[0] == begun, f"a point that was begun must be suggested first, but {place} suggests {points[0]}"


def _check_points(strategy: SearchStrategy, space: SearchSpace, place: str) -> None:
    points = _propose(strategy, space)
    outside = [point for point in points if not space.holds(point)]
    assert not outside, f"a point must lie in {space}, but {place} suggests {outside[0]}"
    expected = min(strategy.num_trials, space.num_points)
    assert len(points) == expected, (
        f"a search must try min(num_trials, points of the space) = {expected} points, but {place} suggests "
        f"{len(points)} different ones of {space}"
    )


def _propose(
    strategy: SearchStrategy,
    space: SearchSpace,
    scores: Mapping[Hyperparameters, float] | None = None,
    begun: Sequence[Hyperparameters] = (),
) -> list[Hyperparameters]:
    """Return the points of a cell whose trials end one after the other."""
    key_of: Callable[[Hyperparameters], str] = Hyperparameters.model_dump_json
    num_trials = strategy.num_trials + len(scores or ()) + len(begun)
    proposals = Proposals(
        CellProblem(CELL, strategy, space, key_of, num_trials, seed=0, scores=scores or {}, begun=begun)
    )
    points: list[Hyperparameters] = []
    while (proposal := proposals.propose(str(len(points)))) is not None:
        key, point = proposal
        proposals.learn(str(len(points)), key, 0.5 + point.get("lr"))
        points.append(point)
    return points
