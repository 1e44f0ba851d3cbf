from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pretrieve.training.loop import FineTuning
from pretrieve.training.network import HEAD_STD
from pretrieve.training.objectives import Batch, make_objective
from pretrieve.training.settings import Hyperparameters


def batch(size: int, num_classes: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((size, 3, 32, 32), generator=generator)
    return Batch(images, torch.randint(num_classes, (size,), generator=generator))


def negative_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -(logits - logits.logsumexp(1, keepdim=True))[torch.arange(len(labels)), labels].mean()


def gradients(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def test_joint_loss_and_gradients_equal_plain_torch(make_work: Callable[..., FineTuning]) -> None:
    target, source = batch(6, 3, seed=0), batch(10, 5, seed=1)
    network = make_work().network
    loss = make_objective("joint", Hyperparameters(lr=0.1, source_weight=0.3)).loss(network, target, source)
    loss.total.backward()

    plain = make_work().network
    assert plain.source_head is not None
    features = plain.backbone(torch.cat([target.images, source.images]))
    target_loss = negative_log_likelihood(plain.target_head(features[:6]), target.labels)
    source_loss = negative_log_likelihood(plain.source_head(features[6:]), source.labels)
    (target_loss + 0.3 * source_loss).backward()

    assert float(loss.target) == pytest.approx(float(target_loss.detach()), abs=1e-6)
    assert loss.source is not None
    assert float(loss.source) == pytest.approx(float(source_loss.detach()), abs=1e-6)
    for ours, theirs in zip(gradients(network), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_batch_norm_sees_both_streams_at_once(make_work: Callable[..., FineTuning]) -> None:
    network = make_work().network
    before = network.backbone.stem[1].num_batches_tracked.clone()
    make_objective("joint", Hyperparameters(lr=0.1, source_weight=1.0)).loss(network, batch(4, 3, 0), batch(4, 5, 1))
    assert int(network.backbone.stem[1].num_batches_tracked - before) == 1


def test_finetune_is_cross_entropy_of_the_target_alone(make_work: Callable[..., FineTuning]) -> None:
    network, target = make_work(objective="finetune").network, batch(6, 3, seed=0)
    loss = make_objective("finetune", Hyperparameters(lr=0.1)).loss(network, target, None)
    expected = negative_log_likelihood(make_work(objective="finetune").network(target.images), target.labels)
    assert float(loss.total.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert loss.source is None


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(KeyError, match="jont"):
        make_objective("jont", Hyperparameters(lr=0.1))


def test_heads_start_at_the_papers_scale_with_zero_bias(make_work: Callable[..., FineTuning]) -> None:
    network = make_work().network
    assert network.source_head is not None
    weights = torch.cat([network.target_head.weight.flatten(), network.source_head.weight.flatten()]).detach()
    assert float(weights.std()) == pytest.approx(HEAD_STD, rel=0.15)
    assert float(network.target_head.bias.detach().abs().max()) == 0
    assert len(network.head_parameters()) == 4
    assert len(make_work(objective="finetune").network.head_parameters()) == 2
