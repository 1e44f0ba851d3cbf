from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pretrieve.errors import BackboneError
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.head_starts.gaussian import HEAD_STD
from pretrieve.training.network import TwoHeadNetwork


def make_network(source_classifier: nn.Linear | None = None, *, num_source_classes: int = 5) -> TwoHeadNetwork:
    return TwoHeadNetwork(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 8)),
        feature_dim=8,
        num_target_classes=3,
        num_source_classes=num_source_classes,
        generator=torch.Generator().manual_seed(1),
        source_classifier=source_classifier,
    )


def test_heads_start_at_the_papers_scale_with_zero_bias(make_work: Callable[..., FineTuning]) -> None:
    network = make_work().network
    assert network.source_head is not None
    weights = torch.cat([network.target_head.weight.flatten(), network.source_head.weight.flatten()]).detach()
    assert float(weights.std()) == pytest.approx(HEAD_STD, rel=0.15)
    assert float(network.target_head.bias.detach().abs().max()) == 0
    assert len(network.head_parameters()) == 4
    assert len(make_work(objective="finetune").network.head_parameters()) == 2


def test_the_source_head_starts_as_a_copy_of_the_pretrained_classifier() -> None:
    classifier = nn.Linear(8, 5).requires_grad_(False)
    head = make_network(classifier).source_head
    assert head is not None
    assert torch.equal(head.weight, classifier.weight)
    assert torch.equal(head.bias, classifier.bias)
    assert all(parameter.requires_grad for parameter in head.parameters())
    with torch.no_grad():
        head.weight.add_(1)
    assert not torch.equal(head.weight, classifier.weight)


@pytest.mark.parametrize("is_pretrained", [False, True])
def test_every_parameter_learns_at_exactly_one_rate(is_pretrained: bool) -> None:
    network = make_network(nn.Linear(8, 5) if is_pretrained else None)
    assert network.source_head is not None
    at_backbone_rate, at_head_rate = network.pretrained_parameters(), network.head_parameters()
    both = [id(parameter) for parameter in at_backbone_rate + at_head_rate]
    assert sorted(both) == sorted(id(parameter) for parameter in network.parameters())
    group = at_backbone_rate if is_pretrained else at_head_rate
    assert any(parameter is network.source_head.weight for parameter in group)


def test_a_pretrained_source_head_leaves_the_target_heads_first_weights_as_they_were() -> None:
    assert torch.equal(make_network(nn.Linear(8, 5)).target_head.weight, make_network().target_head.weight)


def test_a_classifier_of_another_source_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"shape .* = \(5, 8\), but has \(6, 8\); give the classifier"):
        make_network(nn.Linear(8, 6))
