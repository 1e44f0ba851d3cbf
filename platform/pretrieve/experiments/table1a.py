"""Table 1 (a): four ways to reuse the source and one that does not, on a network pre-trained with labels."""

from __future__ import annotations

from pretrieve.experiments._base import Experiment, Series, StudyPoint
from pretrieve.experiments.minis import SMALL_SCALE, STUDY
from pretrieve.experiments.score_tables import scores_of
from pretrieve_dashboards.comparison import published_table
from pretrieve_dashboards.wording import AVERAGE

TARGETS = ("stanford_dogs", "stanford_cars", "cub", "pets", "sun397", "aircraft", "dtd", "caltech101")
METHODS = ("finetune", "co_tuning", "random", "greedy_ot", "uot")

PUBLISHED = published_table(
    "Table 1 (a)",
    (*TARGETS, AVERAGE),
    {
        "finetune": (82.65, 85.87, 75.49, 91.40, 58.03, 77.62, 70.64, 90.11, 78.98),
        "co_tuning": (80.90, 86.48, 76.83, 89.92, 58.73, 79.07, 69.69, 93.08, 79.34),
        "random": (83.29, 86.52, 75.54, 91.58, 58.18, 78.10, 70.69, 90.64, 79.32),
        "greedy_ot": (84.63, 86.79, 76.92, 91.66, 58.70, 78.43, 70.90, 90.67, 79.84),
        "uot": (84.67, 87.03, 77.21, 91.98, 59.06, 78.94, 71.17, 91.11, 80.15),
    },
)

POINT = "the study"


TABLE1A = Experiment(
    name="table1a",
    place="Table 1 (a)",
    question="Does reusing pre-training data beat fine-tuning and Co-Tuning, and by which selection, with labels?",
    full=Series(
        studies=(StudyPoint(POINT, "table1_supervised.yaml"),),
        deviations=("three refits a cell with their interval; the paper prints single numbers",),
    ),
    mini=Series(
        studies=(StudyPoint(POINT, STUDY),),
        deviations=(*SMALL_SCALE, "three targets in place of eight"),
    ),
    find=scores_of(POINT, "Test score", PUBLISHED, methods=METHODS),
)
