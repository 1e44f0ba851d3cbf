"""Table 2: how many clusters k-means should make of a source without labels."""

from __future__ import annotations

from pretrieve.experiments._base import Experiment, Results, Series, StudyPoint
from pretrieve.experiments.minis import SMALL_SCALE, STUDY, WEAK_NETWORK, WEAK_SCALE, by, on
from pretrieve.experiments.table1a import TARGETS
from pretrieve_dashboards.comparison import Value, method_values, published_table, score_comparison
from pretrieve_dashboards.experiment import Findings
from pretrieve_dashboards.wording import AVERAGE

PUBLISHED = published_table(
    "Table 2",
    (*TARGETS, AVERAGE),
    {
        "K = 1000": (81.02, 90.86, 78.48, 90.55, 63.65, 89.16, 77.50, 93.09, 83.04),
        "K = 2000": (81.47, 90.91, 78.96, 90.39, 63.68, 89.59, 77.07, 93.27, 83.17),
    },
)


def find(results: Results) -> Findings:
    """Lay out the scores of UOT, a row a number of clusters."""
    values: dict[tuple[str, str], Value] = {}
    for point, record in results.records.items():
        values |= {(point, target): value for (_, target), value in method_values(record).items()}
    rows = tuple(results.records) or PUBLISHED.rows
    return Findings((score_comparison("Test score of UOT on clusters", "clusters", values, PUBLISHED, rows=rows),))


def _clusters(number: int, top_k: int) -> tuple[str, ...]:
    return (f"selection.num_clusters={number}", f"selection.top_k={top_k}")


def _mini(number: int, top_k: int) -> StudyPoint:
    selection = f"selection={{unit: cluster, num_clusters: {number}, top_k: {top_k}}}"
    return StudyPoint(f"K = {number}", STUDY, (*WEAK_NETWORK, on("digits", "greek"), by("uot"), selection))


TABLE2 = Experiment(
    name="table2",
    place="Table 2",
    question="Do more clusters of a source without labels make a better selection?",
    full=Series(
        studies=tuple(
            StudyPoint(f"K = {number}", "table2.yaml", _clusters(number, number // 10)) for number in (1000, 2000)
        ),
        deviations=(
            "a tenth of the clusters is selected for either K, so that as many images are; the paper does not say",
            "the head ratio is 10; the paper settles it with fine-tuning on each target",
            "three refits a cell with their interval; the paper prints single numbers",
        ),
    ),
    mini=Series(
        studies=(_mini(200, 36), _mini(400, 72)),
        deviations=(*SMALL_SCALE, *WEAK_SCALE, "two targets in place of eight", "200 and 400 clusters"),
    ),
    find=find,
)
