"""Table 3: targets whose classes have a long tail."""

from __future__ import annotations

from pretrieve.experiments._base import Experiment, Series, StudyPoint
from pretrieve.experiments.minis import SMALL_SCALE, STUDY, by, on
from pretrieve.experiments.score_tables import scores_of
from pretrieve_dashboards.comparison import published_table

METHODS = ("finetune", "uot")

PUBLISHED = published_table(
    "Table 3",
    ("cub", "aircraft", "caltech101"),
    {"finetune": (52.73, 52.74, 73.96), "uot": (57.27, 53.96, 78.20)},
)

POINT = "long tail"


TABLE3 = Experiment(
    name="table3",
    place="Table 3",
    question="Does reusing pre-training data help more where the target's classes have a long tail?",
    full=Series(
        studies=(StudyPoint(POINT, "table3.yaml"),),
        deviations=(
            "the number of images is the largest that the smallest class allows; the paper does not say its own",
            "three refits a cell with their interval; the paper prints single numbers",
        ),
    ),
    mini=Series(
        studies=(
            StudyPoint(
                POINT,
                STUDY,
                (on("greek", "armenian", "symbols"), "targets.*.regime={long_tail: 5}", by(*METHODS)),
            ),
        ),
        deviations=(*SMALL_SCALE, "the largest class has 10 images and the smallest 2, a ratio of 5 in place of 10"),
    ),
    find=scores_of(POINT, "Test score with a long tail", PUBLISHED, methods=METHODS),
)
