"""Objectives: one file each, behind the contract in `_base`."""

from pretrieve.training.objectives._base import Batch as Batch
from pretrieve.training.objectives._base import FeatureObjective as FeatureObjective
from pretrieve.training.objectives._base import Objective as Objective
from pretrieve.training.objectives._base import Relationship as Relationship
from pretrieve.training.objectives._base import StepLoss as StepLoss
