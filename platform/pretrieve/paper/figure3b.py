"""Figure 3b: how many groups of the source to reuse."""

from __future__ import annotations

from collections.abc import Mapping

from pretrieve.paper._base import (
    FIXED_HEAD_RATIO,
    MINI_STUDY,
    SMALL_SCALE,
    THREE_REFITS,
    Experiment,
    Results,
    Series,
    StudyPoint,
    by,
    on,
)
from pretrieve.paper.tables_1_to_3 import PUBLISHED_1A
from pretrieve_dashboards import (
    Comparison,
    Curve,
    Drawing,
    Findings,
    Level,
    Published,
    Value,
    draw_curves,
    row_name,
    series_values,
    targets_of,
)

FULL_NUMBERS = (50, 100, 150, 200, 250, 300)
MINI_NUMBERS = (20, 40, 80)
METHODS = ("random", "uot")
LABEL = "by label"

PUBLISHED = Published(
    "section 4.2 and Table 1 (a), which print these; the curves themselves are printed without numbers",
    {
        (row_name("cub", "label"), LABEL): 76.89,
        (row_name("stanford_dogs", "label"), LABEL): 85.05,
        **{
            (row_name(target, method), "100"): PUBLISHED_1A.values[method, target]
            for target in ("cub", "caltech101")
            for method in METHODS
        },
    },
)


def find(results: Results) -> Findings:
    """Make the table and curves of scores by number of groups, with the selection by label as a line."""
    series = {point: record for point, record in results.records.items() if point != LABEL}
    targets = targets_of(series)
    scores = _labels_apart(series_values(results.records))
    rows = tuple(row_name(target, method) for target in targets for method in METHODS)
    label_rows = tuple(row for row, column in scores if column == LABEL)
    drawings = tuple(Drawing(f"{target}: test score.", _draw(target, tuple(series), scores)) for target in targets)
    title = "Test score by number of reused groups"
    columns = (*series, LABEL)
    return Findings((Comparison(title, "target · method", rows + label_rows, columns, scores, PUBLISHED),), drawings)


def _labels_apart(scores: Mapping[tuple[str, str], Value]) -> dict[tuple[str, str], Value]:
    """Move the scores of the method `label` into a column of their own: they belong to no number of groups."""
    is_label = {row: row.endswith(row_name("", "label")) for row, _ in scores}
    return {(row, LABEL if is_label[row] else point): value for (row, point), value in scores.items()}


def _draw(target: str, points: tuple[str, ...], scores: Mapping[tuple[str, str], Value]) -> str:
    curves = [
        Curve(method, tuple(scores.get((row_name(target, method), point)) for point in points)) for method in METHODS
    ]
    label = scores.get((row_name(target, "label"), LABEL))
    return draw_curves(
        f"Test score on {target} by number of groups",
        [float(point) for point in points],
        curves,
        [] if label is None else [Level("label", label)],
        x_label="reused groups",
        y_label="test score in %",
    )


def _mini(number: int) -> StudyPoint:
    """Make a point; the last one, whose top_k is large enough for all labelled groups, also selects by label."""
    words = (on("greek", "symbols"), f"selection.top_k={number}")
    if number < MINI_NUMBERS[-1]:
        return StudyPoint(f"{number}", MINI_STUDY, (*words, by(*METHODS)))
    groups = "selection.label_groups={greek: greek_letters.txt, symbols: named_symbols.txt}"
    return StudyPoint(f"{number}", MINI_STUDY, (*words, by(*METHODS, "label"), groups))


FIGURE3B = Experiment(
    name="figure3b",
    place="Figure 3b",
    question="How many groups of the source should be reused, and is a person's choice by label better?",
    full=Series(
        studies=(
            *(StudyPoint(f"{number}", "figure3b.yaml", (f"selection.top_k={number}",)) for number in FULL_NUMBERS),
            StudyPoint(LABEL, "figure3b_label.yaml"),
        ),
        deviations=(FIXED_HEAD_RATIO, THREE_REFITS),
    ),
    mini=Series(
        studies=tuple(_mini(number) for number in MINI_NUMBERS),
        deviations=(
            *SMALL_SCALE,
            "20 to 80 of 221 groups in place of 50 to 300 of 1000",
            "by label, 19 Greek letters for greek, and the 24 of the same name for symbols",
        ),
    ),
    find=find,
)
