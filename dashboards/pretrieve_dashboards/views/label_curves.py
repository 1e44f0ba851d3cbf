"""More labels, or reuse: what the last labels gave the linear probe, beside what reuse gives."""

from __future__ import annotations

from collections.abc import Sequence

from pretrieve.records import ContrastVerdict, LabelCurve, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import Canvas, Legend, Scale, color_of, cut, draw_axes, padded
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View
from pretrieve_dashboards.views.verdict import interval, primary_contrasts

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _NAME_LENGTH = 340.0, 170.0, 30.0, 28.0, 30


class MoreLabels(View):
    """One row per target, and one curve: the probe's score with a quarter, half and all of the labelled images."""

    name = "label_curves"
    id = "labels"
    title = "More labels, or reuse?"
    link = "More labels?"
    order = 7

    def applies(self, record: StudyRecord) -> bool:
        return bool(record.label_curves)

    def text(self, record: StudyRecord) -> str:
        return " ".join(sentence(curve, _reuse(record, curve.target)) for curve in record.label_curves)

    def table(self, record: StudyRecord) -> Table:
        repeats = wording.count(max(curve.num_repeats for curve in record.label_curves), "repeat")
        return Table(
            "The linear probe with fewer labels",
            f"Mean test score in % over {repeats}, with a quarter and half of each class's labelled images, and all. "
            "Last gain: all minus half, in points. Reuse: the first contrast of the study on this target.",
            ("target", "labelled images", "a quarter", "half", "all", "last gain", "reuse"),
            [
                row(
                    curve.target,
                    numeric(" → ".join(f"{number:,}" for number in curve.num_images)),
                    *(numeric(wording.percent(score)) for score in curve.scores),
                    numeric(_gain(curve)),
                    _reuse_in_words(_reuse(record, curve.target)),
                )
                for curve in record.label_curves
            ],
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        return (Figure(curves_figure(record.label_curves), "Score of the linear probe by the share of the labels."),)


def sentence(curve: LabelCurve, reuse: ContrastVerdict | None) -> str:
    """Say what the last labels gave, beside what reuse gives where the study says it."""
    *_, before, everything = curve.num_images
    said = (
        f"On {curve.target}, {everything:,} labelled images in place of {before:,} gave the probe {_gain(curve)} points"
    )
    return f"{said}." if reuse is None else f"{said}; {_reuse_in_words(reuse)}."


def _gain(curve: LabelCurve) -> str:
    half_width = "" if curve.last_gain_ci95 is None else f" ± {100 * curve.last_gain_ci95:.1f}"
    return f"{100 * curve.last_gain:+.1f}{half_width}"


def _reuse(record: StudyRecord, target: str) -> ContrastVerdict | None:
    primary = primary_contrasts(record)
    if not primary or record.verdict is None:
        return None
    pair, is_only = (primary[0].first, primary[0].second), len(record.targets) == 1
    found = [each for each in record.verdict.contrasts if (each.first, each.second) == pair]
    return next((each for each in found if each.target == target or (is_only and each.target is None)), None)


def _reuse_in_words(reuse: ContrastVerdict | None) -> str:
    if reuse is None:
        return wording.ABSENT
    return f"{reuse.first} − {reuse.second}: {100 * reuse.mean:+.1f} ({interval(reuse)})"


def curves_figure(curves: Sequence[LabelCurve]) -> str:
    """Draw a line per target over the share of its labels as SVG; the text alternative lists the scores."""
    names = [cut(curve.target, _NAME_LENGTH) for curve in curves]
    legend = Legend(names, _WIDTH)
    top = legend.height + 6
    canvas = Canvas(_WIDTH, _HEIGHT + top)
    low, high = padded([100 * score for curve in curves for score in curve.scores], at_least=1.0)
    across = Scale(0.0, 100.0, _LEFT, _WIDTH - 14)
    up = Scale(max(0.0, low), min(100.0, high), top + _HEIGHT - _BOTTOM, top)
    shares = {0.0: "0", 25.0: "25", 50.0: "50", 100.0: "100"}
    draw_axes(canvas, across, up, x_ticks=shares, y_ticks=up.ticks(4), label="% of the labels; test score in %")
    for index, curve in enumerate(curves):
        points = [
            (across(100 * number / curve.num_images[-1]), up(100 * score))
            for number, score in zip(curve.num_images, curve.scores, strict=True)
        ]
        canvas.line(points, color=color_of(index), width=1.4)
        for x, y in points:
            canvas.mark(x, y, index)
    legend.draw(canvas, canvas.mark)
    said = [
        f"{curve.target}: "
        + ", ".join(
            f"{wording.percent(score)} % with {number:,}"
            for number, score in zip(curve.num_images, curve.scores, strict=True)
        )
        for curve in curves
    ]
    return canvas.write(title="Score of the linear probe by the number of labels", alternative="; ".join(said) + ".")
