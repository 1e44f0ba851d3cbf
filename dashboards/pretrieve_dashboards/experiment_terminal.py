"""An experiment on a terminal: its tables with the paper's numbers, what is missing, and where the report lies."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pretrieve_dashboards.comparison import Comparison, Published
from pretrieve_dashboards.experiment_view import ExperimentView
from pretrieve_dashboards.table_layout import empty_table


def print_experiment(view: ExperimentView, console: Console, *, report_path: Path) -> None:
    """Print an experiment, finished or not.

    Args:
      view: the experiment.
      console: where to.
      report_path: where the HTML report lies.
    """
    _line(console, f"{view.place}: {view.question}", "bold")
    for comparison in view.findings.comparisons:
        _line(console, f"\n{comparison.title}, in %", "bold")
        console.print(_ours(comparison))
        if comparison.stands_apart and comparison.published is not None:
            _line(console, f"\nThe paper's numbers, {comparison.published.source}", "bold")
            console.print(_the_papers(comparison.published, comparison.heading))
    for heading, lines in (("Missing", view.missing), ("How this run departs from the paper", view.deviations)):
        if lines:
            _line(console, f"\n{heading}", "bold")
            for line in lines:
                _line(console, f"  {line}")
    _line(console, f"\nreport  {report_path}", is_for_copying=True)


def _ours(comparison: Comparison) -> Table:
    shown = _with_columns(comparison.heading, comparison.columns)
    for row in comparison.rows:
        shown.add_row(Text(row), *(Text(comparison.cell_text(row, column)) for column in comparison.columns))
        printed = [comparison.printed_text(row, column) for column in comparison.columns]
        if any(printed):
            shown.add_row(Text(""), *(Text(text, style="dim") for text in printed))
    return shown


def _the_papers(published: Published, heading: str) -> Table:
    shown = _with_columns(heading, published.columns)
    for row in published.rows:
        numbers = [published.values.get((row, column)) for column in published.columns]
        shown.add_row(Text(row), *(Text("" if number is None else f"{number:.2f}") for number in numbers))
    return shown


def _with_columns(heading: str, columns: tuple[str, ...]) -> Table:
    shown = empty_table()
    shown.add_column(heading, overflow="fold")
    for column in columns:
        shown.add_column(Text(column), justify="right", overflow="fold")
    return shown


def _line(console: Console, text: str, style: str = "", *, is_for_copying: bool = False) -> None:
    console.print(Text(text, style=style), soft_wrap=is_for_copying)
