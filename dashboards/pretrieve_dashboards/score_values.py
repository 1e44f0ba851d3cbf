"""Test scores of studies as numbers to compare with the paper's: of one study, or along a series of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from pretrieve.records import StudyRecord
from pretrieve_dashboards.comparison import AVERAGE, Comparison, Place, Published, Value
from pretrieve_dashboards.paired import paired_differences


def method_values(record: StudyRecord, *, row_of: Callable[[str], str] = str) -> dict[Place, Value]:
    """Return the test scores of a study, a row a method and a column a target, and the average over all targets.

    Args:
      record: a study, finished or not; a cell that is not tested has no value.
      row_of: names the row of a method.

    Returns:
      Mean test score, its interval and its refits' runs by (row, target); by (row, `average`) the mean over the
      targets, which has no interval and is left out where a target is not tested.
    """
    values: dict[Place, Value] = {}
    for method in record.methods:
        row = row_of(method)
        for target in record.targets:
            cell = record.cell(target.name, method)
            if cell.test_mean is not None:
                # Of the refits, not of the cell: the cell's run tells of a series' latest point alone.
                runs = tuple(refit.run_id for refit in cell.refits if refit.score is not None)
                values[row, target.name] = Value(cell.test_mean, cell.test_ci95, runs)
        tested = [values[row, target.name].mean for target in record.targets if (row, target.name) in values]
        if len(tested) == len(record.targets):
            values[row, AVERAGE] = Value(fmean(tested))
    return values


def score_comparison(
    title: str, heading: str, values: Mapping[Place, Value], published: Published, *, rows: tuple[str, ...]
) -> Comparison:
    """Lay scores out as the paper's tables have them: targets as columns, the average last.

    Args:
      title: what the scores are.
      heading: what the rows are.
      values: by row and target.
      published: the paper's.
      rows: in the order to show them; one without a score shows that it is missing.
    """
    targets = dict.fromkeys(column for _, column in values if column != AVERAGE)
    columns = (*targets, AVERAGE) if len(targets) > 1 else tuple(targets)
    return Comparison(title, heading, rows, columns, values, published)


def series_values(records: Mapping[str, StudyRecord]) -> dict[Place, Value]:
    """Return the test scores along a series of studies, a row a target and method and a column a point.

    Args:
      records: the studies by the point of the series.

    >>> row_name("cub", "uot")
    'cub · uot'
    """
    return {
        (row_name(target, method), point): value
        for point, record in records.items()
        for (method, target), value in method_values(record).items()
        if target != AVERAGE
    }


def gap_values(records: Mapping[str, StudyRecord], method: str, baseline: str) -> dict[Place, Value]:
    """Return how much a method is ahead of a baseline along a series, seed by seed, a row a target.

    Args:
      records: the studies by the point of the series; one without a common seed gives no value.
      method: the one ahead.
      baseline: the one behind.
    """
    return {
        (gap_name(difference.target, method, baseline), point): Value(
            difference.mean, difference.ci95 if difference.num_seeds > 1 else None
        )
        for point, record in records.items()
        for difference in paired_differences(record, baseline)
        if difference.method == method and difference.target in {target.name for target in record.targets}
    }


def row_name(target: str, method: str) -> str:
    """Name the row of a target and a method."""
    return f"{target} · {method}"


def gap_name(target: str, method: str, baseline: str) -> str:
    """Name the row of a method's lead."""
    return f"{target} · {method} − {baseline}"


def targets_of(records: Mapping[str, StudyRecord]) -> tuple[str, ...]:
    """Name the targets of a series, each once."""
    return tuple(dict.fromkeys(target.name for record in records.values() for target in record.targets))
