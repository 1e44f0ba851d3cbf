"""A task in the configuration of a Tune trial: one text, as Tune copies the whole grid, value by value, for each trial.

Copies of a thousand tasks for each of a thousand trials would take longer than all the rest of the platform's work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pretrieve.training.trial_spec import TrialTask

TASK = "task"


def as_text(task: TrialTask) -> str:
    """Write a task as a configuration's value."""
    return task.model_dump_json()


def task_of(config: Mapping[str, Any]) -> TrialTask:
    """Read the task of a configuration."""
    return TrialTask.model_validate_json(config[TASK])


class TrialName(NamedTuple):
    """What a task is told apart by.

    Attributes:
      target: of its cell.
      method: of its cell.
      key: its own.
    """

    target: str
    method: str
    key: str


def name_of(config: Mapping[str, Any]) -> TrialName:
    """Read the name of the task of a configuration."""
    spec = json.loads(config[TASK])["spec"]
    return TrialName(spec["target"], spec["method"], spec["key"])
