from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.optimizer import decay_at_epoch, make_optimizer, set_epoch_rates
from pretrieve.training.settings import TrainingSettings


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (59, 1.0), (60, 0.1), (79, 0.1), (80, 0.01), (99, 0.01)])
def test_rate_is_divided_by_ten_at_60_and_80_of_100_epochs(epoch: int, factor: float) -> None:
    assert decay_at_epoch(epoch, TrainingSettings(epochs=100)) == pytest.approx(factor)


def test_short_schedules_are_scaled() -> None:
    factors = [decay_at_epoch(epoch, TrainingSettings(epochs=10)) for epoch in range(10)]
    assert factors == pytest.approx([1.0] * 6 + [0.1] * 2 + [0.01] * 2)


def test_heads_learn_at_their_ratio_and_every_parameter_decays(make_work: Callable[..., FineTuning]) -> None:
    work = make_work(lr=0.03)
    optimizer = make_optimizer(work.network, work.hyperparameters, work.settings)
    backbone, heads = optimizer.param_groups
    assert (backbone["lr"], heads["lr"]) == pytest.approx((0.03, 0.06))
    assert backbone["weight_decay"] == heads["weight_decay"] == 1e-4
    assert backbone["nesterov"]
    assert backbone["momentum"] == 0.9
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in work.network.parameters()}


def test_set_epoch_rates_scales_both_groups(make_work: Callable[..., FineTuning]) -> None:
    work = make_work(lr=0.03)
    optimizer = make_optimizer(work.network, work.hyperparameters, work.settings)
    set_epoch_rates(optimizer, 60, TrainingSettings())
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.003, 0.006])
    set_epoch_rates(optimizer, 0, TrainingSettings())
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.03, 0.06])


def test_a_step_is_sgd_with_nesterov_momentum_by_hand() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5, fused=True)
    expected, velocity = 1.0, 0.0
    for _ in range(3):
        optimizer.zero_grad()
        (2 * weight).sum().backward()
        optimizer.step()
        gradient = 2 + 0.5 * expected
        velocity = 0.9 * velocity + gradient
        expected -= 0.1 * (gradient + 0.9 * velocity)
    assert float(weight.detach()) == pytest.approx(expected, rel=1e-6)
