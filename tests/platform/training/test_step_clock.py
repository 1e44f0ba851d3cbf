"""Where an epoch's time goes."""

from __future__ import annotations

import time

import torch

from pretrieve.training.loop import StepClock


def test_the_times_of_each_part_add_up() -> None:
    clock = StepClock(torch.device("cpu"))
    for _ in range(2):
        with clock.part("data"):
            time.sleep(0.02)
        with clock.part("forward"):
            time.sleep(0.01)
    seconds = clock.seconds()
    assert 0.04 <= seconds["data"] < 1.0
    assert 0.02 <= seconds["forward"] < seconds["data"]
    assert seconds["backward"] == 0.0
