"""Averaged weights and clipped gradients against their definitions; and trainings with every such setting, resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import EpochReport, fine_tune

MakeWork = Callable[..., FineTuning]


def weights_of(work: FineTuning) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in work.network.named_parameters()}


def trained(work: FineTuning) -> list[dict[str, Tensor]]:
    """Train, and return the weights after each step."""
    steps: list[dict[str, Tensor]] = []
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(weights_of(work)))
    fine_tune(work)
    hook.remove()
    return steps


def average_of(steps: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    shares = [decay ** (len(steps) - place) for place in range(1, len(steps) + 1)]
    return {
        name: sum(share * weights[name].double() for share, weights in zip(shares, steps, strict=True)) / sum(shares)
        for name in steps[0]
    }


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_a_training_ends_with_the_average_of_its_weights_and_takes_the_same_steps(
    make_work: MakeWork, decay: float
) -> None:
    work, plain = make_work(weight_average=decay), make_work()
    steps = trained(work)
    for name, expected in average_of(steps, decay).items():
        torch.testing.assert_close(weights_of(work)[name].double(), expected, rtol=1e-5, atol=1e-6)
    assert len(steps) == work.length.num_steps
    for found, expected_step in zip(steps, trained(plain), strict=True):
        assert all(found[name].equal(expected_step[name]) for name in found)
    of_batch_norm = dict(plain.network.named_buffers())
    assert all(buffer.equal(of_batch_norm[name]) for name, buffer in work.network.named_buffers())


def test_callbacks_see_the_averaged_weights(make_work: MakeWork) -> None:
    work = make_work(weight_average=0.8)
    seen: list[dict[str, Tensor]] = []
    scored: list[Tensor] = []

    def look(report: EpochReport) -> None:
        seen.append(weights_of(work))
        scored.append(predict_logits(work.network, work.target, work.preprocessing, work.device))

    steps: list[dict[str, Tensor]] = []
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(weights_of(work)))
    fine_tune(work, callbacks=[look])
    hook.remove()
    for epoch, found in enumerate(seen, start=1):
        for name, expected in average_of(steps[: epoch * len(work.length.steps(0))], 0.8).items():
            torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-6)
    assert predict_logits(work.network, work.target, work.preprocessing, work.device).equal(scored[-1])


@pytest.mark.parametrize("num_parts", [1, 4])
def test_gradients_are_shortened_to_the_largest_norm(make_work: MakeWork, num_parts: int) -> None:
    def gradients(max_norm: float | None) -> list[Tensor]:
        """Train, and return the gradient of each step, of all weights together."""
        work = replace(make_work(max_gradient_norm=max_norm, epochs=2), num_parts=num_parts)
        found: list[Tensor] = []

        def look(*_: Any) -> None:
            found.append(
                torch.cat([each.grad.flatten() for each in work.network.parameters() if each.grad is not None])
            )

        hook = register_optimizer_step_post_hook(look)
        fine_tune(work)
        hook.remove()
        return found

    plain, loose, tight = gradients(None), gradients(1e6), gradients(1e-3)
    assert all(found.equal(expected) for found, expected in zip(loose, plain, strict=True))
    assert [float(found.norm()) for found in tight] == pytest.approx([1e-3] * len(plain), rel=1e-3)
    assert float(plain[0].norm()) > 1e-3
    torch.testing.assert_close(tight[0], plain[0] * 1e-3 / plain[0].norm(), rtol=1e-4, atol=1e-9)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 3])
@pytest.mark.parametrize("batch_norm", ["target_only", "frozen"])
def test_a_resumed_trial_with_every_setting_ends_with_the_weights_of_one_left_alone(
    make_work: MakeWork, tmp_path: Path, batch_norm: str, stop_after: int
) -> None:
    def make() -> FineTuning:
        return make_work(batch_norm=batch_norm, learns=4, weight_average=0.9, max_gradient_norm=0.5)

    def kill(report: EpochReport) -> None:
        if report.epoch == stop_after + 1:
            raise KilledError

    checkpoint = CheckpointFile(tmp_path / "trial.pt")
    with pytest.raises(KilledError):
        fine_tune(make(), callbacks=[kill], checkpoint=checkpoint)
    epochs: list[int] = []
    alone, resumed = make(), make()
    fine_tune(resumed, callbacks=[lambda report: epochs.append(report.epoch)], checkpoint=checkpoint)
    fine_tune(alone)
    assert epochs == list(range(stop_after + 1, 5))
    for of in (lambda work: work.network.state_dict(), lambda work: work.network.source_statistics):
        assert of(resumed).keys() == of(alone).keys()
        assert [name for name, value in of(resumed).items() if not value.equal(of(alone)[name])] == []
    assert bool(alone.network.source_statistics) == (batch_norm == "target_only")
