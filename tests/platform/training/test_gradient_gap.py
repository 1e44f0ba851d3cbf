from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pretrieve.components import OBJECTIVES
from pretrieve.training.gradient_gap import estimate_gradient_gap
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch, Objective
from pretrieve.training.objectives.finetune import Finetune
from pretrieve.training.objectives.joint import JointTwoHead


def make_network() -> TwoHeadNetwork:
    generator = torch.Generator().manual_seed(3)
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    network = TwoHeadNetwork(
        backbone, feature_dim=16, num_target_classes=3, num_source_classes=5, generator=generator
    ).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def make_batch(size: int, num_classes: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((2, size, 3, 6, 6), generator=generator, dtype=torch.float64)
    return Batch(images[0], torch.randint(num_classes, (size,), generator=generator), images[1])


TARGET = [make_batch(6, 3, seed=0), make_batch(2, 3, seed=1)]
SOURCE = [make_batch(4, 5, seed=2), make_batch(4, 5, seed=3), make_batch(4, 5, seed=4)]


def flat_gradient(network: TwoHeadNetwork, loss: Tensor) -> Tensor:
    network.zero_grad()
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in network.backbone.parameters() if p.grad is not None])
    network.zero_grad()
    return gradient


def source_loss(network: TwoHeadNetwork, objective: Objective, batch: Batch) -> Tensor:
    assert network.source_head is not None
    if objective.name == "joint":
        return nn.CrossEntropyLoss()(network.source_head(network.backbone(batch.images)), batch.labels)
    assert batch.strong_images is not None
    pseudo_labels = network(batch.images).softmax(1).detach()
    return -(pseudo_labels * network(batch.strong_images).log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("num_parts", [1, 3])
@pytest.mark.parametrize("word", ["joint", "pseudo_label"])
def test_gap_norms_and_cosine_equal_plain_autograd(word: str, num_parts: int) -> None:
    objective = OBJECTIVES.find(word)(0.3)
    gap = estimate_gradient_gap(make_network(), objective, TARGET, SOURCE, num_parts=num_parts)

    plain = make_network().eval()
    images, labels = torch.cat([b.images for b in TARGET]), torch.cat([b.labels for b in TARGET])
    target = flat_gradient(plain, nn.CrossEntropyLoss()(plain(images), labels))
    sources = [flat_gradient(plain, source_loss(plain, objective, batch)) for batch in SOURCE]
    assert gap.delta_squared == pytest.approx(sum(float((target - s).square().sum()) for s in sources) / 3, rel=1e-10)
    assert gap.target_norm_squared == pytest.approx(float(target.square().sum()), rel=1e-10)
    assert gap.source_norm_squared == pytest.approx(sum(float(s.square().sum()) for s in sources) / 3, rel=1e-10)
    cosines = [float(torch.cosine_similarity(target, s, dim=0)) for s in sources]
    assert gap.cosine == pytest.approx(sum(cosines) / 3, abs=1e-10)


def test_the_weight_of_the_source_does_not_enter() -> None:
    gaps = [estimate_gradient_gap(make_network(), JointTwoHead(weight), TARGET, SOURCE) for weight in (0.1, 1.0)]
    assert gaps[0] == gaps[1]


def test_a_source_that_is_the_target_leaves_no_gap() -> None:
    network = make_network()
    network.source_head = network.target_head
    gap = estimate_gradient_gap(network, JointTwoHead(1.0), TARGET[:1], TARGET[:1])
    assert gap.delta_squared == pytest.approx(0, abs=1e-20)
    assert gap.cosine == pytest.approx(1)


def test_a_vanishing_gradient_has_no_direction() -> None:
    network = make_network()
    with torch.no_grad():
        network.target_head.weight.zero_()
    gap = estimate_gradient_gap(network, JointTwoHead(1.0), TARGET, SOURCE)
    assert gap.target_norm_squared == 0
    assert gap.cosine == 0
    assert gap.delta_squared == pytest.approx(gap.source_norm_squared)


def test_the_network_is_left_exactly_as_it_was() -> None:
    network = make_network().train()
    network.backbone[1].eval()  # a batch norm that its user froze
    network(TARGET[0].images).sum().backward()
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    random_state = torch.get_rng_state()

    with torch.no_grad():
        estimate_gradient_gap(network, OBJECTIVES.find("pseudo_label")(1.0), TARGET, SOURCE)

    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert {n for n, p in network.named_parameters() if p.grad is not None} == set(gradients)
    assert all(torch.equal(p.grad, gradients[n]) for n, p in network.named_parameters() if p.grad is not None)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_modes_return_even_when_a_batch_is_broken() -> None:
    network = make_network().train()
    with pytest.raises(RuntimeError):
        estimate_gradient_gap(network, JointTwoHead(1.0), [Batch(torch.zeros(1, 9, 6, 6), torch.tensor([0]))], SOURCE)
    assert all(module.training for module in network.modules())


def test_an_objective_without_a_source_stream_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="finetune has no loss on a source stream"):
        estimate_gradient_gap(make_network(), Finetune(), TARGET, SOURCE)
