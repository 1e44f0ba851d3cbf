from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pretrieve.errors import DivergedError
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import EpochReport, fine_tune

MakeWork = Callable[..., FineTuning]


def trained_weights(work: FineTuning, checkpoint: CheckpointFile | None = None) -> dict[str, torch.Tensor]:
    fine_tune(work, checkpoint=checkpoint)
    return {name: value.clone() for name, value in work.network.state_dict().items()}


def assert_identical(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not first[name].equal(second[name])] == []


@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_training_learns_to_tell_colours_apart(make_work: MakeWork, objective: str) -> None:
    work = make_work(objective=objective, epochs=8)
    reports: list[EpochReport] = []
    fine_tune(work, callbacks=[reports.append])
    assert [report.epoch for report in reports] == list(range(1, 9))
    assert reports[-1].loss_target < 0.5 * reports[0].loss_target
    logits = predict_logits(work.network, work.target, work.preprocessing, work.device)
    assert (logits.argmax(1) == work.target.labels).double().mean() > 0.9
    assert (reports[0].loss_source is None) == (objective == "finetune")


def test_the_same_seed_gives_the_same_weights_to_the_bit_and_another_does_not(make_work: MakeWork) -> None:
    first, second = trained_weights(make_work()), trained_weights(make_work())
    assert_identical(first, second)
    work = make_work()
    other = trained_weights(FineTuning(**{**vars(work), "seed": 6}))
    assert not all(first[name].equal(other[name]) for name in first)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_trial_ends_with_the_weights_of_one_left_alone(
    make_work: MakeWork, tmp_path: Path, stop_after: int
) -> None:
    class KilledError(Exception):
        pass

    def kill(report: EpochReport) -> None:
        if report.epoch == stop_after + 1:
            raise KilledError

    checkpoint = CheckpointFile(tmp_path / "trial.pt")
    with pytest.raises(KilledError):
        fine_tune(make_work(), callbacks=[kill], checkpoint=checkpoint)
    epochs: list[int] = []
    resumed = make_work()
    fine_tune(resumed, callbacks=[lambda report: epochs.append(report.epoch)], checkpoint=checkpoint)
    assert epochs == list(range(stop_after + 1, 5))
    assert_identical(resumed.network.state_dict(), trained_weights(make_work()))


def with_dropout(work: FineTuning) -> FineTuning:
    work.network.backbone = torch.nn.Sequential(work.network.backbone, torch.nn.Dropout(0.5))
    return work


def test_layers_that_draw_do_so_alike_whatever_ran_before(make_work: MakeWork, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KilledError

    checkpoint = CheckpointFile(tmp_path / "trial.pt")
    with pytest.raises(KilledError):
        fine_tune(with_dropout(make_work()), callbacks=[kill], checkpoint=checkpoint)
    torch.rand(7)  # as another trial of the same process would
    before = torch.random.get_rng_state()
    resumed = trained_weights(with_dropout(make_work()), checkpoint)
    assert torch.random.get_rng_state().equal(before), "the caller's random state stays as it was"
    assert_identical(resumed, trained_weights(with_dropout(make_work())))


def test_a_loss_that_is_not_finite_ends_with_the_step_and_the_settings(make_work: MakeWork) -> None:
    with pytest.raises(DivergedError, match=r"epoch \d+, step \d+ \(lr 1e\+30"):
        fine_tune(make_work(lr=1e30))


def test_weights_that_the_very_last_step_makes_infinite_are_no_result(
    make_work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make_work()
    work = replace(work, settings=work.settings.model_copy(update={"epochs": 1}))
    real, num_taken = torch.optim.SGD.step, []

    def step(optimizer: torch.optim.SGD, closure: None = None) -> None:
        real(optimizer, closure)
        num_taken.append(1)
        if len(num_taken) == work.length.num_steps:
            optimizer.param_groups[0]["params"][0].data.fill_(torch.nan)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    with pytest.raises(
        DivergedError, match=rf"weights must stay finite, .* epoch 1, step {work.length.num_steps} \(lr"
    ):
        fine_tune(work)


def test_the_last_partial_batch_is_dropped(make_work: MakeWork) -> None:
    assert make_work(batch_size=8, epochs=1).length.num_steps == 3  # of 27 images


def test_source_batches_are_as_large_as_the_target_unless_told_otherwise(make_work: MakeWork) -> None:
    work = make_work()
    assert work.source_batch_size == 8
    larger = work.settings.model_copy(update={"source_batch_size": 12})
    assert FineTuning(**{**vars(work), "settings": larger}).source_batch_size == 12
    assert make_work(objective="finetune").source_batch_size == 0


def test_a_removed_checkpoint_starts_from_the_beginning(make_work: MakeWork, tmp_path: Path) -> None:
    checkpoint = CheckpointFile(tmp_path / "trial.pt")
    fine_tune(make_work(epochs=2), checkpoint=checkpoint)
    assert (tmp_path / "trial.pt").exists()
    checkpoint.remove()
    checkpoint.remove()
    epochs: list[int] = []
    fine_tune(make_work(epochs=2), callbacks=[lambda report: epochs.append(report.epoch)], checkpoint=checkpoint)
    assert epochs == [1, 2]


class PlainNetwork(torch.nn.Module):
    """A feature extractor without batch norm, so that the images of a batch do not depend on each other."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 64, 5, stride=4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolution(images)).mean((2, 3))


def without_batch_norm(work: FineTuning, **changes: object) -> FineTuning:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        work.network.backbone = PlainNetwork()
    return replace(work, **changes)


@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_steps_in_parts_give_the_weights_of_whole_steps(make_work: MakeWork, objective: str) -> None:
    whole = trained_weights(without_batch_norm(make_work(objective=objective)))
    parts = trained_weights(without_batch_norm(make_work(objective=objective), num_parts=4))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-6)


def test_each_callback_sees_what_those_before_it_measured(make_work: MakeWork) -> None:
    seen: list[dict[str, float]] = []
    callbacks = [lambda report: report.metrics.update(epoch=report.epoch), lambda report: seen.append(report.metrics)]
    fine_tune(make_work(epochs=2), callbacks=callbacks)
    assert seen == [{"epoch": 1}, {"epoch": 2}]


def test_the_time_spent_waiting_for_images_is_told(make_work: MakeWork) -> None:
    work = make_work(epochs=1)

    class SlowImages:
        labels, aspects = work.target.labels, work.target.aspects

        def gather(self, indices: torch.Tensor) -> torch.Tensor:
            time.sleep(0.3)
            return work.target.gather(indices)

        def __len__(self) -> int:
            return len(work.target)

    shares = []
    for target in (work.target, SlowImages()):
        fine_tune(
            replace(make_work(epochs=1), target=target),
            callbacks=[lambda report: shares.append(report.part_s["data"] / report.elapsed_s)],
        )
    assert 0 <= shares[0] <= 1
    assert shares[1] > 0.5


class WildStatistic(torch.nn.Module):
    """Its statistic overflows in the second epoch, and no loss in training mode depends on it."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.get_buffer("spread").mul_(1e9)
            features: torch.Tensor = self.backbone(images)
            return features
        return torch.as_tensor(self.backbone(images)) / self.get_buffer("spread")


def test_a_statistic_that_overflows_ends_the_training_as_diverged(make_work: MakeWork) -> None:
    """Only predictions read it: they would be one class for all images. A mask is infinite from the start."""
    work = make_work(objective="finetune")
    work.network.backbone = WildStatistic(work.network.backbone)
    with pytest.raises(DivergedError, match=r"statistics must stay finite, but backbone\.spread is not after epoch 2 "):
        fine_tune(work)
