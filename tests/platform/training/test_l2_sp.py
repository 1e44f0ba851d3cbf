"""L2-SP against its definition; the contract suite covers the rest."""

from __future__ import annotations

import copy

import torch
from torch import nn

from pretrieve.components import OPTIMIZERS
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

DECAY, LR, STEPS = 0.3, 0.05, 4


def small_network() -> TwoHeadNetwork:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    return TwoHeadNetwork(
        nn.Linear(6, 4), feature_dim=4, num_target_classes=3, num_source_classes=2, generator=generator
    )


def loss_of(network: TwoHeadNetwork, step: int) -> torch.Tensor:
    images = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
    features = network.backbone(images)
    assert network.source_head is not None
    return network.target_head(features).square().mean() + network.source_head(features).exp().mean()


def test_the_backbone_is_pulled_to_its_start_and_fresh_heads_to_zero() -> None:
    ours, plain = small_network(), small_network()
    start = copy.deepcopy(plain.backbone.state_dict())
    hyperparameters = Hyperparameters(lr=LR, weight_decay=DECAY, head_lr_ratio=1.0)
    optimizer = OPTIMIZERS.build("l2_sp", {}).build(ours, hyperparameters, TrainingSettings(momentum=0.8))
    sgd = torch.optim.SGD(plain.parameters(), lr=LR, momentum=0.8, nesterov=True)
    for step in range(STEPS):
        for network, by in ((ours, optimizer), (plain, sgd)):
            by.zero_grad()
            loss = loss_of(network, step)
            if network is plain:  # the penalty of the paper, as a part of the loss
                pulled = sum((value - start[name]).square().sum() for name, value in plain.backbone.named_parameters())
                decayed = sum(value.square().sum() for value in plain.head_parameters())
                loss = loss + DECAY / 2 * (pulled + decayed)
            loss.backward()
            by.step()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name])


def test_a_resumed_training_is_pulled_to_where_the_whole_one_began() -> None:
    hyperparameters = Hyperparameters(lr=LR, weight_decay=DECAY)

    def train(network: TwoHeadNetwork, steps: range, state: dict[str, object] | None) -> dict[str, object]:
        optimizer = OPTIMIZERS.build("l2_sp", {}).build(network, hyperparameters, TrainingSettings())
        if state is not None:
            optimizer.load_state_dict(state)
        for step in steps:
            optimizer.zero_grad()
            loss_of(network, step).backward()
            optimizer.step()
        return copy.deepcopy(optimizer.state_dict())

    whole, halves = small_network(), small_network()
    train(whole, range(STEPS), None)
    state = train(halves, range(2), None)
    train(halves, range(2, STEPS), state)
    assert [name for name, value in whole.state_dict().items() if not value.equal(halves.state_dict()[name])] == []
