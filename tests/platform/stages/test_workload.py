"""Counting and adding up, with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.execution.measuring.speed import Speed
from pretrieve.stages.workload import TRIAL_OVERHEAD_S, Work, makespan, work_of
from pretrieve.training.settings import TrainingSettings

SPEED = Speed(
    2, steps_per_s=10.0, scored_per_s=100.0, start_s=1.0, epoch_s=0.5, process_s=9.0, peak_bytes=1, memory_bytes=0
)


def target():
    def split(count: int):
        return np.zeros((count, 8, 8, 3), dtype=np.uint8), np.arange(count) % 2

    return image_set_from_arrays("t", ["a", "b"], {"train": split(70), "val": split(20), "test": split(30)})


def test_a_trial_trains_on_train_and_scores_val_each_epoch() -> None:
    training = TrainingSettings(epochs=3, batch_size=32)
    assert work_of("trial", training, target(), "finetune") == Work(3, steps=6, images_per_step=32, scored=60)
    assert work_of("trial", training, target(), "joint").images_per_step == 64
    assert work_of("trial", training, target(), "finetune").image_passes == 6 * 32 + 60


def test_a_refit_trains_on_val_as_well_and_scores_test_once() -> None:
    training = TrainingSettings(epochs=3, batch_size=32, source_batch_size=16)
    assert work_of("refit", training, target(), "joint") == Work(3, steps=6, images_per_step=48, scored=30)
    assert work_of("refit", TrainingSettings(epochs=3, batch_size=30), target(), "joint").steps == 9


def test_the_work_of_a_number_of_steps_of_a_small_target_and_of_a_longer_row_is_counted() -> None:
    exact = TrainingSettings(steps=25, batch_size=80)
    assert work_of("trial", exact, target(), "finetune") == Work(10, steps=25, images_per_step=70, scored=200)
    assert work_of("refit", exact, target(), "joint") == Work(10, steps=25, images_per_step=160, scored=30)
    longer = TrainingSettings(epochs=3, batch_size=32, longer=True)
    joint, alone = (work_of("trial", longer, target(), objective) for objective in ("joint", "finetune"))
    assert joint == Work(3, steps=6, images_per_step=64, scored=60)
    assert alone == Work(3, steps=12, images_per_step=32, scored=60)
    assert alone.image_passes == joint.image_passes


def test_seconds_are_those_of_steps_scoring_epochs_and_start() -> None:
    work = Work(epochs=2, steps=40, images_per_step=1, scored=50)
    assert work.seconds(SPEED) == pytest.approx(4.0 + 0.5 + 1.0 + 1.0 + TRIAL_OVERHEAD_S)


def test_tasks_take_the_place_that_is_free_first() -> None:
    assert makespan([1.0, 1.0, 5.0, 1.0], 2) == 6.0
    assert makespan([2.0] * 6, 3) == 4.0
    assert makespan([], 3) == 0.0
