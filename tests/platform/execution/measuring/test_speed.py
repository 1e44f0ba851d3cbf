"""Measuring a training by doing some of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pretrieve.backbones import find_architecture
from pretrieve.execution.measuring.speed import Probe, ProbeProcess, RepeatedImages, Speed, measure_side_by_side
from pretrieve.training.settings import TrainingSettings


def make_probe(objective: str = "finetune") -> Probe:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    uses_head = objective in ("joint", "co_tuning")
    return Probe(
        architecture=find_architecture("small_resnet"),
        objective=objective,
        training=TrainingSettings(epochs=3, batch_size=4),
        num_target_classes=3,
        num_source_classes=7 if uses_head else 0,
        pixels=pixels,
        num_threads=1,
    )


@pytest.mark.parametrize("objective", ["finetune", "joint", "pseudo_label", "co_tuning"])
def test_every_objective_can_be_measured(objective: str) -> None:
    training = ProbeProcess(make_probe(objective))
    assert training.train(seconds=0.2) > 0
    assert training.score(seconds=0.01) > 0
    assert training.epoch_s() > 0
    used, _, of = training.memory()
    assert used > 10**7
    assert (of > 0) == torch.cuda.is_available()


def test_a_training_of_a_few_layers_with_averaged_weights_can_be_measured() -> None:
    settings = {"learns": "head", "batch_norm": "target_only", "weight_average": 0.9, "max_gradient_norm": 1.0}
    training = TrainingSettings(epochs=3, batch_size=4, **settings)
    process = ProbeProcess(replace(make_probe("joint"), training=training))
    assert process.train(seconds=0.1) > 0
    assert process.epoch_s() > 0


def test_images_per_step_are_those_of_both_streams() -> None:
    assert make_probe("finetune").images_per_step == 4
    assert make_probe("joint").images_per_step == 8


def test_a_few_images_stand_for_many() -> None:
    images = RepeatedImages(make_probe().pixels, 12, num_classes=3)
    assert len(images) == len(images.aspects) == 12
    assert torch.equal(images.gather(torch.tensor([1, 6, 11])), images.gather(torch.tensor([1, 1, 1])))
    assert set(images.labels.tolist()) == {0, 1, 2}


def test_trainings_side_by_side_are_measured_in_processes_of_their_own(ray_cluster: None) -> None:
    speed = measure_side_by_side(make_probe("joint"), 2, {"CPU": 1.0}, seconds=0.3)
    assert isinstance(speed, Speed)
    assert speed.num_side_by_side == 2
    assert speed.total_steps_per_s == 2 * speed.steps_per_s > 0
    assert speed.process_s > 0.1, "a process is started for each"


def test_an_error_of_the_network_is_that_error(ray_cluster: None) -> None:
    broken = Probe(**{**vars(make_probe()), "pixels": np.zeros((5, 32, 32, 7), dtype=np.uint8)})
    with pytest.raises(Exception, match=r"channels|size of tensor|must match|The size"):
        measure_side_by_side(broken, 1, {"CPU": 1.0}, seconds=0.1)
