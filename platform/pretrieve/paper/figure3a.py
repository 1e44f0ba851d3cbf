"""Figure 3a: scores with a part of the target's training images, and the lead of reuse over fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pretrieve.paper._base import MINI_STUDY, SMALL_SCALE, THREE_REFITS, Experiment, Results, Series, StudyPoint, by
from pretrieve.paper.tables_1_to_3 import PUBLISHED_1A
from pretrieve.records import StudyRecord
from pretrieve_dashboards import (
    Comparison,
    Curve,
    Drawing,
    Findings,
    Published,
    Value,
    draw_curves,
    gap_name,
    gap_values,
    method_values,
    row_name,
)

FRACTIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
PARTS = tuple(f"{fraction:.0%}" for fraction in FRACTIONS)
POINT = "all parts"

PUBLISHED = Published(
    "Table 1 (a), which prints the scores with all images; the curves themselves are printed without numbers",
    {
        (row_name(target, method), "100%"): PUBLISHED_1A.values[method, target]
        for target in ("cub", "caltech101")
        for method in ("finetune", "random", "uot")
    },
)


def find(results: Results) -> Findings:
    """Make the tables and curves of scores and gaps by part of the training images."""
    record = results.records.get(POINT)
    scores = {} if record is None else _scores(record)
    gaps = {} if record is None else _gaps(record)
    sets = () if record is None else tuple(dict.fromkeys(name for name, _ in parts_of(record).values()))
    methods = () if record is None else record.methods
    rows = tuple(row_name(name, method) for name in sets for method in methods)
    gap_rows = tuple(gap_name(name, "uot", "finetune") for name in sets)
    return Findings(
        (
            Comparison("Test score by part of the training images", "target · method", rows, PARTS, scores, PUBLISHED),
            Comparison("How far UOT is ahead, seed by seed", "target · gap", gap_rows, PARTS, gaps),
        ),
        tuple(drawing for name in sets for drawing in _draw_both(name, methods, scores, gaps)),
    )


def parts_of(record: StudyRecord) -> dict[str, tuple[str, str]]:
    """Return the image set and the part of it that each target of the study is."""
    targets: Any = record.settings["targets"]
    parts = {}
    for target in targets:
        name = str(target["published"] or target["registered"])
        parts[target["name"] or name] = (name, f"{target['regime']['fraction'] or 1.0:.0%}")
    return parts


def _scores(record: StudyRecord) -> dict[tuple[str, str], Value]:
    parts = parts_of(record)
    return {
        (row_name(parts[target][0], method), parts[target][1]): value
        for (method, target), value in method_values(record).items()
        if target in parts  # leaves the average over the targets out
    }


def _gaps(record: StudyRecord) -> dict[tuple[str, str], Value]:
    values = gap_values({"": record}, "uot", "finetune")
    return {
        (gap_name(name, "uot", "finetune"), part): values[gap_name(target, "uot", "finetune"), ""]
        for target, (name, part) in parts_of(record).items()
        if (gap_name(target, "uot", "finetune"), "") in values
    }


def _draw_both(
    name: str, methods: tuple[str, ...], scores: Mapping[tuple[str, str], Value], gaps: Mapping[tuple[str, str], Value]
) -> tuple[Drawing, Drawing]:
    lines = [Curve(method, tuple(scores.get((row_name(name, method), part)) for part in PARTS)) for method in methods]
    gap = Curve("uot − finetune", tuple(gaps.get((gap_name(name, "uot", "finetune"), part)) for part in PARTS))
    return (
        Drawing(f"{name}: test score.", _draw(f"Test score on {name}", lines, "test score in %")),
        Drawing(f"{name}: how far UOT is ahead.", _draw(f"Gap on {name}", [gap], "points of %")),
    )


def _draw(title: str, curves: list[Curve], y_label: str) -> str:
    percents = [100 * fraction for fraction in FRACTIONS]
    return draw_curves(title, percents, curves, x_label="training images used, in %", y_label=y_label)


def _parts(*sets: str) -> str:
    """Return the override that makes each part of each set a target; the whole set keeps its own name."""
    items = [
        f"{{registered: {name}, name: {name}-{fraction * 100:.0f}, regime: {{fraction: {fraction:g}}}}}"
        for name in sets
        for fraction in FRACTIONS[:-1]
    ]
    return f"targets=[{', '.join([*items, *(f'{{registered: {name}}}' for name in sets)])}]"


FIGURE3A = Experiment(
    name="figure3a",
    place="Figure 3a",
    question="Does reusing pre-training data help more, the fewer training images there are?",
    full=Series(studies=(StudyPoint(POINT, "figure3a.yaml"),), deviations=(THREE_REFITS,)),
    mini=Series(
        studies=(
            StudyPoint(
                POINT,
                MINI_STUDY,
                (_parts("greek", "symbols"), by("finetune", "uot"), "selection.source_fraction=as_target"),
            ),
        ),
        deviations=(*SMALL_SCALE, "a fifth of the images are two a class, one of them for validation"),
    ),
    find=find,
)
