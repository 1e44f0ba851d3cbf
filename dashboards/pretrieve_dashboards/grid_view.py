"""The validation scores of a cell over its grid, as the rows and columns of a heat map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards import wording

_ROW = "lr"
_COLUMNS = ("weight_decay", "source_weight", "top_k", "head_lr_ratio")

_Point = tuple[float | None, ...]
"""Values of the columns' hyperparameters; None for one that a trial does not have."""


@dataclass(frozen=True)
class GridEntry:
    """One point of the grid.

    Attributes:
      text: the score in %, or what became of the trial.
      shade_percent: 0 for the cell's lowest score, 100 for its highest; None without a score.
      is_best: whether it is the chosen configuration.
      run_id: the MLflow run of its trial.
    """

    text: str
    shade_percent: int | None
    is_best: bool
    run_id: str = ""


@dataclass(frozen=True)
class GridView:
    """A heat map.

    Attributes:
      columns: the other hyperparameters, one short word each.
      rows: a learning rate and its entries, largest rate first; None where the grid has no such point.
    """

    columns: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[str, tuple[GridEntry | None, ...]], ...]


def grid_view(cell: CellRecord) -> GridView:
    """Lay the trials of a cell out by learning rate and by everything else that varies."""
    trials = cell.placed_trials
    names = _varying(trials)
    columns = sorted({_point(trial.hyperparameters, names) for trial in trials}, key=_from_largest)
    rates = sorted({trial.hyperparameters[_ROW] for trial in trials}, reverse=True)
    placed = {(trial.hyperparameters[_ROW], _point(trial.hyperparameters, names)): trial for trial in trials}
    scores = [trial.score for trial in trials if trial.score is not None]
    return GridView(
        columns=tuple(
            tuple(wording.hyperparameter(name, value) for name, value in zip(names, point, strict=True))
            for point in columns
        ),
        rows=tuple(
            (
                f"lr {wording.number(rate)}",
                tuple(_entry(placed.get((rate, point)), cell.best, scores) for point in columns),
            )
            for rate in rates
        ),
    )


def _varying(trials: tuple[TrialRecord, ...]) -> tuple[str, ...]:
    """Name the hyperparameters that tell columns apart; one that never changes would only take room."""
    values = {name: {trial.hyperparameters.get(name) for trial in trials} for name in _COLUMNS}
    varying = tuple(name for name, found in values.items() if len(found) > 1)
    return varying or _COLUMNS[:1]


def _point(hyperparameters: Mapping[str, float], names: tuple[str, ...]) -> _Point:
    return tuple(hyperparameters.get(name) for name in names)


def _from_largest(point: _Point) -> tuple[float, ...]:
    return tuple(math.inf if value is None else -value for value in point)


def _entry(trial: TrialRecord | None, best: Mapping[str, float] | None, scores: list[float]) -> GridEntry | None:
    if trial is None:
        return None
    if trial.score is None:
        return GridEntry(_without_score(trial), None, is_best=False, run_id=trial.run_id)
    low, high = min(scores), max(scores)
    shade = 100 if high == low else round(100 * (trial.score - low) / (high - low))
    is_best = best is not None and dict(trial.hyperparameters) == dict(best)
    return GridEntry(wording.percent(trial.score), shade, is_best, trial.run_id)


def _without_score(trial: TrialRecord) -> str:
    if trial.stopped_epoch is None:
        return trial.state
    return f"stopped after {trial.stopped_epoch}: {wording.percent(trial.stopped_score)}"
