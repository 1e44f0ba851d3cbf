"""Differences between the test scores of methods, seed by seed, so that the effect of the seed cancels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from pretrieve.intervals import mean_and_ci95
from pretrieve.records import CellRecord, StudyRecord
from pretrieve_dashboards.errors import DashboardError
from pretrieve_dashboards.wording import AVERAGE


class PairedDifference(NamedTuple):
    """A method's test score minus the baseline's, over the seeds that both have.

    Attributes:
      target: name of the target, or `average` for the mean over all targets.
      num_seeds: number of pairs of refits.
      mean: mean difference of scores in [0, 1].
      ci95: half width of its 95% interval (Student's t over the seeds); NaN below three seeds.
      values: the differences of the pairs.
    """

    target: str
    method: str
    num_seeds: int
    mean: float
    ci95: float
    values: tuple[float, ...] = ()


def paired_differences(record: StudyRecord, baseline: str = "finetune") -> tuple[PairedDifference, ...]:
    """Compare the refits of each method with the baseline's refits of the same seed, for each target and on average.

    A seed decides the heads, order and crops of both refits, so effects of the seed that they share cancel. The
    interval covers the seeds, but neither the sampling of the images nor the choice of the configuration.

    Returns:
      One difference for each target and method that have a seed in common with the baseline. Then the average for each
      method that has the same seeds on all targets.

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
    return PairedDifference(target, method, len(by_seed), mean, half_width, tuple(by_seed.values()))
