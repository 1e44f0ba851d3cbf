"""The modes of batch norm against plain torch: what each stream is normalised with, and what moves."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrieve.backbones import find_architecture
from pretrieve.errors import UserError
from pretrieve.training.batch_norm import copied_statistics, streams_apart
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.gradient_gap import estimate_gradient_gap
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch
from pretrieve.training.objectives.joint import JointTwoHead
from pretrieve.training.objectives.pseudo_label import SoftPseudoLabel
from pretrieve.training.step_inputs import EpochInputs

MakeWork = Callable[..., FineTuning]


def images(count: int, seed: int) -> Tensor:
    return torch.randn((count, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


TARGET = Batch(images(6, 0), torch.arange(6) % 3)
SOURCE = Batch(2 * images(8, 1) + 1, torch.arange(8) % 5, images(8, 2))


@pytest.fixture
def network(make_work: MakeWork) -> TwoHeadNetwork:
    """A network in training mode, with a second set of statistics."""
    found = make_work().network.train()
    found.source_statistics = copied_statistics(found.backbone)
    return found


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not found[name].equal(expected[name])] == []


@pytest.mark.parametrize("is_one_pass", [True, False], ids=["one pass", "a pass a stream"])
def test_each_stream_is_normalised_as_if_it_passed_alone(network: TwoHeadNetwork, is_one_pass: bool) -> None:
    of_target, of_source = (copy.deepcopy(network.backbone) for _ in range(2))
    with streams_apart(network, len(TARGET.images), SOURCE):
        if is_one_pass:
            target, source = network.backbone(torch.cat([TARGET.images, SOURCE.images])).split([6, 8])
        else:
            source, target = network.backbone(SOURCE.images), network.backbone(TARGET.images)
    assert target.equal(of_target(TARGET.images))
    assert source.equal(of_source(SOURCE.images))
    assert_same(buffers(network.backbone), buffers(of_target))
    assert_same(network.source_statistics, buffers(of_source))
    assert not network.source_statistics["stem.1.running_mean"].equal(of_target.stem[1].running_mean)


def test_both_views_of_the_source_pass_together_behind_the_target(network: TwoHeadNetwork) -> None:
    of_target, of_source = (copy.deepcopy(network) for _ in range(2))
    assert SOURCE.strong_images is not None
    with streams_apart(network, len(TARGET.images), SOURCE):
        found = SoftPseudoLabel(0.5).loss(network, TARGET, SOURCE)
    weak, strong = of_source(torch.cat([SOURCE.images, SOURCE.strong_images])).chunk(2)
    expected = F.cross_entropy(of_target(TARGET.images), TARGET.labels)
    expected = expected + 0.5 * F.cross_entropy(strong, weak.detach().softmax(1))
    assert float(found.total.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_a_slice_of_a_sources_tensor_is_the_sources(network: TwoHeadNetwork) -> None:
    before = buffers(network.backbone)
    with streams_apart(network, len(TARGET.images), SOURCE):
        network.backbone(SOURCE.images[4:])
    assert_same(buffers(network.backbone), before)


def test_a_pass_of_some_other_images_is_refused(network: TwoHeadNetwork) -> None:
    plain = network.backbone
    with (
        pytest.raises(UserError, match=r"must begin with all of the target's 6 images, .* passes 5 other images; pass"),
        streams_apart(network, len(TARGET.images), SOURCE),
    ):
        network(torch.zeros(5, 3, 32, 32))
    assert network.backbone is plain


def plain_weights(work: FineTuning, *, mode: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train on both streams in a few lines of torch; return the weights and the source's statistics."""
    network = work.network.to(memory_format=torch.channels_last).train()
    of_source = copy.deepcopy(network.backbone)
    for place, module in network.backbone.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(of_source.get_submodule(place), name, parameter)
        if mode == "frozen" and isinstance(module, nn.BatchNorm2d):
            module.eval()
    source_head: Any = network.source_head
    optimizer = torch.optim.SGD(
        [
            {"params": network.backbone.parameters(), "lr": 0.05},
            {"params": [*network.target_head.parameters(), *source_head.parameters()], "lr": 0.1},
        ],
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        fused=True,
    )
    for epoch in range(work.settings.epochs):
        for [(target, source)] in EpochInputs(work, epoch):
            assert source is not None
            if mode == "target_only":
                features = [network.backbone(target.images), of_source(source.images)]
            else:
                features = network.backbone(torch.cat([target.images, source.images])).split([8, 8])
            optimizer.zero_grad()
            target_loss = F.cross_entropy(network.target_head(features[0]), target.labels)
            (target_loss + 0.5 * F.cross_entropy(source_head(features[1]), source.labels)).backward()
            optimizer.step()
    return network.state_dict(), buffers(of_source)


@pytest.mark.parametrize("mode", ["both_streams", "target_only", "frozen"])
def test_a_training_is_plain_torch_to_the_bit(make_work: MakeWork, mode: str) -> None:
    settings = {"epochs": 3, "decay_at": []}
    work, plain = make_work(batch_norm=mode, **settings), make_work(**settings)
    before = buffers(work.network.backbone)
    fine_tune(work)
    weights, of_source = plain_weights(plain, mode=mode)
    assert_same(dict(work.network.state_dict()), dict(weights))
    assert_same(work.network.source_statistics, of_source if mode == "target_only" else {})
    after = buffers(work.network.backbone)
    assert [name for name in after if after[name].equal(before[name])] == (list(after) if mode == "frozen" else [])
    norm = work.network.backbone.stem[1]
    assert not norm.weight.equal(torch.ones_like(norm.weight)), "the weights of batch norm learn in each mode"


def test_a_training_without_a_source_has_one_set_of_statistics(make_work: MakeWork) -> None:
    both, apart = (make_work(objective="finetune", batch_norm=mode) for mode in ("both_streams", "target_only"))
    fine_tune(both)
    fine_tune(apart)
    assert_same(dict(apart.network.state_dict()), dict(both.network.state_dict()))
    assert apart.network.source_statistics == {}


def test_the_weights_fit_a_plain_backbone_which_predicts_the_same(make_work: MakeWork) -> None:
    work = make_work(batch_norm="target_only", learns=2, weight_average=0.9)
    fine_tune(work)
    plain = TwoHeadNetwork(
        find_architecture("small_resnet").build(), feature_dim=64, num_target_classes=3, num_source_classes=5
    )
    plain.load_state_dict(work.network.state_dict())
    plain.to(memory_format=torch.channels_last)  # which decides how sums are rounded
    assert plain.eval()(TARGET.images).equal(work.network.eval()(TARGET.images))


def test_the_gradient_gap_takes_the_sources_gradient_with_the_sources_statistics(network: TwoHeadNetwork) -> None:
    for value in network.source_statistics.values():
        value.add_(1)
    of_source = copy.deepcopy(network)
    of_source.backbone.load_state_dict({**network.backbone.state_dict(), **network.source_statistics})
    of_source.source_statistics = {}
    found, expected = (
        estimate_gradient_gap(each, JointTwoHead(1.0), [TARGET], [SOURCE]) for each in (network, of_source)
    )
    assert found.source_norm_squared == expected.source_norm_squared
    assert found.target_norm_squared != expected.target_norm_squared
