"""Objectives: one file each, behind the contract in `_base`."""

from pretrieve.training.objectives._base import Batch as Batch
from pretrieve.training.objectives._base import Objective as Objective
from pretrieve.training.objectives._base import Relationship as Relationship
from pretrieve.training.objectives._base import StepLoss as StepLoss
from pretrieve.training.objectives.co_tuning import CoTuning as CoTuning
from pretrieve.training.objectives.finetune import Finetune as Finetune
from pretrieve.training.objectives.joint import JointTwoHead as JointTwoHead
from pretrieve.training.objectives.pseudo_label import SoftPseudoLabel as SoftPseudoLabel

OBJECTIVES: dict[str, type[Objective]] = {
    objective.name: objective for objective in (Finetune, JointTwoHead, SoftPseudoLabel, CoTuning)
}


def find_objective(name: str) -> type[Objective]:
    """Return the objective's class, which builds it; its attributes say what it needs before that.

    Raises KeyError if no objective has this name.

    >>> find_objective("pseudo_label").uses_strong_view, find_objective("co_tuning").uses_source
    (True, False)
    """
    return OBJECTIVES[name]
