"""Schedules against torch's own, and short trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pretrieve.components import SCHEDULES
from pretrieve.errors import ComponentError
from pretrieve.training.settings import TrainingSettings


def factors(word: str, settings: dict[str, Any], *, epochs: int, steps_per_epoch: int, **training: Any) -> list[float]:
    schedule, num_steps = SCHEDULES.build(word, settings), epochs * steps_per_epoch
    shared = TrainingSettings(epochs=epochs, **training)
    return [schedule.factor(step, num_steps, steps_per_epoch, shared) for step in range(num_steps)]


def factors_of_torch(make: Any, num_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, found = make(optimizer), []
    for _ in range(num_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_is_divided_by_ten_at_60_and_80_of_100_epochs() -> None:
    found = factors("step", {}, epochs=100, steps_per_epoch=3)
    assert found == [1.0] * 180 + [0.1] * 60 + [0.1**2] * 60


def test_short_trainings_are_scaled() -> None:
    assert factors("step", {}, epochs=10, steps_per_epoch=1) == [1.0] * 6 + [0.1] * 2 + [0.1**2] * 2
    assert factors("step", {}, epochs=1, steps_per_epoch=2) == [1.0, 0.1]
    assert factors("step", {}, epochs=2, steps_per_epoch=1, decay_at=(0.5,), decay_factor=0.3) == [1.0, 0.3]


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "decay_at", "lengths"),
    [
        (3, 4, (0.6, 0.8), [4, 4, 4]),  # 1.8 and 2.4 epochs were both 2
        (2, 5, (0.6, 0.8), [6, 2, 2]),  # too few epochs for three rates: shares of the ten steps
        (4, 2, (0.1, 0.5), [2, 2, 4]),  # 0.4 epochs were 0: the full rate had none
        (4, 1, (0.9,), [3, 1]),  # 3.6 epochs were 4: the last rate had none
        (5, 3, (0.8, 0.6, 0.9), [6, 3, 3, 3]),  # 4.5 epochs were 4, as 0.8 of them; the order does not matter
        (1, 3, (0.5, 0.95), [1, 1, 1]),
        (2, 1, (0.3, 0.6), [1, 1]),  # three rates, two steps
        (6, 1, (0.5, 0.5), [3, 0, 3]),  # asked for twice at once
    ],
)
def test_no_rate_of_a_short_training_is_left_out(
    epochs: int, steps_per_epoch: int, decay_at: tuple[float, ...], lengths: list[int]
) -> None:
    found = factors("step", {}, epochs=epochs, steps_per_epoch=steps_per_epoch, decay_at=decay_at)
    assert found == [0.1**passed for passed, length in enumerate(lengths) for _ in range(length)]


def test_long_trainings_round_as_they_did() -> None:
    for epochs in range(4, 120):
        found = factors("step", {}, epochs=epochs, steps_per_epoch=2)
        ends = round(0.6 * epochs), round(0.8 * epochs)
        assert found == [0.1 ** sum(step // 2 >= end for end in ends) for step in range(2 * epochs)]


@pytest.mark.parametrize(("warmup", "num_rising"), [(0.1, 1), (0.01, 1), (0.0, 0), (0.5, 2), (0.99, 3)])
def test_a_warm_up_of_a_short_training_has_a_step(warmup: float, num_rising: int) -> None:
    found = factors("cosine_decay", {"warmup": warmup}, epochs=4, steps_per_epoch=1)
    assert found[:num_rising] == pytest.approx([(step + 1) / (num_rising + 1) for step in range(num_rising)])
    assert found.index(1.0) == num_rising


def test_steps_are_torchs_multi_step() -> None:
    expected = factors_of_torch(lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [12, 16]), 20)
    assert factors("step", {}, epochs=20, steps_per_epoch=1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_a_cosine_is_torchs_after_a_linear_warm_up(floor: float) -> None:
    def make(optimizer: Any) -> Any:
        rising = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 7, total_iters=6)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=14, eta_min=floor)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[6])

    found = factors("cosine_decay", {"warmup": 0.3, "floor": floor}, epochs=4, steps_per_epoch=5)
    assert found == pytest.approx(factors_of_torch(make, 20), abs=1e-6)
    assert max(found) == found[6] == 1.0


@pytest.mark.parametrize(("warmup", "expected"), [(0.0, [1.0]), (0.99, [1.0])])
def test_a_training_of_one_step_has_the_full_rate(warmup: float, expected: list[float]) -> None:
    assert factors("cosine_decay", {"warmup": warmup}, epochs=1, steps_per_epoch=1) == expected


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"warmup": 1}, "warmup must be a share of the steps, >= 0 and < 1, but is 1; 0 leaves it out"),
        ({"warmup": -0.1}, "warmup must be a share of the steps"),
        ({"floor": 1.5}, r"floor must be a share of the rate, >= 0 and <= 1, but is 1\.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ComponentError, match=fault):
        SCHEDULES.build("cosine_decay", settings)
