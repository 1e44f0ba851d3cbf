"""The learning curve of a trial as a tag of its run: MLflow gives its own history of a metric one run at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pretrieve.tracking import schema
from pretrieve.tracking.spool import SpooledEpoch, SpoolLine

MAX_POINTS = 40
"""Of a curve in a tag: what a figure shows; the metric itself has every epoch."""


def curve_as_text(lines: Iterable[SpoolLine]) -> str:
    """Write the validation score over the epochs of a spool, evenly thinned, as the JSON that a trial's tag holds.

    >>> curve_as_text([SpooledEpoch(1, 0, {"val/score": 0.25}), SpooledEpoch(2, 0, {"val/score": 1 / 3})])
    '[[1, 0.25], [2, 0.33333]]'
    """
    epochs = [line for line in lines if isinstance(line, SpooledEpoch) and schema.VAL_SCORE in line.metrics]
    points = [[line.epoch, round(line.metrics[schema.VAL_SCORE], 5)] for line in epochs]
    last = len(points) - 1
    if last >= MAX_POINTS:
        points = [points[round(number * last / (MAX_POINTS - 1))] for number in range(MAX_POINTS)]
    return json.dumps(points)


def last_epoch_of(text: str) -> int:
    """Return the last epoch of a curve in a tag; 0 where it has none.

    >>> last_epoch_of('[[1, 0.25], [4, 0.33333]]'), last_epoch_of("[]")
    (4, 0)
    """
    points = json.loads(text)
    return int(points[-1][0]) if points else 0
