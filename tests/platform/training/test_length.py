"""How many steps a training has, which of them are in each epoch, and that they are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from array_images import ArrayImages
from pydantic import ValidationError

from pretrieve.components import SCHEDULES
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.length import Length
from pretrieve.training.loop import fine_tune
from pretrieve.training.settings import TrainingSettings
from pretrieve.training.step_inputs import EpochInputs

MakeWork = Callable[..., FineTuning]
MakeImages = Callable[[int, int, int], ArrayImages]

LENGTHS: tuple[dict[str, Any], ...] = (
    {"epochs": 4},
    {"steps": 13},
    {"steps": 3},
    {"epochs": 2, "min_steps": 9},
    {"epochs": 2, "longer": True},
    {"steps": 11, "longer": True, "source_batch_size": 4},
)


def test_epochs_are_passes_unless_more_is_said() -> None:
    length = Length.of(TrainingSettings(epochs=100), 5994, has_source=True)
    assert length == Length(num_steps=2300, num_epochs=100, schedule_epoch=23)
    assert [length.steps(epoch) for epoch in (0, 1, 99)] == [range(23), range(23, 46), range(2277, 2300)]


@pytest.mark.parametrize("num_images", [5, 27, 160, 5994])
@pytest.mark.parametrize("training", LENGTHS)
def test_epochs_share_the_steps_and_a_schedules_epoch_divides_them(training: dict[str, Any], num_images: int) -> None:
    settings = TrainingSettings(batch_size=8, **training)
    for has_source in (False, True):
        length = Length.of(settings, num_images, has_source=has_source)
        epochs = [length.steps(epoch) for epoch in range(length.num_epochs)]
        assert [step for steps in epochs for step in steps] == list(range(length.num_steps))
        sizes = [len(steps) for steps in epochs]
        assert min(sizes) > 0
        assert max(sizes) - min(sizes) <= 1
        assert length.num_steps % length.schedule_epoch == 0
        assert length.num_epochs == settings.num_epochs, "alike for every target and row"


@pytest.mark.parametrize(("steps", "num_epochs"), [(1, 1), (7, 7), (10, 10), (151, 10), (20_000, 10)])
def test_a_number_of_steps_is_met_exactly(steps: int, num_epochs: int) -> None:
    for num_images in (5, 160, 5994):
        length = Length.of(TrainingSettings(steps=steps, epochs=3), num_images, has_source=False)
        assert (length.num_steps, length.num_epochs, length.schedule_epoch) == (steps, num_epochs, 1)


def test_whole_passes_are_added_until_a_smallest_number_of_steps_is_reached() -> None:
    training = TrainingSettings(epochs=4, batch_size=8, min_steps=50)
    small, large = (Length.of(training, num_images, has_source=False) for num_images in (27, 200))
    assert (small.num_steps, small.num_epochs) == (17 * 3, 4)
    assert large == Length.of(TrainingSettings(epochs=4, batch_size=8), 200, has_source=False)
    with pytest.raises(ValidationError, match=r"min_steps\n.* must be left out where .* training\.steps: 9; drop one"):
        TrainingSettings(steps=9, min_steps=5)


@pytest.mark.parametrize("num_images", [5, 27, 160])
@pytest.mark.parametrize("length", [{"epochs": 3}, {"epochs": 3, "min_steps": 100}, {"steps": 25}])
@pytest.mark.parametrize("source_batch_size", [None, 8, 12, 3])
def test_a_longer_row_sees_as_many_images_as_a_joint_one(
    num_images: int, length: dict[str, Any], source_batch_size: int | None
) -> None:
    training = TrainingSettings(batch_size=8, source_batch_size=source_batch_size, longer=True, **length)
    alone, joint = (Length.of(training, num_images, has_source=has_source) for has_source in (False, True))
    batch, source_batch = training.step_sizes(num_images)
    too_many = alone.num_steps * batch - joint.num_steps * (batch + source_batch)
    assert 0 <= too_many < batch
    if source_batch % batch == 0:
        schedule, stretch = SCHEDULES.build("step", {}), alone.num_steps // joint.num_steps
        for step in range(alone.num_steps):
            at_joint = schedule.factor(step // stretch, joint.num_steps, joint.schedule_epoch, training)
            assert schedule.factor(step, alone.num_steps, alone.schedule_epoch, training) == at_joint
    assert joint == Length.of(training.model_copy(update={"longer": False}), num_images, has_source=True)


@pytest.mark.parametrize("training", LENGTHS)
def test_every_step_is_taken_and_a_resumed_training_ends_with_the_same_weights(
    make_work: MakeWork, tmp_path: Path, training: dict[str, Any]
) -> None:
    def work() -> FineTuning:
        return make_work(objective="finetune", **training)

    class KilledError(Exception):
        pass

    def kill(report: Any) -> None:
        if report.epoch == 2:
            raise KilledError

    steps: list[int] = []
    alone, resumed, checkpoint = work(), work(), CheckpointFile(tmp_path / "trial.pt")
    fine_tune(alone, on_step=lambda: steps.append(1))
    assert len(steps) == alone.length.num_steps
    with pytest.raises(KilledError):
        fine_tune(work(), callbacks=[kill], checkpoint=checkpoint)
    fine_tune(resumed, checkpoint=checkpoint)
    expected = alone.network.state_dict()
    assert [name for name, value in resumed.network.state_dict().items() if not value.equal(expected[name])] == []


@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_five_images_are_a_step_of_five(make_work: MakeWork, make_images: MakeImages, objective: str) -> None:
    work = replace(make_work(objective=objective, batch_size=256, steps=12), target=make_images(5, 1, 0))
    orders = []
    for epoch in range(work.length.num_epochs):
        for [(target, source)] in EpochInputs(work, epoch):
            orders.append(target.labels.tolist())
            assert (None if source is None else len(source.labels)) == (5 if objective == "joint" else None)
    assert len(orders) == 12
    assert all(sorted(order) == list(range(5)) for order in orders), "each step has each image once"
    assert len({tuple(order) for order in orders}) > 1


class PerImage(torch.nn.Module):
    """A network of three values an image, in which no image changes the output of another."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.mark.parametrize("source_batch_size", [None, 10])
