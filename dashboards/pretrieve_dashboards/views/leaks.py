"""Images that show a test image: what the leakage audit found, and how much they change test scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pretrieve.intervals import mean_and_ci95
from pretrieve.records import AuditRecord, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import Lines, View

WHERE_PAIRS_ARE = "The pairs and their pictures are among the study's artifacts, in audits/."


class LeakageAudit(View):
    """Number of source and training images of a study that show a test image."""

    name = "leakage_audit"
    id = "audit"
    title = "The leakage audit"
    order = 42

    def applies(self, record: StudyRecord) -> bool:
        return bool(record.audits)

    def table(self, record: StudyRecord) -> Table:
        settings = record.settings.get("audit")
        drops_leaks = isinstance(settings, dict) and bool(settings.get("drop_leaks"))
        return Table(
            "What the leakage audit found",
            "Leaks: images that show a test image of their target (resized, cropped, mirrored or compressed again).",
            ("target", "images", "leaks", "test images shown", "pairs", "pairs compared", "what was done"),
            [_audit_row(audit, drops_leaks) for audit in record.audits],
        )

    def lists(self, record: StudyRecord) -> Sequence[Lines]:
        return [
            Lines(each.summary, f"{each.target}, {wording.AUDIT_SIDES[each.side]}: how the leaks were found")
            for each in record.audits
        ]

    def note(self, record: StudyRecord) -> str:
        return WHERE_PAIRS_ARE


def _audit_row(audit: AuditRecord, drops_leaks: bool) -> tuple[TableCell, ...]:
    outcome = "no leaks found"
    if audit.num_leaking:
        outcome = "left out" if drops_leaks and audit.side == "source" else "kept"
    counts = (audit.num_leaking, audit.num_shown, len(audit.pairs), audit.num_compared)
    return row(audit.target, wording.AUDIT_SIDES[audit.side], *(numeric(f"{count:,}") for count in counts), outcome)


class LeakRow(NamedTuple):
    """Test scores of a cell with and without the images that an audit left out, over the seeds that both have."""

    target: str
    method: str
    num_seeds: int
    without: float  # mean test score in [0, 1]
    with_leaks: float  # mean test score in [0, 1]
    gain: float  # mean difference, with − without
    gain_ci95: float  # half width of its 95% interval (Student's t over the seeds); NaN below three seeds
    run_id: str | None = None
    gains: tuple[float, ...] = ()


class LeakGains(View):
    """Test scores without and with the source images that show a test image."""

    name = "leak_gains"
    id = "leaks"
    title = "Effect of the leaks on test scores"
    order = 43

    def applies(self, record: StudyRecord) -> bool:
        return bool(leak_rows(record))

    def text(self, record: StudyRecord) -> str:
        return (
            "Some source images show a test image of their target. The scores above are from refits without these "
            "images. This table compares them with refits of the same seeds that use the images."
        )

    def table(self, record: StudyRecord) -> Table:
        return Table(
            "Scores without and with leaks",
            "Test scores in %, without and with the source images that show test images.",
            ("target", "method", "seeds", "without", "with", "difference"),
            [_gain_row(leak) for leak in leak_rows(record)],
        )

    def note(self, record: StudyRecord) -> str:
        return (
            "± is the half width of the 95% interval of the difference; fewer than three differences are listed. "
            f"{WHERE_PAIRS_ARE}"
        )


def _gain_row(leak: LeakRow) -> tuple[TableCell, ...]:
    gain = wording.score(leak.gain, leak.gain_ci95 if math.isfinite(leak.gain_ci95) else None, leak.gains)
    scores = (wording.percent(leak.without), wording.percent(leak.with_leaks), gain)
    return row(leak.target, leak.method, numeric(leak.num_seeds), *(numeric(text, leak.run_id) for text in scores))


def leak_rows(record: StudyRecord) -> list[LeakRow]:
    """Return a row for each cell that was trained both without and with leaks, in the order of the study."""
    rows = []
    for cell in record.cells:
        leaky_scores = {refit.seed: refit.score for refit in cell.refits_with_leaks}
        pairs = [
            (refit.score, leaky)
            for refit in cell.refits
            if refit.score is not None and (leaky := leaky_scores.get(refit.seed)) is not None
        ]
        if pairs:
            gains = tuple(leaky - clean for clean, leaky in pairs)
            gain, gain_ci95 = mean_and_ci95(gains)
            without, with_leaks = (sum(scores) / len(pairs) for scores in zip(*pairs, strict=True))
            means = (without, with_leaks, gain, gain_ci95)
            rows.append(LeakRow(cell.target, cell.method, len(pairs), *means, cell.run_id, gains))
    return rows
