"""The paper's tables and figures as series of studies, from the study files to our numbers beside the published ones.

>>> from pretrieve.experiments import find_experiment
>>> find_experiment("figure4a").place
'Figure 4a'
"""

from pretrieve.experiments._base import Experiment, Results, SelectionPoint, SelectionProblem, Series, StudyPoint
from pretrieve.experiments.catalogue import EXPERIMENTS, find_experiment
from pretrieve.experiments.reproduction import reproduce

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Results",
    "SelectionPoint",
    "SelectionProblem",
    "Series",
    "StudyPoint",
    "find_experiment",
    "reproduce",
]
