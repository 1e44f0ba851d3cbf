"""Trials that diverged or failed, trials that finished with a remark, and how failures of each kind are handled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.failures import NotedTrial, failure_rows, problems, remarks
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View

MAX_LISTED = 200
MAX_MESSAGE_LENGTH = 2_000
FRAME = re.compile(r'^ *File ".*", line \d+', re.MULTILINE)


class Problems(View):
    """Trials and refits without a score, because they diverged or failed."""

    name = "problems"
    id = "problems"
    title = link = "Diverged and failed"
    order = 40

    def text(self, record: StudyRecord) -> str:
        return "" if problems(record) else "No trial or refit diverged or failed."

    def table(self, record: StudyRecord) -> Table | None:
        noted = problems(record)
        caption = (
            f"{len(noted)} of the trials and refits have no score. A diverged one is a result: its configuration does "
            f"not train. A failed one is tried again when the study runs again.{_first_listed(noted)}"
        )
        return _noted_table("Diverged and failed trials", caption, noted, "reason") if noted else None


class Remarks(View):
    """Trials and refits with a score that were not trained exactly as the others."""

    name = "remarks"
    id = "remarks"
    title = link = "Finished with a remark"
    order = 41

    def applies(self, record: StudyRecord) -> bool:
        return bool(remarks(record))

    def text(self, record: StudyRecord) -> str:
        noted = remarks(record)
        return (
            f"{len(noted)} of the trials and refits have a score that counts, but were not trained quite as the "
            f"others: consider this where scores are close.{_first_listed(noted)}"
        )

    def table(self, record: StudyRecord) -> Table:
        label = "Trials and refits that finished with a remark"
        return _noted_table(label, "They are not run again.", remarks(record), "remark", folded="Which, and how")

    def printed(self, record: StudyRecord, console: Console) -> Iterable[Text]:
        line = f"{len(remarks(record))} of the trials and refits finished with a remark, which the report gives."
        yield Text(line, style="dim")


class Failures(View):
    """How often each kind of failure occurred, and how it is handled."""

    name = "failures"
    id = "failures"
    title = "What went wrong, by kind"
    order = 44

    def applies(self, record: StudyRecord) -> bool:
        return bool(failure_rows(record))

    def table(self, record: StudyRecord) -> Table:
        return Table(
            "Failures by kind",
            "How often each kind occurred, and what is done about it; the trials that it ended are listed above.",
            ("Kind", "Started again", "Ended trials", "What is done"),
            [
                row(each.kind, numeric(each.num_interruptions), numeric(each.num_trials), each.policy)
                for each in failure_rows(record)
            ],
        )


def _noted_table(label: str, caption: str, noted: Sequence[NotedTrial], reason: str, *, folded: str = "") -> Table:
    head = ("cell", "kind", "configuration", "state", reason, "MLflow run")
    rows = [
        row(
            f"{target} · {method}",
            trial.kind,
            TableCell(wording.hyperparameters(trial.hyperparameters), style="whole"),
            trial.state,
            _folded_message(trial),
            TableCell(trial.run_id, trial.run_id),
        )
        for target, method, trial in noted[:MAX_LISTED]
    ]
    return Table(label, caption, head, rows, folded=folded)


def _folded_message(trial: TrialRecord) -> str:
    """Show the most important line of a message and fold the rest, because 200 tracebacks would fill the page.

    That is the first line, but the last line of a traceback. Of a long traceback the end is kept.
    """
    message = (trial.message or "no reason was recorded").strip()
    first, _, rest = message.partition("\n")
    if FRAME.search(message):
        first, rest = message.splitlines()[-1], message[-MAX_MESSAGE_LENGTH:]
    if not rest:
        return first[:MAX_MESSAGE_LENGTH]
    more = Markup("{}<details><summary>more</summary><pre>{}</pre></details>")
    return more.format(first[:MAX_MESSAGE_LENGTH], rest[:MAX_MESSAGE_LENGTH])


def _first_listed(noted: Sequence[NotedTrial]) -> str:
    return f" The first {MAX_LISTED} are listed." if len(noted) > MAX_LISTED else ""