@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_unequal_parts_have_the_gradient_of_the_whole_step(
    make_work: MakeWork, make_images: MakeImages, objective: str, source_batch_size: int | None
) -> None:
    reports: list[Any] = []

    def work(num_parts: int) -> FineTuning:
        made = make_work(objective=objective, batch_size=256, source_batch_size=source_batch_size, steps=2)
        made = replace(made, target=make_images(3, 2, 0), num_parts=num_parts)
        made = replace(made, target=ArrayImages(made.target.gather(torch.arange(5)).numpy(), made.target.labels[:5]))
        made.network.backbone = torch.nn.Sequential(PerImage(), torch.nn.Linear(3, 64))
        with torch.no_grad():
            for number, parameter in enumerate(made.network.backbone.parameters()):
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) * (number + 1))
        return made

    whole, parts = work(1), work(4)
    assert [len(range(5)[rows]) for rows, _ in parts.parts] == [2, 3], "four parts would have single images"
    for each in (whole, parts):
        fine_tune(each, callbacks=[reports.append])
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    for first, second in zip(reports[:2], reports[2:], strict=True):
        assert second.loss_target == pytest.approx(first.loss_target, rel=1e-4)
        assert second.loss_source == (first.loss_source and pytest.approx(first.loss_source, rel=1e-4))


def test_parts_of_two_streams_that_share_no_divisor_are_none(make_work: MakeWork, make_images: MakeImages) -> None:
    work = make_work(batch_size=256, source_batch_size=8)
    assert replace(work, target=make_images(5, 1, 0), num_parts=2).parts == [(slice(0, 5), slice(0, 8))]


def test_a_training_of_some_steps_is_plain_torch(make_work: MakeWork, make_images: MakeImages) -> None:
    made = [make_work(objective="finetune", lr=0.05, batch_size=256, steps=12, decay_at=(0.4,)) for _ in range(2)]
    trained, plain = (replace(work, target=make_images(3, 2, 0)) for work in made)
    fine_tune(trained)
    plain.network.to(memory_format=torch.channels_last).train()
    heads = [{"params": plain.network.target_head.parameters(), "lr": 0.1}]
    groups = [{"params": plain.network.backbone.parameters()}, *heads]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)
    falling = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5])  # 0.4 × 12 = 4.8
    for epoch in range(10):
        for [(batch, _)] in EpochInputs(plain, epoch):
            optimizer.zero_grad()
            F.cross_entropy(plain.network.target_head(plain.network.backbone(batch.images)), batch.labels).backward()
            optimizer.step()
            falling.step()
    for name, value in plain.network.state_dict().items():
        torch.testing.assert_close(trained.network.state_dict()[name], value, rtol=1e-4, atol=1e-6)
