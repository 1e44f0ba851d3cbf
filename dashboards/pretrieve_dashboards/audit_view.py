"""The leakage audit: how many images that a study reuses or trains on show a test image."""

from __future__ import annotations

from collections.abc import Sequence

from pretrieve.records import AuditRecord, StudyRecord
from pretrieve_dashboards.view_table import TableCell, ViewTable, numbers, words

SIDES = {"source": "reused of the source", "train": "the target's own, to train on"}


def audit_table(record: StudyRecord) -> ViewTable:
    """List what the audit found, a row for each target and side that was compared, in the order of the table."""
    drops_leaks = _drops_leaks(record)
    return ViewTable(
        caption="Images that show a test image of their target (resized, cropped, mirrored or compressed anew), and "
        "what became of them.",
        head=("target", "images", "they show it", "test images shown", "pairs", "pairs compared", "fate"),
        rows=tuple(tuple(_row(audit, drops_leaks)) for audit in record.audits),
    )


def audit_details(record: StudyRecord) -> tuple[tuple[str, Sequence[str]], ...]:
    """Return for each comparison its title and the lines on thresholds, expected recall and false alarms."""
    return tuple((f"{audit.target}, {SIDES[audit.side]}", audit.summary) for audit in record.audits)


def _row(audit: AuditRecord, drops_leaks: bool) -> list[TableCell]:
    fate = "none were found"
    if audit.num_leaking:
        fate = "left out" if drops_leaks and audit.side == "source" else "kept"
    counts = (audit.num_leaking, audit.num_shown, audit.num_pairs, audit.num_compared)
    return [*words(audit.target, SIDES[audit.side]), *numbers([f"{count:,}" for count in counts]), *words(fate)]


def _drops_leaks(record: StudyRecord) -> bool:
    settings = record.settings.get("audit")
    return isinstance(settings, dict) and bool(settings.get("drop_leaks"))
