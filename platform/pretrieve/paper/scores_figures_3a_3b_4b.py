"""Figures 3a, 3b and 4b: published and own test scores, by part of the training images, number of groups or source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pretrieve.paper.experiment import (
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
    one_study,
)
from pretrieve.paper.scores_tables_1_to_3 import PUBLISHED_1A
from pretrieve.records import StudyRecord
from pretrieve_dashboards import (
    Comparison,
    Curve,
    Drawing,
    Findings,
    Level,
    Published,
    Value,
    draw_curves,
    gap_name,
    gap_values,
    method_values,
    row_name,
    series_values,
    targets_of,
)


def _curve(label: str, row: str, columns: Sequence[str], values: Mapping[tuple[str, str], Value]) -> Curve:
    return Curve(label, tuple(values.get((row, column)) for column in columns))


def _draw_scores(
    target: str, what: str, xs: Sequence[float], curves: Sequence[Curve], x_label: str, level: Level | None = None
) -> Drawing:
    levels = [] if level is None else [level]
    title = f"Test score on {target}{what}"
    svg = draw_curves(title, xs, curves, levels, x_label=x_label, y_label="test score in %")
    return Drawing(f"{target}: test score.", svg)


FRACTIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
PARTS = tuple(f"{fraction:.0%}" for fraction in FRACTIONS)
POINT = "all parts"

PUBLISHED_3A = Published(
    "Table 1 (a), which prints the scores with all images; the curves themselves are printed without numbers",
    {
        (row_name(target, method), "100%"): PUBLISHED_1A.values[method, target]
        for target in ("cub", "caltech101")
        for method in ("finetune", "random", "uot")
    },
)


def _find_3a(results: Results) -> Findings:
    scores: dict[tuple[str, str], Value] = {}
    gaps: dict[tuple[str, str], Value] = {}
    parts: dict[str, tuple[str, str]] = {}
    methods: tuple[str, ...] = ()
    if POINT in results.records:
        record = results.records[POINT]
        parts, methods = _parts_of(record), record.methods
        values, ahead = method_values(record), gap_values({"": record}, "uot", "finetune")
        for target, (name, part) in parts.items():
            scores |= {
                (row_name(name, each), part): values[each, target] for each in methods if (each, target) in values
            }
            if (gap_name(target, "uot", "finetune"), "") in ahead:
                gaps[gap_name(name, "uot", "finetune"), part] = ahead[gap_name(target, "uot", "finetune"), ""]
    sets = tuple(dict.fromkeys(name for name, _ in parts.values()))
    rows = tuple(row_name(name, method) for name in sets for method in methods)
    gap_rows = tuple(gap_name(name, "uot", "finetune") for name in sets)
    title = "Test score by part of the training images"
    comparison = Comparison(title, "target · method", rows, PARTS, scores, PUBLISHED_3A)
    differences = Comparison("How far UOT is ahead, seed by seed", "target · gap", gap_rows, PARTS, gaps)
    drawings = []
    percents, x_label = [100 * fraction for fraction in FRACTIONS], "training images used, in %"
    for name in sets:
        curves = [_curve(method, row_name(name, method), PARTS, scores) for method in methods]
        drawings.append(_draw_scores(name, "", percents, curves, x_label))
        gap = _curve("uot − finetune", gap_name(name, "uot", "finetune"), PARTS, gaps)
        svg = draw_curves(f"Gap on {name}", percents, [gap], x_label=x_label, y_label="points of %")
        drawings.append(Drawing(f"{name}: how far UOT is ahead.", svg))
    return Findings((comparison, differences), tuple(drawings))


def _parts_of(record: StudyRecord) -> dict[str, tuple[str, str]]:
    """Return the image set and the part of it that each target of the study is."""
    targets: Any = record.settings["targets"]
    parts = {}
    for target in targets:
        name = str(target["published"] or target["registered"])
        parts[target["name"] or name] = (name, f"{target['regime']['fraction'] or 1.0:.0%}")
    return parts


def _parts_3a(*sets: str) -> str:
    """Return the override that makes each part of each set a target; the whole set keeps its own name."""
    items = [
        f"{{registered: {name}, name: {name}-{fraction * 100:.0f}, regime: {{fraction: {fraction:g}}}}}"
        for name in sets
        for fraction in FRACTIONS[:-1]
    ]
    return f"targets=[{', '.join([*items, *(f'{{registered: {name}}}' for name in sets)])}]"


_MINI_3A = (_parts_3a("greek", "symbols"), by("finetune", "uot"), "selection.source_fraction=as_target")

FIGURE3A = Experiment(
    name="figure3a",
    place="Figure 3a",
    question="Does reusing pre-training data help more, the fewer training images there are?",
    full=Series(one_study(POINT, "figure3a.yaml"), deviations=(THREE_REFITS,)),
    mini=Series(
        one_study(POINT, MINI_STUDY, *_MINI_3A),
        deviations=(*SMALL_SCALE, "a fifth of the images are two a class, one of them for validation"),
    ),
    find=_find_3a,
)

NUMBERS = (50, 100, 150, 200, 250, 300)
METHODS_3B = ("random", "uot")
BY_LABEL = "by label"

PUBLISHED_3B = Published(
    "section 4.2 and Table 1 (a), which print these; the curves themselves are printed without numbers",
    {
        (row_name("cub", "label"), BY_LABEL): 76.89,
        (row_name("stanford_dogs", "label"), BY_LABEL): 85.05,
        **{
            (row_name(target, method), "100"): PUBLISHED_1A.values[method, target]
            for target in ("cub", "caltech101")
            for method in METHODS_3B
        },
    },
)


def _find_3b(results: Results) -> Findings:
    series = {point: record for point, record in results.records.items() if point != BY_LABEL}
    targets, points = targets_of(series), tuple(series)
    # The scores of the method `label` belong to no number of groups, so they have a column of their own.
    scores = {
        (row, BY_LABEL if row.endswith(row_name("", "label")) else point): value
        for (row, point), value in series_values(results.records).items()
    }
    rows = tuple(row_name(target, method) for target in targets for method in METHODS_3B)
    rows += tuple(row for row, column in scores if column == BY_LABEL)
    drawings = []
    for target in targets:
        label = scores.get((row_name(target, "label"), BY_LABEL))
        level = None if label is None else Level("label", label)
        curves = [_curve(method, row_name(target, method), points, scores) for method in METHODS_3B]
        xs = [float(point) for point in points]
        drawings.append(_draw_scores(target, " by number of groups", xs, curves, "reused groups", level))
    title, columns = "Test score by number of reused groups", (*points, BY_LABEL)
    comparison = Comparison(title, "target · method", rows, columns, scores, PUBLISHED_3B)
    return Findings((comparison,), tuple(drawings))


_MINI_LABELS = (
    by(*METHODS_3B, "label"),
    "selection.label_groups={greek: greek_letters.txt, symbols: named_symbols.txt}",
)
"""Only the largest top_k is enough for all labelled groups."""

FIGURE3B = Experiment(
    name="figure3b",
    place="Figure 3b",
    question="How many groups of the source should be reused, and is a person's choice by label better?",
    full=Series(
        studies=(
            *(StudyPoint(f"{number}", "figure3b.yaml", (f"selection.top_k={number}",)) for number in NUMBERS),
            StudyPoint(BY_LABEL, "figure3b_label.yaml"),
        ),
        deviations=(FIXED_HEAD_RATIO, THREE_REFITS),
    ),
    mini=Series(
        studies=tuple(
            StudyPoint(f"{number}", MINI_STUDY, (on("greek", "symbols"), f"selection.top_k={number}", *overrides))
            for number, overrides in ((20, (by(*METHODS_3B),)), (40, (by(*METHODS_3B),)), (80, _MINI_LABELS))
        ),
        deviations=(
            *SMALL_SCALE,
            "20 to 80 of 221 groups in place of 50 to 300 of 1000",
            "by label, 19 Greek letters for greek, and the 24 of the same name for symbols",
        ),
    ),
    find=_find_3b,
)

FIRST = "1"
"""The most similar part; its study also trains the baseline, which reuses no part."""

PUBLISHED_4B = Published(
    "Table 1 (a), which prints fine-tuning and, as its 100 classes are the first tenth, UOT there; the rest of the "
    "figure is printed without numbers",
    {
        (row_name(target, method), FIRST): PUBLISHED_1A.values[method, target]
        for method in ("finetune", "uot")
        for target in ("cub", "caltech101")
    },
)


def _find_4b(results: Results) -> Findings:
    scores = series_values(results.records)
    targets, parts = targets_of(results.records), tuple(results.records)
    rows = tuple(row_name(target, method) for target in targets for method in ("finetune", "uot"))
    drawings = []
    for target in targets:
        baseline = scores.get((row_name(target, "finetune"), FIRST))
        level = None if baseline is None else Level("finetune", baseline)
        curves, xs = [_curve("uot", row_name(target, "uot"), parts, scores)], [float(part) for part in parts]
        x_label = "part of the source, 1 the most similar"
        drawings.append(_draw_scores(target, " by part of the ranked source", xs, curves, x_label, level))
    title = "Test score by part of the ranked source (fine-tuning reuses none)"
    return Findings((Comparison(title, "target · method", rows, parts, scores, PUBLISHED_4B),), tuple(drawings))


def _parts_4b(file: str, *, num_parts: int, size: int, overrides: tuple[str, ...] = ()) -> tuple[StudyPoint, ...]:
    return tuple(
        StudyPoint(
            f"{index + 1}",
            file,
            (
                *overrides,
                by("uot") if index else by("finetune", "uot"),
                f"selection.top_k={size}",
                f"selection.rank_from={index * size}",
            ),
        )
        for index in range(num_parts)
    )


FIGURE4B = Experiment(
    name="figure4b",
    place="Figure 4b",
    question="Does reusing dissimilar pre-training data hurt?",
    full=Series(
        studies=_parts_4b("figure4b.yaml", num_parts=10, size=100), deviations=(FIXED_HEAD_RATIO, THREE_REFITS)
    ),
    mini=Series(
        studies=_parts_4b(MINI_STUDY, num_parts=5, size=44, overrides=(on("greek", "symbols"),)),
        deviations=(*SMALL_SCALE, "fifths of 44 characters in place of tenths of 100 classes; one of 221 is in none"),
    ),
    find=_find_4b,
)
