"""The parts of the labelled images that the probe is fitted to."""

from __future__ import annotations

import numpy as np

from pretrieve.stages.label_curves import nested_parts


def test_parts_are_nested_and_take_each_class_by_its_share() -> None:
    labels = np.repeat(np.arange(4), [1, 3, 8, 40])
    quarter, half = nested_parts(labels, (0.25, 0.5), seed=3)
    assert np.bincount(labels[quarter]).tolist() == [1, 1, 2, 10]
    assert np.bincount(labels[half]).tolist() == [1, 1, 4, 20]
    assert set(quarter) <= set(half)
    again = nested_parts(labels, (0.25, 0.5), seed=3)
    assert [part.tolist() for part in again] == [quarter.tolist(), half.tolist()]
    assert nested_parts(labels, (0.5,), seed=4)[0].tolist() != half.tolist()
