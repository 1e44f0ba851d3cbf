"""Differences between methods as a figure and a table: what each adds to a baseline, seed by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pretrieve.records import StudyRecord
from pretrieve_dashboards.paired import AVERAGE, PairedDifference, paired_differences
from pretrieve_dashboards.svg_canvas import ACCENT, INK, Canvas, Scale, cut, round_ticks, text_width
from pretrieve_dashboards.view_table import TableCell, ViewTable, words

BASELINE = "finetune"
MAX_NAME_LENGTH = 30
MAX_ROWS_DRAWN = 80

_WIDTH, _ROW, _TOP, _BOTTOM = 460.0, 13.0, 6.0, 30.0


@dataclass(frozen=True)
class PairedView:
    """Differences to one method.

    Attributes:
      baseline: the method that the others are compared with.
      differences: targets first, then the averages.
      run_ids: run of the cell by (target, method); averages have none.
      missing: (target, method) pairs that share no seed with the baseline yet.
    """

    baseline: str
    differences: tuple[PairedDifference, ...]
    run_ids: dict[tuple[str, str], str | None]
    missing: tuple[tuple[str, str], ...]


def paired_view(record: StudyRecord, baseline: str | None = None) -> PairedView:
    """Compare the methods of a study with one of them, finished or not.

    Args:
      record: the study.
      baseline: None for plain fine-tuning, or the first method of a study without it.

    Raises:
      DashboardError: the study has no such method.
    """
    chosen = baseline or (BASELINE if BASELINE in record.methods else record.methods[0])
    differences = paired_differences(record, chosen)
    found = {(each.target, each.method) for each in differences}
    pairs = [(cell.target, cell.method) for cell in record.cells if cell.method != chosen]
    return PairedView(
        baseline=chosen,
        differences=differences,
        run_ids={(cell.target, cell.method): cell.run_id for cell in record.cells},
        missing=tuple(pair for pair in pairs if pair not in found),
    )


def paired_table(view: PairedView) -> ViewTable:
    """List the differences in percentage points."""
    return ViewTable(
        caption=f"Test score minus that of {view.baseline} in percentage points, refits of the same seed with each "
        "other; ± is half of the 95% interval of the mean difference; bold: the interval leaves out 0.",
        head=("target", "method", "seeds", "difference"),
        rows=tuple(_row(view, each) for each in view.differences),
    )


def _row(view: PairedView, each: PairedDifference) -> tuple[TableCell, ...]:
    run_id = view.run_ids.get((each.target, each.method))
    return (
        *words(each.target, each.method),
        TableCell(str(each.num_seeds), is_number=True),
        TableCell(signed(each), run_id, is_number=True, is_best=is_clear(each)),
    )


def signed(each: PairedDifference) -> str:
    """Write a difference with its sign and its interval.

    >>> signed(PairedDifference("birds", "uot", 2, 0.021, 0.013))
    '+2.1 ± 1.3'
    """
    interval = f" ± {100 * each.ci95:.1f}" if math.isfinite(each.ci95) else ""
    return f"{100 * each.mean:+.1f}{interval}"


def is_clear(each: PairedDifference) -> bool:
    """Say whether the interval leaves out 0."""
    return math.isfinite(each.ci95) and abs(each.mean) > each.ci95


def paired_figure(view: PairedView) -> str:
    """Draw the differences with their intervals as SVG; empty words where there are none."""
    shown = view.differences[:MAX_ROWS_DRAWN]
    if not shown:
        return ""
    canvas = Canvas(_WIDTH, _TOP + _ROW * len(shown) + _BOTTOM)
    labels = [cut(f"{each.target} · {each.method}", MAX_NAME_LENGTH) for each in shown]
    across = _scale(shown, 10 + max(map(text_width, labels)))
    bottom = _TOP + _ROW * len(shown)
    for tick in round_ticks(across.low, across.high, at_most=5):
        canvas.line([(across(tick), _TOP), (across(tick), bottom + 3)], width=0.6, opacity=0.6 if tick == 0 else 0.15)
        canvas.text(across(tick), bottom + 13, f"{tick:+g}" if tick else "0", anchor="middle")
    for number, (each, label) in enumerate(zip(shown, labels, strict=True)):
        _draw(canvas, each, label, across, _TOP + _ROW * (number + 0.5))
    told = f"percentage points beside {view.baseline}, 95% interval"
    canvas.text(across.end, bottom + 26, told, anchor="end", opacity=0.8)
    return canvas.write(title=f"Test score minus that of {view.baseline}", alternative=_in_words(view))


def _scale(shown: tuple[PairedDifference, ...], left: float) -> Scale:
    """Cover 0, every mean, and the intervals as far as they reach no further than three times the widest difference."""
    limit = max(1.0, 300 * max(abs(each.mean) for each in shown))
    reach = [100 * each.ci95 if math.isfinite(each.ci95) else 0.0 for each in shown]
    ends = [100 * each.mean + sign * far for each, far in zip(shown, reach, strict=True) for sign in (-1, 1)]
    low, high = max(-limit, min(0.0, *ends)), min(limit, max(0.0, *ends))
    room = 0.05 * (high - low) or 1.0
    return Scale(low - room, high + room, left, _WIDTH - 10)


def _draw(canvas: Canvas, each: PairedDifference, label: str, across: Scale, y: float) -> None:
    color = ACCENT if is_clear(each) else INK
    canvas.text(across.start - 6, y + 3, label, anchor="end", bold=each.target == AVERAGE)
    if math.isfinite(each.ci95):
        ends = [100 * (each.mean - each.ci95), 100 * (each.mean + each.ci95)]
        inside = [(across(min(max(end, across.low), across.high)), y) for end in ends]
        canvas.line(inside, color=color, width=1.4, opacity=1.0 if is_clear(each) else 0.6)
    canvas.dot(across(100 * each.mean), y, color=color)


def _in_words(view: PairedView) -> str:
    parts = [f"{each.target}, {each.method} {signed(each)} over {each.num_seeds} seeds" for each in view.differences]
    return "; ".join(parts) + "."
