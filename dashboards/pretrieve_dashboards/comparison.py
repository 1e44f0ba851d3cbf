"""Our numbers beside those of the paper: what every table and figure of an experiment is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pretrieve_dashboards.wording import ABSENT

AVERAGE = "average"
"""The column of means over all targets, in our tables as in the paper's."""

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


def published_table(source: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Published:
    """Write a printed table down row by row.

    Args:
      source: the table, figure or section.
      columns: its columns.
      rows: one number in % for each column, by the name of the row.

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
