"""Schedules of the learning rate: one file each, behind the contract in `_base`."""

from pretrieve.training.schedules._base import Schedule as Schedule
