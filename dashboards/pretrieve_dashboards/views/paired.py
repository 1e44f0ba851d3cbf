"""Differences between the test scores of methods, seed by seed, so that the effect of the seed cancels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pretrieve.records import StudyRecord
from pretrieve_dashboards.differences import PairedDifference, paired_differences
from pretrieve_dashboards.svg_canvas import ACCENT, INK, Canvas, Scale, cut, draw_columns, padded, text_width
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View
from pretrieve_dashboards.wording import AVERAGE

BASELINE = "finetune"
MAX_NAME_LENGTH = 30
MAX_ROWS_DRAWN = 80
NUM_NAMED = 5

_WIDTH, _ROW, _TOP, _BOTTOM = 460.0, 13.0, 6.0, 30.0


class Paired(View):
    """The difference of each method to plain fine-tuning, or to the first method if the study has no fine-tuning."""

    name = "paired"
    id = "differences"
    title = "What each method adds"
    link = "Differences"
    order = 20

    def applies(self, record: StudyRecord) -> bool:
        return len(record.methods) > 1 and bool(paired_differences(record, baseline_of(record)))

    def heading(self, record: StudyRecord) -> str:
        return f"{self.title} to {baseline_of(record)}"

    def table(self, record: StudyRecord) -> Table:
        baseline = baseline_of(record)
        runs = {(cell.target, cell.method): cell.run_id for cell in record.cells}
        return Table(
            f"Differences to {baseline}, as a table",
            f"Test score minus that of {baseline} in percentage points, refits of the same seed with each other; ± is "
            "half of the 95% interval of the mean difference; fewer than three differences are listed; bold: the "
            "interval leaves out 0.",
            ("target", "method", "seeds", "difference"),
            [
                row(
                    *each[:2],
                    numeric(each.num_seeds),
                    numeric(signed(each), runs.get(each[:2]), is_best=is_clear(each)),
                )
                for each in paired_differences(record, baseline)
            ],
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        baseline = baseline_of(record)
        svg = paired_figure(paired_differences(record, baseline), baseline)
        return (Figure(svg, size="mid", label=f"Differences to {baseline}, drawn"),)

    def note(self, record: StudyRecord) -> str:
        pairs = unpaired(record)
        more = f" and {len(pairs) - NUM_NAMED} more" if len(pairs) > NUM_NAMED else ""
        return f"No seed in common yet: {', '.join(pairs[:NUM_NAMED])}{more}." if pairs else ""


def baseline_of(record: StudyRecord) -> str:
    """Return the method that the others are compared with."""
    return BASELINE if BASELINE in record.methods else record.methods[0]


def unpaired(record: StudyRecord) -> list[str]:
    """Return the cells that have no seed in common with the baseline yet."""
    baseline = baseline_of(record)
    found = {each[:2] for each in paired_differences(record, baseline)}
    pairs = [(cell.target, cell.method) for cell in record.cells if cell.method != baseline]
    return [f"{target} · {method}" for target, method in pairs if (target, method) not in found]


def signed(each: PairedDifference) -> str:
    """Write a difference in percentage points with its sign and its interval; below three seeds each difference.

    >>> signed(PairedDifference("birds", "uot", 3, 0.021, 0.013))
    '+2.1 ± 1.3'
    >>> signed(PairedDifference("birds", "uot", 2, 0.021, math.nan, (0.019, 0.023)))
    '+1.9, +2.3'
    """
    if math.isfinite(each.ci95):
        return f"{100 * each.mean:+.1f} ± {100 * each.ci95:.1f}"
    return ", ".join(f"{100 * value:+.1f}" for value in each.values or (each.mean,))


def is_clear(each: PairedDifference) -> bool:
    """Return whether the interval excludes 0."""
    return math.isfinite(each.ci95) and abs(each.mean) > each.ci95


def paired_figure(differences: Sequence[PairedDifference], baseline: str) -> str:
    """Draw at least one difference, with intervals, as SVG."""
    shown = differences[:MAX_ROWS_DRAWN]
    canvas = Canvas(_WIDTH, _TOP + _ROW * len(shown) + _BOTTOM)
    labels = [cut(f"{each.target} · {each.method}", MAX_NAME_LENGTH) for each in shown]
    across = _scale(shown, 10 + max(map(text_width, labels)))
    bottom = _TOP + _ROW * len(shown)
    ticks = {tick: f"{tick:+g}" if tick else "0" for tick in across.ticks()}
    draw_columns(canvas, across, ticks, _TOP, bottom)
    for number, (each, name) in enumerate(zip(shown, labels, strict=True)):
        y, color = _TOP + _ROW * (number + 0.5), ACCENT if is_clear(each) else INK
        canvas.text(across.start - 6, y + 3, name, anchor="end", bold=each.target == AVERAGE)
        if math.isfinite(each.ci95):
            ends = [across(across.clamp(100 * (each.mean + sign * each.ci95))) for sign in (-1, 1)]
            canvas.line([(end, y) for end in ends], color=color, width=1.4, opacity=1.0 if is_clear(each) else 0.6)
        canvas.dot(across(100 * each.mean), y, color=color)
    label = f"percentage points beside {baseline}, 95% interval"
    canvas.text(across.end, bottom + 26, label, anchor="end", opacity=0.8)
    parts = [f"{each.target}, {each.method} {signed(each)} over {each.num_seeds} seeds" for each in differences]
    return canvas.write(title=f"Test score minus that of {baseline}", alternative="; ".join(parts) + ".")


def _scale(shown: Sequence[PairedDifference], left: float) -> Scale:
    """Cover 0, every mean, and the intervals up to three times the largest difference."""
    limit = max(1.0, 300 * max(abs(each.mean) for each in shown))
    reach = [100 * each.ci95 if math.isfinite(each.ci95) else 0.0 for each in shown]
    ends = [100 * each.mean + sign * far for each, far in zip(shown, reach, strict=True) for sign in (-1, 1)]
    return Scale(*padded([max(-limit, min(0.0, *ends)), min(limit, max(0.0, *ends))]), left, _WIDTH - 10)
