"""Tables 1 to 3: published and own test scores, by target and by method (1 and 3) or number of clusters (2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pretrieve.paper.experiment import (
    FIXED_HEAD_RATIO,
    MINI_STUDY,
    SMALL_SCALE,
    THREE_REFITS,
    WEAK_NETWORK,
    WEAK_SCALE,
    Experiment,
    Results,
    Series,
    StudyPoint,
    by,
    mini_clusters,
    on,
    one_study,
)
from pretrieve_dashboards import Findings, Published, Value, method_values, published_table, score_comparison

COLUMNS = ("stanford_dogs", "stanford_cars", "cub", "pets", "sun397", "aircraft", "dtd", "caltech101", "average")


def _find_scores(
    results: Results,
    *,
    title: str = "Test score",
    published: Published,
    heading: str = "method",
    row_of: Callable[[str, str], str] = lambda point, method: method,
) -> Findings:
    """Compare the scores of all studies with a published table; `row_of` names the row of a study and a method."""
    values: dict[tuple[str, str], Value] = {}
    for point, record in results.records.items():
        values |= method_values(record, row_of=partial(row_of, point))
    rows = tuple(results.records) if heading == "clusters" and results.records else published.rows
    return Findings((score_comparison(title, heading, values, published, rows=rows),))


PUBLISHED_1A = published_table(
    "Table 1 (a)",
    COLUMNS,
    {
        "finetune": (82.65, 85.87, 75.49, 91.40, 58.03, 77.62, 70.64, 90.11, 78.98),
        "co_tuning": (80.90, 86.48, 76.83, 89.92, 58.73, 79.07, 69.69, 93.08, 79.34),
        "random": (83.29, 86.52, 75.54, 91.58, 58.18, 78.10, 70.69, 90.64, 79.32),
        "greedy_ot": (84.63, 86.79, 76.92, 91.66, 58.70, 78.43, 70.90, 90.67, 79.84),
        "uot": (84.67, 87.03, 77.21, 91.98, 59.06, 78.94, 71.17, 91.11, 80.15),
    },
)

TABLE1A = Experiment(
    name="table1a",
    place="Table 1 (a)",
    question="Does reusing pre-training data beat fine-tuning and Co-Tuning, and by which selection, with labels?",
    full=Series(one_study("the study", "table1_supervised.yaml"), deviations=(THREE_REFITS,)),
    mini=Series(one_study("the study", MINI_STUDY), deviations=(*SMALL_SCALE, "three targets in place of eight")),
    find=partial(_find_scores, published=PUBLISHED_1A),
)

REUSING = ("random", "greedy_ot", "uot")
WITH_LABELS, WITHOUT_LABELS = "with labels", "without labels"


def _row_of(point: str, method: str) -> str:
    """Return the row of a method; fine-tuning uses no source, so both studies share its row."""
    return method if method == "finetune" else f"{method}, {point}"


PUBLISHED_1B = published_table(
    "Table 1 (b)",
    COLUMNS,
    {
        "finetune": (78.64, 91.05, 77.44, 90.44, 61.12, 87.25, 75.80, 92.82, 81.82),
        "random, with labels": (79.87, 90.85, 78.82, 91.48, 62.42, 88.60, 77.34, 93.26, 82.83),
        "greedy_ot, with labels": (79.43, 90.89, 78.63, 91.27, 62.27, 89.40, 76.81, 93.36, 82.76),
        "uot, with labels": (88.14, 90.89, 80.98, 93.05, 64.76, 89.28, 77.45, 93.45, 84.75),
        "random, without labels": (79.77, 90.93, 77.96, 90.70, 62.26, 89.17, 76.97, 92.72, 82.56),
        "greedy_ot, without labels": (81.16, 90.87, 78.63, 91.21, 63.41, 89.29, 77.29, 93.39, 83.16),
        "uot, without labels": (81.47, 90.91, 78.96, 90.39, 63.68, 89.59, 77.07, 93.27, 83.17),
    },
)

_WITHOUT_FINETUNE = by(*REUSING)
_MINI_1B = (*WEAK_NETWORK, on("digits", "greek"))

TABLE1B = Experiment(
    name="table1b",
    place="Table 1 (b)",
    question="Does reusing pre-training data help a self-supervised network, with and without the source's labels?",
    full=Series(
        studies=(
            StudyPoint(WITH_LABELS, "table1_self_supervised.yaml"),
            StudyPoint(WITHOUT_LABELS, "table1_clusters.yaml", (_WITHOUT_FINETUNE, "grid.head_lr_ratio=[10.0]")),
        ),
        deviations=(
            THREE_REFITS,
            "without labels the head ratio is 10: fine-tuning, with which it is settled, stands in the other study",
        ),
    ),
    mini=Series(
        studies=(
            StudyPoint(WITH_LABELS, MINI_STUDY, (*_MINI_1B, by("finetune", *REUSING))),
            StudyPoint(WITHOUT_LABELS, MINI_STUDY, (*_MINI_1B, _WITHOUT_FINETUNE, mini_clusters(400, 72))),
        ),
        deviations=(*SMALL_SCALE, *WEAK_SCALE, "two targets in place of eight", "72 of 400 clusters, not 200 of 2000"),
    ),
    find=partial(_find_scores, published=PUBLISHED_1B, row_of=_row_of),
)

PUBLISHED_2 = published_table(
    "Table 2",
    COLUMNS,
    {
        "K = 1000": (81.02, 90.86, 78.48, 90.55, 63.65, 89.16, 77.50, 93.09, 83.04),
        "K = 2000": (81.47, 90.91, 78.96, 90.39, 63.68, 89.59, 77.07, 93.27, 83.17),
    },
)


def _full_2(number: int) -> StudyPoint:
    overrides = (f"selection.num_clusters={number}", f"selection.top_k={number // 10}")
    return StudyPoint(f"K = {number}", "table2.yaml", overrides)


def _mini_2(number: int, top_k: int) -> StudyPoint:
    overrides = (*WEAK_NETWORK, on("digits", "greek"), by("uot"), mini_clusters(number, top_k))
    return StudyPoint(f"K = {number}", MINI_STUDY, overrides)


TABLE2 = Experiment(
    name="table2",
    place="Table 2",
    question="Do more clusters of a source without labels make a better selection?",
    full=Series(
        studies=(_full_2(1000), _full_2(2000)),
        deviations=(
            "a tenth of the clusters is selected for either K, so that as many images are; the paper does not say",
            FIXED_HEAD_RATIO,
            THREE_REFITS,
        ),
    ),
    mini=Series(
        studies=(_mini_2(200, 36), _mini_2(400, 72)),
        deviations=(*SMALL_SCALE, *WEAK_SCALE, "two targets in place of eight", "200 and 400 clusters"),
    ),
    find=partial(
        _find_scores,
        title="Test score of UOT on clusters",
        published=PUBLISHED_2,
        heading="clusters",
        row_of=lambda point, method: point,
    ),
)

PUBLISHED_3 = published_table(
    "Table 3", ("cub", "aircraft", "caltech101"), {"finetune": (52.73, 52.74, 73.96), "uot": (57.27, 53.96, 78.20)}
)

TABLE3 = Experiment(
    name="table3",
    place="Table 3",
    question="Does reusing pre-training data help more where the target's classes have a long tail?",
    full=Series(
        one_study("long tail", "table3.yaml"),
        deviations=(
            "the number of images is the largest that the smallest class allows; the paper does not say its own",
            THREE_REFITS,
        ),
    ),
    mini=Series(
        one_study(
            "long tail",
            MINI_STUDY,
            *(on("greek", "armenian", "symbols"), "targets.*.regime={long_tail: 5}", by("finetune", "uot")),
        ),
        deviations=(*SMALL_SCALE, "the largest class has 10 images and the smallest 2, a ratio of 5 in place of 10"),
    ),
    find=partial(_find_scores, title="Test score with a long tail", published=PUBLISHED_3),
)
