"""Trials that diverged or failed, trials that finished with a remark, and how failures of each kind are handled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View

MAX_LISTED = 200
MAX_MESSAGE_LENGTH = 2_000
FRAME = re.compile(r'^ *File ".*", line \d+', re.MULTILINE)
POLICIES = {
    "node lost": "the trial goes on elsewhere from its last epoch, without a limit",
    "process lost": "the trial goes on from its last epoch, up to 5 times",
    "out of memory": "a step is computed in smaller parts",
    "hung": "ended after too long without a step, goes on from its last epoch, up to twice",
    "disk full": "what is written to the study's folder waits until there is space; elsewhere, tried again up to twice",
    "program error": "the other trials of its cell are not started; correct it and run the study again",
    "diverged": "a result: the configuration has no score",
}


class NotedTrial(NamedTuple):
    """A trial or refit with a message for the reader."""

    target: str
    method: str
    trial: TrialRecord


class FailureRow(NamedTuple):
    """A kind of failure, or `diverged`: how often trials were restarted after it, and how many trials it ended."""

    kind: str
    num_interruptions: int
    num_trials: int
    policy: str


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


def problems(record: StudyRecord) -> list[NotedTrial]:
    """List the trials and refits that diverged or failed, in the order of the plan."""
    return [noted for noted in _all_trials(record) if noted.trial.state in ("diverged", "failed")]


def remarks(record: StudyRecord) -> list[NotedTrial]:
    """List the trials and refits that have a score, but finished with a remark, in the order of the plan."""
    return [noted for noted in _all_trials(record) if noted.trial.state == "finished" and noted.trial.message]


def _all_trials(record: StudyRecord) -> list[NotedTrial]:
    cells = record.cells
    return [NotedTrial(cell.target, cell.method, trial) for cell in cells for trial in (*cell.trials, *cell.refits)]


def failure_rows(record: StudyRecord) -> tuple[FailureRow, ...]:
    """Return a row for each kind of failure that occurred, in the order of POLICIES."""
    trials = [trial for cell in record.cells for trial in (*cell.trials, *cell.refits, *cell.refits_with_leaks)]
    interruptions: Counter[str] = sum((Counter(trial.interruptions) for trial in trials), Counter())
    ends = Counter(trial.failure or "program error" for trial in trials if trial.state == "failed")
    ends["diverged"] = sum(trial.state == "diverged" for trial in trials)
    kinds = dict.fromkeys([*POLICIES, *interruptions, *ends])
    rows = [FailureRow(kind, interruptions[kind], ends[kind], POLICIES.get(kind, "")) for kind in kinds]
    return tuple(each for each in rows if each.num_interruptions or each.num_trials)


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
