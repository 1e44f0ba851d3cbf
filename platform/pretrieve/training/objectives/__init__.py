"""Objectives: one file each, behind the contract in `_base`."""

from pretrieve.training.objectives._base import Batch, Objective, Relationship, StepLoss
from pretrieve.training.objectives.co_tuning import CoTuning
from pretrieve.training.objectives.finetune import Finetune
from pretrieve.training.objectives.joint import JointTwoHead
from pretrieve.training.objectives.pseudo_label import SoftPseudoLabel
from pretrieve.training.settings import Hyperparameters

__all__ = [
    "OBJECTIVES",
    "Batch",
    "CoTuning",
    "Finetune",
    "JointTwoHead",
    "Objective",
    "Relationship",
    "SoftPseudoLabel",
    "StepLoss",
    "find_objective",
    "make_objective",
]

OBJECTIVES: dict[str, type[Objective]] = {
    objective.name: objective for objective in (Finetune, JointTwoHead, SoftPseudoLabel, CoTuning)
}


def find_objective(name: str) -> type[Objective]:
    """Return the objective's class, whose attributes say what it needs before it is built.

    Raises KeyError if no objective has this name.

    >>> find_objective("pseudo_label").uses_strong_view, find_objective("co_tuning").uses_source
    (True, False)
    """
    return OBJECTIVES[name]


def make_objective(
    name: str, hyperparameters: Hyperparameters, *, relationship: Relationship | None = None
) -> Objective:
    """Build the objective of that name from one grid point; see `Objective.build`.

    Raises KeyError if no objective has this name.

    >>> make_objective("joint", Hyperparameters(lr=0.1, source_weight=0.3)).source_weight
    0.3
    """
    return find_objective(name).build(hyperparameters, relationship)
