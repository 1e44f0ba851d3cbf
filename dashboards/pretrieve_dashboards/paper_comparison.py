"""Compares the numbers of one study, or of a series of studies, with the numbers that the paper prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pretrieve.records import StudyRecord
from pretrieve_dashboards.differences import paired_differences
from pretrieve_dashboards.wording import ABSENT, AVERAGE

RowAndColumn = tuple[str, str]
"""Where a number stands in a table."""


@dataclass(frozen=True)
class Value:
    """One of our numbers.

    Attributes:
      mean: a fraction, or a difference of two fractions.
      ci95: half width of its 95% interval, if it has one.
      run_ids: the MLflow runs that it is the mean of; empty if it does not come directly from runs.
    """

    mean: float
    ci95: float | None = None
    run_ids: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Write the number in %, with two decimals as the paper prints them.

        >>> Value(0.98312).to_text(), Value(0.5, 0.012).to_text()
        ('98.31', '50.00 ± 1.20')
        """
        mean = f"{100 * self.mean:.2f}"
        return mean if self.ci95 is None else f"{mean} ± {100 * self.ci95:.2f}"


@dataclass(frozen=True)
class Published:
    """Numbers printed in the paper.

    Attributes:
      source: the table, figure or section of the paper.
      values: in %, as printed, by (row, column).
    """

    source: str
    values: Mapping[RowAndColumn, float]

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row for row, _ in self.values))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for _, column in self.values))

    def text(self, row: str, column: str) -> str:
        value = self.values.get((row, column))
        return "" if value is None else f"{value:.2f}"


def published_table(source: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Published:
    """Make the numbers of a printed table from its rows.

    Raises:
      ValueError: a row has more or fewer numbers than there are columns.

    >>> published_table("Table 3", ["cub", "caltech101"], {"uot": [57.27, 78.20]}).values["uot", "cub"]
    57.27
    """
    numbers = {(row, column): x for row, xs in rows.items() for column, x in zip(columns, xs, strict=True)}
    return Published(source, numbers)


@dataclass(frozen=True)
class Comparison:
    """A table of our numbers and those of the paper.

    Attributes:
      title: what the numbers are.
      heading: what the rows are.
      values: our numbers, by (row, column), as far as they are known yet.
      published: the paper's numbers, if it prints any.
      is_of_other_data: our numbers are from other data than the paper's, so none of them can be compared.
    """

    title: str
    heading: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[RowAndColumn, Value]
    published: Published | None = None
    is_of_other_data: bool = False

    @property
    def stands_apart(self) -> bool:
        """Whether no number of the paper matches a cell of our table, so that its numbers need their own table."""
        printed = () if self.published is None else self.published.values
        return bool(printed) and all(self.printed(row, column) is None for row in self.rows for column in self.columns)

    def printed(self, row: str, column: str) -> float | None:
        """Return the paper's number for a cell of our table, in %; None if it prints no comparable number."""
        if self.published is None or self.is_of_other_data:
            return None
        # Averages over different targets cannot be compared, although they have the same name.
        if column == AVERAGE and set(self.columns) != set(self.published.columns):
            return None
        return self.published.values.get((row, column))

    def deviation(self, row: str, column: str) -> float | None:
        """Return our number minus the paper's, both rounded as printed, in percentage points; None if one is missing.

        >>> ours = {("uot", "cub"): Value(0.98312)}
        >>> Comparison("recall", "method", ("uot",), ("cub",), ours, Published("", {("uot", "cub"): 98.31})).deviation(
        ...     "uot", "cub"
        ... )
        0.0
        """
        ours, printed = self.values.get((row, column)), self.printed(row, column)
        return None if ours is None or printed is None else round(round(100 * ours.mean, 2) - printed, 2)

    def cell_text(self, row: str, column: str) -> str:
        value = self.values.get((row, column))
        return ABSENT if value is None else value.to_text()

    def printed_text(self, row: str, column: str) -> str:
        """Write the paper's number for a cell and how ours differs from it; empty if there is no comparable number."""
        printed, deviation = self.printed(row, column), self.deviation(row, column)
        if printed is None:
            return ""
        if deviation is None:
            return f"paper {printed:.2f}"
        return f"paper {printed:.2f} ({'equal' if deviation == 0 else f'{deviation:+.2f}'})"


def method_values(record: StudyRecord, *, row_of: Callable[[str], str] = str) -> dict[RowAndColumn, Value]:
    """Return the test scores of a finished or unfinished study by (row, target); `row_of` names a method's row.

    Cells that are not tested are left out. The key (row, `average`) holds the mean over the targets, without an
    interval; it is left out unless all targets are tested.
    """
    values: dict[RowAndColumn, Value] = {}
    for method in record.methods:
        tested = {}
        for cell in (record.cell(target.name, method) for target in record.targets):
            if cell.test_mean is not None:
                # The refits' runs, because a cell's run describes only the latest point of a series.
                runs = tuple(refit.run_id for refit in cell.refits if refit.score is not None)
                tested[cell.target] = Value(cell.test_mean, cell.test_ci95, runs)
        if len(tested) == len(record.targets):
            tested[AVERAGE] = Value(fmean(value.mean for value in tested.values()))
        values |= {(row_of(method), target): value for target, value in tested.items()}
    return values


def score_comparison(
    title: str, heading: str, values: Mapping[RowAndColumn, Value], published: Published, *, rows: tuple[str, ...]
) -> Comparison:
    """Arrange scores as in the paper's tables: targets as columns, their average last. Rows may have no score yet."""
    targets = dict.fromkeys(column for _, column in values if column != AVERAGE)
    columns = (*targets, AVERAGE) if len(targets) > 1 else tuple(targets)
    return Comparison(title, heading, rows, columns, values, published)


def series_values(records: Mapping[str, StudyRecord]) -> dict[RowAndColumn, Value]:
    """Return the test scores of a series of studies: one row per target and method, one column per study.

    >>> row_name("cub", "uot")
    'cub · uot'
    """
    return {
        (row_name(target, method), point): value
        for point, record in records.items()
        for (method, target), value in method_values(record).items()
        if target != AVERAGE
    }


def gap_values(records: Mapping[str, StudyRecord], method: str, baseline: str) -> dict[RowAndColumn, Value]:
    """Return the mean lead of a method over a baseline, seed by seed: one row per target, one column per study.

    Cells in which the two methods have no seed in common are left out.
    """
    return {
        (gap_name(difference.target, method, baseline), point): Value(
            difference.mean, difference.ci95 if math.isfinite(difference.ci95) else None
        )
        for point, record in records.items()
        for difference in paired_differences(record, baseline)
        if difference.method == method and difference.target in {target.name for target in record.targets}
    }


def row_name(target: str, method: str) -> str:
    """Name the row of a target and a method in a series."""
    return f"{target} · {method}"


def gap_name(target: str, method: str, baseline: str) -> str:
    """Name the row of a method's lead over a baseline on a target."""
    return f"{target} · {method} − {baseline}"


def targets_of(records: Mapping[str, StudyRecord]) -> tuple[str, ...]:
    """Return the names of all targets of a series, without duplicates."""
    return tuple(dict.fromkeys(target.name for record in records.values() for target in record.targets))
