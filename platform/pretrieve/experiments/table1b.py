"""Table 1 (b): the same without a supervised network, the source with its labels and without."""

from __future__ import annotations

from functools import partial

from pretrieve.experiments._base import Experiment, Results, Series, StudyPoint
from pretrieve.experiments.minis import SMALL_SCALE, STUDY, WEAK_NETWORK, WEAK_SCALE, by, on
from pretrieve.experiments.table1a import TARGETS
from pretrieve_dashboards.comparison import Value, method_values, published_table, score_comparison
from pretrieve_dashboards.experiment import Findings
from pretrieve_dashboards.wording import AVERAGE

REUSING = ("random", "greedy_ot", "uot")
WITH_LABELS, WITHOUT_LABELS = "with labels", "without labels"


def row_of(method: str, point: str) -> str:
    """Name the row of a method: fine-tuning has no source, so it has one row for both.

    >>> row_of("finetune", WITH_LABELS), row_of("uot", WITHOUT_LABELS)
    ('finetune', 'uot, without labels')
    """
    return method if method == "finetune" else f"{method}, {point}"


ROWS = ("finetune", *(row_of(method, point) for point in (WITH_LABELS, WITHOUT_LABELS) for method in REUSING))

PUBLISHED = published_table(
    "Table 1 (b)",
    (*TARGETS, AVERAGE),
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


def find(results: Results) -> Findings:
    """Lay the scores of both studies out as the paper's table has them."""
    values: dict[tuple[str, str], Value] = {}
    for point, record in results.records.items():
        values |= method_values(record, row_of=partial(row_of, point=point))
    return Findings((score_comparison("Test score", "method", values, PUBLISHED, rows=ROWS),))


_WITHOUT_FINETUNE = by(*REUSING)
_MINI = (*WEAK_NETWORK, on("digits", "greek"))

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
            "three refits a cell with their interval; the paper prints single numbers",
            "without labels the head ratio is 10: fine-tuning, with which it is settled, stands in the other study",
        ),
    ),
    mini=Series(
        studies=(
            StudyPoint(WITH_LABELS, STUDY, (*_MINI, by("finetune", *REUSING))),
            StudyPoint(
                WITHOUT_LABELS,
                STUDY,
                (*_MINI, _WITHOUT_FINETUNE, "selection={unit: cluster, num_clusters: 400, top_k: 72}"),
            ),
        ),
        deviations=(*SMALL_SCALE, *WEAK_SCALE, "two targets in place of eight", "72 of 400 clusters, not 200 of 2000"),
    ),
    find=find,
)
