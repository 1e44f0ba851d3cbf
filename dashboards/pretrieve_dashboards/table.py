"""The table of a study: rows methods, columns targets, mean test score and its 95% interval; as numbers and as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pretrieve.records import CellRecord, StudyRecord
from pretrieve_dashboards import wording

if TYPE_CHECKING:
    import pandas as pd

AVERAGE = "average"
CSV_COLUMNS = (
    "target",
    "method",
    "metric",
    "num_refits",
    "test_mean",
    "test_ci95",
    "best_val_score",
    "lr",
    "weight_decay",
    "source_weight",
    "head_lr_ratio",
    "top_k",
    "num_trials",
    "num_finished",
    "num_diverged",
    "num_stopped",
    "num_failed",
    "trial_seconds",
)


@dataclass(frozen=True)
class ScoreTable:
    """Test scores by method and target.

    Attributes:
      methods: the rows.
      targets: the columns.
      metrics: metric by target.
      cells: by (target, method); a pair that the plan lacks is absent.
      averages: by method, mean over all targets, in [0, 1]; a method that lacks a target has none.
    """

    methods: tuple[str, ...]
    targets: tuple[str, ...]
    metrics: Mapping[str, str]
    cells: Mapping[tuple[str, str], CellRecord]
    averages: Mapping[str, float]

    def mean(self, target: str, method: str) -> float | None:
        """Return a mean test score in [0, 1]; None where it is unknown."""
        cell = self.cells.get((target, method))
        return None if cell is None else cell.test_mean

    def ci95(self, target: str, method: str) -> float | None:
        """Return the half width of a 95% interval in [0, 1]; None where it is unknown."""
        cell = self.cells.get((target, method))
        return None if cell is None else cell.test_ci95

    def best_methods(self, target: str) -> frozenset[str]:
        """Name the methods with the largest mean on a target: several where they tie, none before a test."""
        means = {method: self.mean(target, method) for method in self.methods}
        return _argmax({method: mean for method, mean in means.items() if mean is not None})

    def best_averages(self) -> frozenset[str]:
        """Name the methods with the largest average."""
        return _argmax(self.averages)

    def to_csv(self) -> str:
        """Write one line a cell, targets then methods in the study's order.

        Numbers have all their digits and unknown ones are empty, so that two runs can be compared as text.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for target in self.targets:
            for method in self.methods:
                if (target, method) in self.cells:
                    writer.writerow(_csv_row(self.cells[target, method], self.metrics[target]))
        return text.getvalue()

    def to_frame(self) -> pd.DataFrame:
        """Return numbers for further work: fractions in [0, 1], NaN where unknown.

        Rows are methods. Columns have two levels: the target, then `mean` or `ci95`; the last one is
        ("average", "mean"). So `frame["birds", "mean"].idxmax()` names the best method.
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
            columns=pd.MultiIndex.from_tuples([*columns, ("average", "mean")], names=["target", "score"]),
            dtype="float64",
        )

    def to_text(self, width: int = 120) -> str:
        """Write the table as plain text of at most `width` columns, scores in %."""
        text = io.StringIO()
        console = Console(file=text, width=width, color_system=None, highlight=False, emoji=False)
        for part in table_parts(self, console):
            console.print(part)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def score_table(record: StudyRecord) -> ScoreTable:
    """Make the table of a study, finished or not."""
    cells = {(cell.target, cell.method): cell for cell in record.cells}
    targets = tuple(target.name for target in record.targets)
    averages: dict[str, float] = {}
    for method in record.methods:
        means = [cells[target, method].test_mean for target in targets if (target, method) in cells]
        known = [mean for mean in means if mean is not None]
        if targets and len(known) == len(targets):
            averages[method] = sum(known) / len(known)
    return ScoreTable(
        methods=record.methods,
        targets=targets,
        metrics={target.name: target.metric for target in record.targets},
        cells=cells,
        averages=averages,
    )


def _argmax(values: Mapping[str, float]) -> frozenset[str]:
    largest = max(values.values(), default=None)
    return frozenset(name for name, value in values.items() if value == largest)


def _csv_row(cell: CellRecord, metric: str) -> list[str]:
    best = cell.best or {}
    tested = [refit for refit in cell.refits if refit.score is not None]
    chosen = [best.get(name) for name in ("lr", "weight_decay", "source_weight", "head_lr_ratio")]
    counts = [cell.num_in_state(state) for state in ("finished", "diverged", "stopped", "failed")]
    return [
        cell.target,
        cell.method,
        metric,
        str(len(tested)),
        *(_all_digits(value) for value in (cell.test_mean, cell.test_ci95, cell.best_val_score, *chosen)),
        wording.number(best["top_k"]) if "top_k" in best else "",
        str(cell.num_planned),
        *map(str, counts),
        _all_digits(float(sum(trial.seconds for trial in cell.trials))),
    ]


def _all_digits(value: float | None) -> str:
    return "" if value is None else repr(float(value))


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
    return (*table.targets, AVERAGE) if len(table.targets) > 1 else table.targets


def _score(table: ScoreTable, column: str, method: str) -> Text:
    if column == AVERAGE and column not in table.targets:
        is_best = method in table.best_averages()
        return Text(wording.percent(table.averages.get(method)), style="bold" if is_best else "")
    is_best = method in table.best_methods(column)
    text = wording.score(table.mean(column, method), table.ci95(column, method))
    return Text(text, style="bold" if is_best else "")
