"""Figure 4b: reuse of each tenth of the source, from the most to the least similar."""

from __future__ import annotations

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
    draw_curves,
    row_name,
    series_values,
    targets_of,
)

FIRST = "1"
"""The most similar part; its study also trains the baseline, which reuses no part."""

PUBLISHED = Published(
    "Table 1 (a), which prints fine-tuning and, as its 100 classes are the first tenth, UOT there; the rest of the "
    "figure is printed without numbers",
    {
        (row_name(target, method), FIRST): PUBLISHED_1A.values[method, target]
        for method in ("finetune", "uot")
        for target in ("cub", "caltech101")
    },
)


def find(results: Results) -> Findings:
    """Make the table and curves of scores by part of the ranking, with fine-tuning as a line."""
    scores = series_values(results.records)
    targets, parts = targets_of(results.records), tuple(results.records)
    rows = tuple(row_name(target, method) for target in targets for method in ("finetune", "uot"))
    drawings = []
    for target in targets:
        curve = Curve("uot", tuple(scores.get((row_name(target, "uot"), part)) for part in parts))
        baseline = scores.get((row_name(target, "finetune"), FIRST))
        svg = draw_curves(
            f"Test score on {target} by part of the ranked source",
            [float(part) for part in parts],
            [curve],
            [] if baseline is None else [Level("finetune", baseline)],
            x_label="part of the source, 1 the most similar",
            y_label="test score in %",
        )
        drawings.append(Drawing(f"{target}: test score.", svg))
    title = "Test score by part of the ranked source (fine-tuning reuses none)"
    return Findings((Comparison(title, "target · method", rows, parts, scores, PUBLISHED),), tuple(drawings))


def _parts(file: str, *, num_parts: int, size: int, overrides: tuple[str, ...] = ()) -> tuple[StudyPoint, ...]:
    return tuple(
        StudyPoint(
            f"{place + 1}",
            file,
            (
                *overrides,
                by("uot") if place else by("finetune", "uot"),
                f"selection.top_k={size}",
                f"selection.rank_from={place * size}",
            ),
        )
        for place in range(num_parts)
    )


FIGURE4B = Experiment(
    name="figure4b",
    place="Figure 4b",
    question="Does reusing dissimilar pre-training data hurt?",
    full=Series(studies=_parts("figure4b.yaml", num_parts=10, size=100), deviations=(FIXED_HEAD_RATIO, THREE_REFITS)),
    mini=Series(
        studies=_parts(MINI_STUDY, num_parts=5, size=44, overrides=(on("greek", "symbols"),)),
        deviations=(*SMALL_SCALE, "fifths of 44 characters in place of tenths of 100 classes; one of 221 is in none"),
    ),
    find=find,
)
