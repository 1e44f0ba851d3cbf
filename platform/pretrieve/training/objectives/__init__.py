"""Objectives: one file each, behind the contract in `_base`."""

from pretrieve.training.objectives._base import Batch as Batch
from pretrieve.training.objectives._base import Objective as Objective
from pretrieve.training.objectives._base import Relationship as Relationship
from pretrieve.training.objectives._base import StepLoss as StepLoss
from pretrieve.training.objectives.co_tuning import CoTuning as CoTuning
from pretrieve.training.objectives.finetune import Finetune as Finetune
from pretrieve.training.objectives.joint import JointTwoHead as JointTwoHead
from pretrieve.training.objectives.pseudo_label import SoftPseudoLabel as SoftPseudoLabel
from pretrieve.training.settings import Hyperparameters

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
