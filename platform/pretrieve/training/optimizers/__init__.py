"""Optimizers: one file each, behind the contract in `_base`."""

from pretrieve.training.optimizers._base import Optimizer as Optimizer
