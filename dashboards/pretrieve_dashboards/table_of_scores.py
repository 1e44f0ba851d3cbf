"""The table of a study's test scores, with their 95% intervals: methods are rows and targets are columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as PrintedTable
from rich.text import Text

from pretrieve.records import CellRecord, StudyRecord, TrialState
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.wording import AVERAGE

if TYPE_CHECKING:
    import pandas as pd

BOLD = "bold: better than the method it is compared with, by the study's verdict"

SCORES_READ = "Mean test score in % ± half of its 95% interval, with fewer than three refits the score of each"

_ENDED: tuple[TrialState, ...] = ("finished", "diverged", "stopped", "failed")


@dataclass(frozen=True)
class ScoreTable:
    """Test scores by method and target.

    Attributes:
      metrics: metric, by target.
      cells: cells, by (target, method); pairs that are not planned are absent.
      averages: mean over all targets in [0, 1], by method; absent if a target is not tested.
      better: (target or AVERAGE, method) of the methods that the verdict of the study calls better than another.
    """

    methods: tuple[str, ...]
    targets: tuple[str, ...]
    metrics: Mapping[str, str]
    cells: Mapping[tuple[str, str], CellRecord]
    averages: Mapping[str, float]
    better: frozenset[tuple[str, str]] = frozenset()

    def mean(self, target: str, method: str) -> float | None:
        """Return a mean test score in [0, 1]; None if it is unknown."""
        cell = self.cells.get((target, method))
        return None if cell is None else cell.test_mean

    def ci95(self, target: str, method: str) -> float | None:
        """Return the half width of a 95% interval in [0, 1]; None if it is unknown."""
        cell = self.cells.get((target, method))
        return None if cell is None else cell.test_ci95

    def score(self, target: str, method: str) -> str:
        """Write a mean in % with its interval; below three refits the scores of all."""
        cell = self.cells.get((target, method))
        return wording.score(None, None) if cell is None else cell_score(cell)

    def to_csv(self) -> str:
        """Write one line per cell, ordered by target and then method, as in the study.

        Numbers have all their digits, and unknown numbers are empty, so that two runs can be compared as text.
        """
        keys = [(target, method) for target in self.targets for method in self.methods]
        rows = [_csv_row(self.cells[key], self.metrics[key[0]]) for key in keys if key in self.cells]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([list(rows[0]), *(each.values() for each in rows)] if rows else [])
        return text.getvalue()

    def to_frame(self) -> pd.DataFrame:
        """Return the scores as fractions in [0, 1]; unknown scores are NaN.

        Rows are methods. Columns have two levels: the target, then `mean` or `ci95`. The last column is
        ("average", "mean"). For example, `frame["birds", "mean"].idxmax()` names the best method.
        """
        import pandas as pd

        columns = [(target, kind) for target in self.targets for kind in ("mean", "ci95")]
        rows = [
            [value for target in self.targets for value in (self.mean(target, method), self.ci95(target, method))]
            + [self.averages.get(method)]
            for method in self.methods
        ]
        return pd.DataFrame(
            rows,
            index=pd.Index(self.methods, name="method"),
            columns=pd.MultiIndex.from_tuples([*columns, (AVERAGE, "mean")], names=["target", "score"]),
            dtype="float64",
        )

    def to_text(self, width: int = 120) -> str:
        """Write the table as plain text of at most `width` columns, scores in %."""
        text = io.StringIO()
        console = Console(file=text, width=width, color_system=None, highlight=False, emoji=False)
        for part in table_parts(self, console):
            console.print(part)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"

    def shown(self) -> Table:
        """Return the table in %, with the average of each method, for the report, the terminal and notebooks."""
        head = ["method", *self.targets]
        rows = [row(method, *(self._score(target, method) for target in self.targets)) for method in self.methods]
        if len(self.targets) > 1:
            head.append(AVERAGE)
            rows = [
                (*scores, numeric(wording.percent(self.averages.get(method)), is_best=self._is_better(AVERAGE, method)))
                for method, scores in zip(self.methods, rows, strict=True)
            ]
        caption = f"{SCORES_READ}; {BOLD}; —: not tested."
        return Table("Test scores by method and target", caption, head, rows, style="pinned")

    def _score(self, target: str, method: str) -> TableCell:
        mean = self.mean(target, method)
        text = self.score(target, method)
        run_id = None if mean is None else self.cells[target, method].run_id
        return numeric(text, run_id, is_best=self._is_better(target, method))

    def _is_better(self, column: str, method: str) -> bool:
        return (column, method) in self.better


def cell_score(cell: CellRecord) -> str:
    """Write the mean test score of a cell in % with its interval; below three refits the scores of all."""
    return wording.score(cell.test_mean, cell.test_ci95, () if cell.test_mean is None else cell.test_scores)


def score_table(record: StudyRecord) -> ScoreTable:
    """Make the table of a finished or unfinished study."""
    cells = {(cell.target, cell.method): cell for cell in record.cells}
    targets = tuple(target.name for target in record.targets)
    means: dict[str, list[float]] = {method: [] for method in record.methods}
    for target, method in product(targets, record.methods):
        if (cell := cells.get((target, method))) is not None and cell.test_mean is not None:
            means[method].append(cell.test_mean)
    averages = {name: sum(known) / len(known) for name, known in means.items() if 0 < len(known) == len(targets)}
    metrics = {target.name: target.metric for target in record.targets}
    return ScoreTable(record.methods, targets, metrics, cells, averages, frozenset(_better(record)))


def _better(record: StudyRecord) -> Iterator[tuple[str, str]]:
    for each in () if record.verdict is None else record.verdict.contrasts:
        if not each.is_exploratory and each.word.startswith(("better", "worse")):
            yield each.target or AVERAGE, each.first if each.word.startswith("better") else each.second


def _csv_row(cell: CellRecord, metric: str) -> dict[str, str]:
    best = cell.best or {}
    names = ("lr", "weight_decay", "source_weight", "head_lr_ratio")
    return {
        "target": cell.target,
        "method": cell.method,
        "metric": metric,
        "num_refits": str(sum(refit.score is not None for refit in cell.refits)),
        "test_mean": _all_digits(cell.test_mean),
        "test_ci95": _all_digits(cell.test_ci95),
        "best_val_score": _all_digits(cell.best_val_score),
        **{name: _all_digits(best.get(name)) for name in names},
        "top_k": wording.number(best["top_k"]) if "top_k" in best else "",
        "num_trials": str(cell.num_planned),
        **{f"num_{state}": str(cell.num_in_state(state)) for state in _ENDED},
        "trial_seconds": _all_digits(float(sum(trial.seconds for trial in cell.trials))),
    }


def _all_digits(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def table_parts(table: ScoreTable, console: Console) -> list[PrintedTable]:
    """Fit the scores into the console: methods as rows, or else targets as rows, or else several tables of targets."""
    whole = table.shown()
    for gap in (2, 1):
        by_method = printed_table(whole.head, whole.rows, gap)
        if _fits(by_method, console):
            return [by_method]
    turned = [list(column) for column in zip(*whole.rows, strict=True)][1:]
    for size in range(max(1, len(table.methods)), 0, -1):
        starts = range(0, len(table.methods), size)
        parts = [_with_targets_as_rows(whole, turned, slice(start, start + size)) for start in starts]
        if all(_fits(part, console) for part in parts):
            return parts
    return parts


def _with_targets_as_rows(table: Table, columns: Sequence[Sequence[TableCell]], methods: slice) -> PrintedTable:
    head = ("target", *(each[0].text for each in table.rows[methods]))
    return printed_table(head, [row(name, *each[methods]) for name, each in zip(table.head[1:], columns, strict=True)])


def _fits(table: PrintedTable, console: Console) -> bool:
    unlimited = console.options.update(width=10_000)
    return Measurement.get(console, unlimited, table).maximum <= console.width


def printed_table(head: Sequence[str], rows: Sequence[Sequence[TableCell]], gap: int = 2) -> PrintedTable:
    """Make a table for the terminal, with a line under the head and `gap` spaces between columns."""
    padding = (0, gap - 1)
    printed = PrintedTable(box=box.SIMPLE_HEAD, padding=padding, pad_edge=False, collapse_padding=True, show_edge=False)
    for column, name in enumerate(head):
        is_number = any(entries[column].is_number for entries in rows)
        printed.add_column(Text(name), justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for entries in rows:
        printed.add_row(*(Text(entry.text, style="bold" if entry.is_best else "") for entry in entries))
        if any(entry.below for entry in entries):
            printed.add_row(*(Text(entry.below, style="dim") for entry in entries))
    return printed
