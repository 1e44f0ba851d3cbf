from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from array_images import ArrayImages
from torch import nn

from pretrieve.backbones import BackboneParts, find_architecture, keep_backbone
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.loop import EpochReport
from pretrieve.training.pretraining import PretrainingSettings, PretrainingSpec, pretrain


def run(images: ArrayImages, seed: int) -> tuple[BackboneParts, list[EpochReport]]:
    reports: list[EpochReport] = []
    parts = pretrain(
        find_architecture("small_resnet"),
        images,
        PretrainingSpec(num_classes=4, settings=PretrainingSettings(epochs=4, batch_size=16, lr=0.02), seed=seed),
        device=torch.device("cpu"),
        callbacks=[reports.append],
    )
    return parts, reports


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
    weights = [parts.trunk["stem.0.weight"] for parts in (backbone, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_the_head_is_kept_as_the_classifier_of_the_trunk(
    make_images: Callable[[int, int, int], ArrayImages], tmp_path: Path
) -> None:
    parts, _ = run(make_images(4, 16, 0), seed=0)
    architecture, unseen = find_architecture("small_resnet"), make_images(4, 16, 1)
    backbone = keep_backbone(architecture, parts, tmp_path)
    trunk, classifier = backbone.load(), backbone.load_classifier()
    assert classifier is not None
    assert classifier.weight.shape == (4, 64)
    logits = predict_logits(nn.Sequential(trunk, classifier), unseen, architecture.preprocessing, torch.device("cpu"))
    assert (logits.argmax(1) == unseen.labels).double().mean() > 0.5, "guessing is right once in four"
