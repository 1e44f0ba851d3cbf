from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from pretrieve.backbones import find_architecture
from pretrieve.training.images import ArrayImages
from pretrieve.training.loop import EpochReport
from pretrieve.training.pretraining import PretrainingSettings, pretrain


def run(images: ArrayImages, seed: int) -> tuple[nn.Module, list[EpochReport]]:
    reports: list[EpochReport] = []
    backbone = pretrain(
        find_architecture("small_resnet"),
        images,
        num_classes=4,
        settings=PretrainingSettings(epochs=4, batch_size=16, lr=0.02),
        seed=seed,
        device=torch.device("cpu"),
        on_epoch=reports.append,
    )
    return backbone, reports


def test_pretraining_learns_from_random_weights_that_its_seed_decides(
    make_images: Callable[[int, int, int], ArrayImages],
) -> None:
    images = make_images(4, 16, 0)
    state = torch.random.get_rng_state()
    backbone, reports = run(images, seed=0)
    assert torch.random.get_rng_state().equal(state), "the caller's random state stays as it was"
    assert reports[-1].loss_target < reports[0].loss_target
    again, _ = run(images, seed=0)
    other, _ = run(images, seed=1)
    weights = [network.state_dict()["stem.0.weight"] for network in (backbone, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])
