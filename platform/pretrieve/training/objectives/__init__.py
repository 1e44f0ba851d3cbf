"""Objectives, one file each behind the contract of `_base`."""

from pretrieve.training.objectives._base import Batch, Objective, StepLoss
from pretrieve.training.objectives.finetune import Finetune
from pretrieve.training.objectives.joint import JointTwoHead
from pretrieve.training.settings import Hyperparameters

__all__ = ["Batch", "Finetune", "JointTwoHead", "Objective", "StepLoss", "make_objective"]


def make_objective(name: str, hyperparameters: Hyperparameters) -> Objective:
    """Build the objective of that name with its hyperparameters.

    Raises:
      KeyError: there is none of that name.

    >>> make_objective("joint", Hyperparameters(lr=0.1, source_weight=0.3)).source_weight
    0.3
    """
    if name == Finetune.name:
        return Finetune()
    if name == JointTwoHead.name:
        assert hyperparameters.source_weight is not None, "the grid gives λ to every objective that uses the source"
        return JointTwoHead(hyperparameters.source_weight)
    raise KeyError(name)
