"""What a study cost: training time by method and wall time by stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve.tracking import schema
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View


class CostByMethod(View):
    """Training time of each method's trials and refits, summed over all targets."""

    name = "cost_by_method"
    id = "cost"
    title = "What it cost"
    link = "Cost"
    order = 50

    def table(self, record: StudyRecord) -> Table:
        return Table(
            "Training time by method",
            "Training time, summed over trials that may have run side by side.",
            ("method", "trials", "time", "refits", "time"),
            [_row(record, method) for method in record.methods],
        )

    def printed(self, record: StudyRecord, console: Console) -> Iterable[Text]:
        trials = [trial for cell in record.cells for trial in cell.trials]
        refits = [refit for cell in record.cells for refit in cell.refits]
        yield Text("\nWhat it cost", style="bold")
        for group, noun in ((trials, "trial"), (refits, "refit")):
            yield Text(f"  {wording.count(len(group), noun)}: {_time(group)} of training")


def _row(record: StudyRecord, method: str) -> tuple[TableCell, ...]:
    cells = [cell for cell in record.cells if cell.method == method]
    groups = [[trial for cell in cells for trial in cell.trials], [refit for cell in cells for refit in cell.refits]]
    address = wording.runs_page(record, schema.TAG_METHOD, method)
    name = Markup('<a href="{}">{}</a>').format(address, method) if address else method
    return row(name, *(numeric(value) for group in groups for value in (len(group), _time(group))))


def _time(trials: Sequence[TrialRecord]) -> str:
    return wording.duration(sum(trial.seconds for trial in trials))


class CostByStage(View):
    """Wall time of each stage, summed over all runs of the study."""

    name = "cost_by_stage"
    title = CostByMethod.title
    order = 51

    def table(self, record: StudyRecord) -> Table | None:
        times = {**record.stage_seconds, "in all": sum(record.stage_seconds.values())}
        rows = [row(stage, numeric(wording.duration(seconds), record.run_id)) for stage, seconds in times.items()]
        caption = "Wall time by stage, over all runs of the study."
        return Table("Wall time by stage", caption, ("stage", "time"), rows) if record.stage_seconds else None

    def note(self, record: StudyRecord) -> str:
        return "" if record.stage_seconds else "No stage has recorded its time yet."

    def printed(self, record: StudyRecord, console: Console) -> Iterable[Text]:
        stages = ", ".join(f"{name} {wording.duration(value)}" for name, value in record.stage_seconds.items())
        if stages:
            total = wording.duration(sum(record.stage_seconds.values()))
            yield Text(f"  wall time by stage: {stages}; {total} in all")
