"""The metrics that a study keeps beside the score that decides."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.text import Text

from pretrieve.intervals import mean_and_ci95
from pretrieve.records import CellRecord, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.table_of_scores import printed_table
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View


class FurtherMetrics(View):
    """One row per target and method, and one column per metric: the mean over the refits and its 95% interval."""

    name = "further_metrics"
    id = "further-metrics"
    title = "Further metrics"
    link = "Further metrics"
    order = 12
    in_notebook = True

    def applies(self, record: StudyRecord) -> bool:
        return any(target.further_metrics for target in record.targets)

    def table(self, record: StudyRecord) -> Table:
        asked = {target.name: target.further_metrics for target in record.targets}
        labels = {name: label for metrics in asked.values() for name, label in metrics.items()}
        cells = [cell for cell in record.cells if asked[cell.target]]
        return Table(
            label="Further metrics by target and method",
            caption="Mean over the refits on test, in % ± half of its 95% interval, with fewer than three refits "
            "the value of each. The configurations are those with the best validation score: these metrics choose "
            "nothing.",
            head=("target", "method", *labels.values()),
            rows=[row(cell.target, cell.method, *(_entry(cell, name) for name in labels)) for cell in cells],
            row_runs=[cell.run_id for cell in cells],
        )

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        if self.applies(record):
            table = self.table(record)
            yield Text("\nFurther metrics on test in %, of the configurations that the score chose", style="bold")
            yield printed_table(table.head, table.rows)


def further_score(cell: CellRecord, name: str) -> tuple[float, float | None, list[float]] | None:
    """Return the mean in [0, 1] of a further metric over the refits of a cell, half of its 95% interval, its values.

    The interval is None below three refits; all is None where no refit has the metric.
    """
    values = [refit.further_scores[name] for refit in cell.refits if name in refit.further_scores]
    if not values:
        return None
    mean, ci95 = mean_and_ci95(values)
    return mean, ci95 if math.isfinite(ci95) else None, values


def _entry(cell: CellRecord, name: str) -> TableCell:
    return numeric(wording.score(*(further_score(cell, name) or (None, None))), cell.run_id)
