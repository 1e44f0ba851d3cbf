"""The table of scores as text, laid out by the width of the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pretrieve_dashboards import wording
from pretrieve_dashboards.table import ScoreTable

_AVERAGE = "average"


def table_text(table: ScoreTable, width: int) -> str:
    """Write the table alone as plain text.

    Args:
      table: the scores.
      width: columns of the terminal.
    """
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, highlight=False, emoji=False)
    for part in table_parts(table, console):
        console.print(part)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def table_parts(table: ScoreTable, console: Console) -> list[Table]:
    """Lay the scores out: methods as rows where that fits, else targets as rows, else those in several parts."""
    for gap in (2, 1):
        by_method = _with_methods_as_rows(table, gap)
        if _fits(by_method, console):
            return [by_method]
    for size in range(max(1, len(table.methods)), 0, -1):
        starts = range(0, len(table.methods), size)
        parts = [_with_targets_as_rows(table, table.methods[start : start + size]) for start in starts]
        if all(_fits(part, console) for part in parts):
            return parts
    return parts


def _fits(table: Table, console: Console) -> bool:
    unlimited = console.options.update(width=10_000)
    return Measurement.get(console, unlimited, table).maximum <= console.width


def empty_table(gap: int = 2) -> Table:
    """Make a table with a rule under its head and `gap` blanks between its columns."""
    padding = (0, gap - 1)
    return Table(box=box.SIMPLE_HEAD, padding=padding, pad_edge=False, collapse_padding=True, show_edge=False)


def _with_methods_as_rows(table: ScoreTable, gap: int) -> Table:
    shown = empty_table(gap)
    shown.add_column("method", no_wrap=True)
    for name in _columns(table):
        shown.add_column(Text(name), justify="right", no_wrap=True)
    for method in table.methods:
        shown.add_row(Text(method), *(_score(table, column, method) for column in _columns(table)))
    return shown


def _with_targets_as_rows(table: ScoreTable, methods: Sequence[str]) -> Table:
    shown = empty_table()
    shown.add_column("target", overflow="fold")
    for method in methods:
        shown.add_column(Text(method), justify="right", no_wrap=True)
    for column in _columns(table):
        shown.add_row(Text(column), *(_score(table, column, method) for method in methods))
    return shown


def _columns(table: ScoreTable) -> tuple[str, ...]:
    return (*table.targets, _AVERAGE) if len(table.targets) > 1 else table.targets


def _score(table: ScoreTable, column: str, method: str) -> Text:
    if column == _AVERAGE and column not in table.targets:
        is_best = method in table.best_averages()
        return Text(wording.percent(table.averages.get(method)), style="bold" if is_best else "")
    is_best = method in table.best_methods(column)
    text = wording.score(table.mean(column, method), table.ci95(column, method))
    return Text(text, style="bold" if is_best else "")
