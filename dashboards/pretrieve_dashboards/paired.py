"""Differences between methods, seed by seed: what one adds to another beyond the luck of a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pretrieve.intervals import mean_and_ci95
from pretrieve.records import CellRecord, StudyRecord
from pretrieve_dashboards.errors import DashboardError

AVERAGE = "average"


@dataclass(frozen=True)
class PairedDifference:
    """A method's test score minus the baseline's, over the seeds that both have.

    Attributes:
      target: name of the target, or `average` over all of them.
      method: name of the method.
      num_seeds: pairs of refits.
      mean: of the differences, scores in [0, 1].
      ci95: half width of its 95% interval (Student's t over the seeds); NaN with one seed.
    """

    target: str
    method: str
    num_seeds: int
    mean: float
    ci95: float


def paired_differences(record: StudyRecord, baseline: str = "finetune") -> tuple[PairedDifference, ...]:
    """Compare each method with a baseline, target by target and on average, refits of the same seed with each other.

    A seed decides heads, order and crops of both, so its luck cancels where it acts on both alike. The interval covers
    the seeds, not the draw of the images nor the choice of the configuration.

    Args:
      record: a study, finished or not.
      baseline: the method that the others are compared with.

    Returns:
      One for each target and method that have a seed in common with the baseline, targets first, then the average of
      each method that has one for every target.

    Raises:
      DashboardError: the study has no such method.
    """
    if baseline not in record.methods:
        raise DashboardError(
            f"the baseline must be a method of the study, one of {', '.join(record.methods)}, but is {baseline!r}"
        )
    cells = {(cell.target, cell.method): cell for cell in record.cells}
    differences = {
        (target.name, method): _by_seed(cells[target.name, method], cells[target.name, baseline])
        for target in record.targets
        for method in record.methods
        if method != baseline and {(target.name, method), (target.name, baseline)} <= cells.keys()
    }
    found = [_difference(target, method, by_seed) for (target, method), by_seed in differences.items() if by_seed]
    for method in record.methods:
        columns = [differences.get((target.name, method), {}) for target in record.targets]
        shared = set.intersection(*(set(column) for column in columns)) if columns else set()
        means = {seed: math.fsum(column[seed] for column in columns) / len(columns) for seed in sorted(shared)}
        found += [_difference(AVERAGE, method, means)] if means else []
    return tuple(found)


def _by_seed(cell: CellRecord, baseline: CellRecord) -> dict[int, float]:
    scores = {refit.seed: refit.score for refit in baseline.refits if refit.score is not None}
    return {
        refit.seed: refit.score - scores[refit.seed]
        for refit in cell.refits
        if refit.score is not None and refit.seed in scores
    }


def _difference(target: str, method: str, by_seed: Mapping[int, float]) -> PairedDifference:
    mean, half_width = mean_and_ci95(list(by_seed.values()))
    return PairedDifference(target, method, len(by_seed), mean, half_width)
