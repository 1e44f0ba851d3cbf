"""What a backbone's builder froze and set to evaluation mode stays so in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from pretrieve.errors import UserError
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.gradient_gap import measure_gradient_gap
from pretrieve.training.loop import EpochReport, fine_tune
from pretrieve.training.network import TwoHeadNetwork

MakeWork = Callable[..., FineTuning]


def trunk() -> nn.Sequential:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
    body = nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.BatchNorm2d(8, affine=False))
    return nn.Sequential(stem, body, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def freeze(*parts: nn.Module) -> None:
    for part in parts:
        part.requires_grad_(False).eval()


def trained(make_work: MakeWork, backbone: nn.Module, **training: Any) -> tuple[list[str], FineTuning]:
    """Train with scores after each epoch; return the names of what changed in the backbone, and the work."""
    network = TwoHeadNetwork(
        backbone,
        feature_dim=8,
        num_target_classes=3,
        num_source_classes=5,
        generator=torch.Generator().manual_seed(1),
    )
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    work = replace(make_work(epochs=2, **training), network=network)

    def score(_: EpochReport) -> None:
        predict_logits(network, work.target, work.preprocessing, work.device)

    fine_tune(work, callbacks=[score])
    return [name for name, value in backbone.state_dict().items() if not value.equal(before[name])], work


@pytest.mark.parametrize("batch_norm", ["both_streams", "target_only", "frozen"])
def test_a_fixed_stem_keeps_weights_and_statistics(make_work: MakeWork, batch_norm: str) -> None:
    backbone = trunk()
    freeze(backbone[0])
    changed, _ = trained(make_work, backbone, batch_norm=batch_norm)
    assert not [name for name in changed if name.startswith("0.")]
    assert "1.0.weight" in changed
    assert ("1.1.running_mean" in changed) == (batch_norm != "frozen")


def test_single_batch_norms_stay_fixed_among_layers_that_learn(make_work: MakeWork) -> None:
    backbone = trunk()
    freeze(backbone[0][1], backbone[1][3])
    changed, work = trained(make_work, backbone)
    assert not [name for name in changed if name.startswith(("0.1.", "1.3."))]
    assert {"0.0.weight", "1.1.running_mean", "1.1.weight"} <= set(changed)
    assert not backbone[1][3].training
    assert work.network.training


def test_a_trunk_that_is_in_evaluation_mode_but_not_frozen_learns_as_any_other(make_work: MakeWork) -> None:
    """Many builders end with `.eval()`; dropout and batch norms then train all the same."""
    changed, _ = trained(make_work, trunk().eval())
    others, _ = trained(make_work, trunk())
    assert changed == others
    assert {"0.1.running_mean", "1.3.running_mean"} <= set(changed)


def test_frozen_weights_in_training_mode_update_their_statistics_as_in_plain_torch(make_work: MakeWork) -> None:
    backbone = trunk()
    backbone.requires_grad_(False)
    changed, _ = trained(make_work, backbone)
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_frozen_trunk_has_no_gradient_gap(make_work: MakeWork) -> None:
    backbone = trunk()
    freeze(backbone)
    _, work = trained(make_work, backbone)
    with pytest.raises(UserError, match="it arrives frozen; leave gradient_gap out"):
        measure_gradient_gap(work, work.target)
