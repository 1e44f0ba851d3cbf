"""Our numbers beside those of the paper, from one study or along a series of them: what an experiment shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pretrieve.records import StudyRecord
from pretrieve_dashboards.views.paired import paired_differences
from pretrieve_dashboards.wording import ABSENT, AVERAGE

Place = tuple[str, str]
"""A row and a column."""


@dataclass(frozen=True)
class Value:
    """One of our numbers.

    Attributes:
      mean: a fraction, or a difference of two.
      ci95: half width of its 95% interval; None where it has none.
      run_ids: the MLflow runs that it is the mean of; empty where it is from none, or derived from other numbers here.
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
    """Numbers that the paper prints.

    Attributes:
      source: the table, figure or section they stand in.
      values: in %, as printed, by row and column.
    """

    source: str
    values: Mapping[Place, float]

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows, in the order of the values."""
        return tuple(dict.fromkeys(row for row, _ in self.values))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, in the order of the values."""
        return tuple(dict.fromkeys(column for _, column in self.values))

    def text(self, row: str, column: str) -> str:
        """Write a number as printed; empty where there is none."""
        value = self.values.get((row, column))
        return "" if value is None else f"{value:.2f}"


def published_table(source: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Published:
    """Write a printed table down row by row.

    Raises:
      ValueError: a row has more or fewer numbers than there are columns.

    >>> published_table("Table 3", ["cub", "caltech101"], {"uot": [57.27, 78.20]}).values["uot", "cub"]
    57.27
    """
    return Published(
        source,
        {(row, column): value for row, values in rows.items() for column, value in zip(columns, values, strict=True)},
    )


@dataclass(frozen=True)
class Comparison:
    """A table of our numbers with those of the paper.

    Attributes:
      title: what the numbers are.
      heading: what the rows are.
      rows: in the order to show them.
      columns: likewise.
      values: ours; a place without one is not known yet.
      published: the paper's, where it prints any.
      is_of_other_data: whether ours are of other data than the paper's, so that none of ours compares with one of its.
    """

    title: str
    heading: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[Place, Value]
    published: Published | None = None
    is_of_other_data: bool = False

    @property
    def stands_apart(self) -> bool:
        """Whether the paper's numbers are a table of their own: none has a place in ours."""
        printed = () if self.published is None else self.published.values
        return bool(printed) and all(self.printed(row, column) is None for row in self.rows for column in self.columns)

    def printed(self, row: str, column: str) -> float | None:
        """Return the paper's number for a place of our table, in %; None where it prints none that compares."""
        if self.published is None or self.is_of_other_data:
            return None
        # A mean over other targets is another number, under the same name.
        if column == AVERAGE and set(self.columns) != set(self.published.columns):
            return None
        return self.published.values.get((row, column))

    def deviation(self, row: str, column: str) -> float | None:
        """Return ours less the paper's, in points of %, each as printed; None where either is missing.

        >>> ours = {("uot", "cub"): Value(0.98312)}
        >>> Comparison("recall", "method", ("uot",), ("cub",), ours, Published("", {("uot", "cub"): 98.31})).deviation(
        ...     "uot", "cub"
        ... )
        0.0
        """
        ours, printed = self.values.get((row, column)), self.printed(row, column)
        return None if ours is None or printed is None else round(round(100 * ours.mean, 2) - printed, 2)

    def cell_text(self, row: str, column: str) -> str:
        """Write our number of a place."""
        value = self.values.get((row, column))
        return ABSENT if value is None else value.to_text()

    def printed_text(self, row: str, column: str) -> str:
        """Write the paper's number of a place and how ours differs; empty where it prints none."""
        printed, deviation = self.printed(row, column), self.deviation(row, column)
        if printed is None:
            return ""
        if deviation is None:
            return f"paper {printed:.2f}"
        return f"paper {printed:.2f} ({'equal' if deviation == 0 else f'{deviation:+.2f}'})"


def method_values(record: StudyRecord, *, row_of: Callable[[str], str] = str) -> dict[Place, Value]:
    """Return the test scores of a study by (row, target), finished or not; `row_of` names the row of a method.

    A cell that is not tested has no value. By (row, `average`) stands the mean over the targets, which has no interval
    and is left out where a target is not tested.
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

    A row without a score shows that it is missing.
    """
    targets = dict.fromkeys(column for _, column in values if column != AVERAGE)
    columns = (*targets, AVERAGE) if len(targets) > 1 else tuple(targets)
    return Comparison(title, heading, rows, columns, values, published)


def series_values(records: Mapping[str, StudyRecord]) -> dict[Place, Value]:
    """Return the test scores along a series of studies, a row a target and method and a column a point.

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

    A study without a common seed gives no value.
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
