"""How a trial stands in Tune's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CellName = tuple[str, str]
"""Target and method. Scores are compared within a cell only, because scores on two targets are not comparable."""

TRAINING_ITERATION = "training_iteration"
"""Tune's own name of the number of epochs in a result."""

TRIAL = "trial"
"""Name of the trial in Tune's configuration. Its value is one JSON text, because Tune copies the whole grid, value by
value, for each trial: a thousand copies of a thousand records would take longer than the rest of the platform."""


def cell_and_key(config: Mapping[str, Any]) -> tuple[CellName, str]:
    """Read a trial's cell and key from its Tune configuration."""
    spec = json.loads(config[TRIAL])["spec"]
    return (spec["target"], spec["method"]), spec["key"]
