"""Schedulers and searchers of Ray Tune as strategies: each cell has a copy of the one that a study names."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from ray.tune import TuneError
from ray.tune.schedulers import (
    HyperBandScheduler,
    PopulationBasedTraining,
    PopulationBasedTrainingReplay,
    ResourceChangingScheduler,
    TrialScheduler,
)
from ray.tune.search import SearchAlgorithm, Searcher

from pretrieve.components.by_name import declares
from pretrieve.errors import ComponentError
from pretrieve.metric_names import EPOCH, VAL_SCORE
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.strategies._base import Point, SearchStrategy
from pretrieve.search.tune_config import TRAINING_ITERATION
from pretrieve_selection.members import build_member

NOT_ONLY_STOPPING = (
    HyperBandScheduler,
    PopulationBasedTraining,
    PopulationBasedTrainingReplay,
    ResourceChangingScheduler,
)


def adapt(found: Any, word: str) -> Any:
    """Return how a strategy is built of an object of Ray Tune; None for any other object.

    Args:
      found: a scheduler or a searcher, its class, or a function that declares to return one.
      word: what the study names it.

    Raises:
      ComponentError: it is one of Tune's search algorithms that are no `Searcher`.
    """
    if isinstance(found, TrialScheduler) or declares(found, TrialScheduler):
        return partial(TuneScheduler, found, word)
    if isinstance(found, Searcher) or declares(found, Searcher):
        return partial(TuneSearcher, found, word)
    if isinstance(found, SearchAlgorithm) or declares(found, SearchAlgorithm):
        raise ComponentError(
            f"{word!r} must be a Searcher of Ray Tune, which learns from the scores of trials, but is none; use the "
            "strategy 'grid', or a class of ray.tune.search such as OptunaSearch"
        )
    return None


class TuneScheduler(SearchStrategy):
    """Begin every point, and stop trials as a scheduler of Ray Tune decides.

    Args:
      found: the scheduler, its class, or a function that makes it.
      word: what the study names it.
      settings: the arguments of the class or function; none for a scheduler.
    """

    may_stop = True

    def __init__(self, found: Any, word: str, /, **settings: Any) -> None:
        _check_only_stops(found if isinstance(found, type) else type(found))
        self._scheduler = _made(found, TrialScheduler, settings, word)
        _check_only_stops(type(self._scheduler))
        _check_metric(self._scheduler, word)
        time_attr = getattr(self._scheduler, "_time_attr", EPOCH)
        if time_attr not in (EPOCH, TRAINING_ITERATION):
            raise ValueError(
                f"a scheduler must count epochs, but {type(self._scheduler).__name__} counts {time_attr!r}; give it "
                f"time_attr={TRAINING_ITERATION!r}, and its other arguments in epochs"
            )

    def scheduler(self, num_epochs: int) -> TrialScheduler:
        scheduler: TrialScheduler = copy.deepcopy(self._scheduler)
        scheduler.set_search_properties(*_missing(scheduler))
        return scheduler


class TuneSearcher(SearchStrategy):
    """Train the points that a searcher of Ray Tune suggests within the grid's bounds.

    Args:
      found: the searcher, its class, or a function that makes it.
      word: what the study names it.
      num_trials: points to try in each cell, >= 1.
      settings: the arguments of the class or function; none for a searcher.
    """

    proposes = True

    def __init__(self, found: Any, word: str, /, num_trials: int = 16, **settings: Any) -> None:
        if not isinstance(num_trials, int) or num_trials < 1:
            raise ValueError(f"num_trials must be an integer of at least 1, but is {num_trials!r}; raise it")
        self.num_trials = num_trials
        self._word = word
        self._searcher = _made(found, Searcher, settings, word)
        _check_metric(self._searcher, word)

    def searcher(
        self, space: SearchSpace, *, begun: Sequence[Point], scores: Sequence[tuple[Point, float]], seed: int
    ) -> Searcher:
        logging.getLogger("optuna").setLevel(logging.WARNING)  # else it writes a line for each study and trial
        searcher, domains = copy.deepcopy(self._searcher), space.tune_domains()
        try:
            accepted = not domains or searcher.set_search_properties(*_missing(searcher), domains)
        except (ValueError, TypeError, NotImplementedError) as fault:
            raise ComponentError(
                f"the searcher {self._word!r} must take the space of the study's grid, {domains}, but {fault}; change "
                "the grid, or use another searcher"
            ) from fault
        if not accepted:
            raise ComponentError(
                f"the searcher {self._word!r} must take its space from the study's grid, but has one of its own, or "
                "its set_search_properties returns False; make it without a space"
            )
        return _SearcherOfCell(searcher, space, begun, scores)


class _SearcherOfCell(Searcher):
    """Completes what a searcher suggests to whole points; suggests points begun by earlier runs first.

    Scores of earlier runs are passed to `add_evaluated_point`. A searcher without it is asked for points again: as long
    as it suggests those of earlier runs, it is told their scores.
    """

    def __init__(
        self, searcher: Searcher, space: SearchSpace, begun: Sequence[Point], scores: Sequence[tuple[Point, float]]
    ) -> None:
        super().__init__(VAL_SCORE, "max")
        self._searcher, self._space, self._begun = searcher, space, list(begun)
        self._names = set(space.tune_domains())
        self._added: dict[str, Point] = {}  # running trials that the searcher did not suggest, by their ids
        self._waiting: list[tuple[str, Any]] = []  # what it suggested last when it was asked again, and under which id
        self._asked: dict[str, str] = {}
        if not all(self._add(point, score) for point, score in scores):
            self._ask_again(scores)

    def suggest(self, trial_id: str) -> Any:
        if self._begun:
            self._added[trial_id] = self._begun.pop(0)
            return dict(self._added[trial_id])
        if not self._names:
            return self._whole({})
        self._asked[trial_id], suggestion = self._waiting.pop() if self._waiting else (trial_id, self._ask(trial_id))
        return suggestion

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self._asked:
            self._searcher.on_trial_complete(self._asked.pop(trial_id), result=result, error=error)
        elif (point := self._added.pop(trial_id, None)) is not None and result:
            self._add(point, result[VAL_SCORE])

    def _ask(self, asked_id: str) -> Any:
        suggestion = self._searcher.suggest(asked_id)
        return self._whole(suggestion) if isinstance(suggestion, dict) else suggestion

    def _ask_again(self, scores: Sequence[tuple[Point, float]]) -> None:
        for number in range(len(scores)):
            asked_id = f"earlier-{number}"
            suggestion = self._ask(asked_id)
            known = [score for point, score in scores if dict(point) == suggestion]
            if not known:
                self._waiting = [(asked_id, suggestion)]
                return
            self._searcher.on_trial_complete(asked_id, result={VAL_SCORE: known[0]})

    def _add(self, point: Point, score: float) -> bool:
        """Pass on the score of a point that the searcher did not suggest; return whether it takes such points."""
        if not self._names:
            return True
        try:
            self._searcher.add_evaluated_point({name: point[name] for name in self._names}, score)
        except NotImplementedError:
            return False
        return True

    def _whole(self, suggestion: dict[str, Any]) -> dict[str, Any]:
        """Return a suggestion with the hyperparameters of one value, rounded into its ranges."""
        whole: dict[str, Any] = {}
        outside = [
            name for name, listed in self._space.choices.items() if suggestion.get(name, listed[0]) not in listed
        ]
        if outside or suggestion.keys() != self._names:
            raise ComponentError(
                f"a searcher must suggest a value of the grid for each of {sorted(self._names)}, but "
                f"{type(self._searcher).__name__} suggests {suggestion}; make it without a space of its own"
            )
        for name, (low, high) in self._space.ranges.items():
            whole[name] = type(low)(min(max(suggestion[name], low), high))
        for name, listed in self._space.choices.items():
            # The grid's own value, not a number of NumPy's.
            whole[name] = listed[listed.index(suggestion.get(name, listed[0]))]
        return whole


def _made(found: Any, kind: type, settings: dict[str, Any], word: str) -> Any:
    if isinstance(found, kind):
        if settings:
            raise ValueError(f"{word!r} is built already and has no settings, but {', '.join(settings)} is given")
        return found
    try:
        made = build_member(found, settings, word=word)
    except (AssertionError, TuneError) as fault:  # a value that Tune refuses, or the package of a searcher is missing
        raise ValueError(str(fault)) from fault
    if not isinstance(made, kind):
        raise ValueError(f"{word!r} must return a {kind.__name__}, but returns {made!r}")
    return made


def _check_only_stops(kind: type) -> None:
    if issubclass(kind, NOT_ONLY_STOPPING):
        raise ValueError(
            f"a scheduler must do nothing but stop trials, but {kind.__name__} pauses them or changes their settings; "
            "use another one, such as AsyncHyperBandScheduler or MedianStoppingRule"
        )


def _check_metric(made: Any, word: str) -> None:
    metric, mode = made.metric, getattr(made, "_mode", None)
    if metric not in (None, VAL_SCORE) or mode not in (None, "max"):
        raise ValueError(
            f"a search must go by {VAL_SCORE!r} in mode 'max', but {word!r} goes by {metric!r} in mode {mode!r}; leave "
            "both out"
        )


def _missing(made: Any) -> tuple[str | None, str | None]:
    """Return metric and mode to set: a value that is set already is not set again, as some refuse that."""
    return None if made.metric else VAL_SCORE, None if getattr(made, "_mode", None) else "max"
