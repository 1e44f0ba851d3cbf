"""A task in the configuration of a Tune trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pretrieve.search.strategies._base import TRIAL
from pretrieve.training.trial_spec import TrialTask


def as_text(task: TrialTask) -> str:
    """Write a task as a configuration's value."""
    return task.model_dump_json()


def task_of(config: Mapping[str, Any]) -> TrialTask:
    """Read the task of a configuration."""
    return TrialTask.model_validate_json(config[TRIAL])
