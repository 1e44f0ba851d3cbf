from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pretrieve.components import OBJECTIVES
from pretrieve.errors import ComponentError
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch, StepLoss
from pretrieve.training.settings import Hyperparameters

NUM_TARGET_CLASSES, NUM_SOURCE_CLASSES = 3, 5
WEIGHT = 0.3


def tiny_network(*, batch_norm: bool = True, dtype: torch.dtype = torch.float64) -> TwoHeadNetwork:
    """The same weights each time; heads larger than fresh ones, so that their predictions are far from uniform."""
    generator = torch.Generator().manual_seed(3)
    norm: list[nn.Module] = [nn.BatchNorm2d(4)] if batch_norm else []
    convolution = nn.Conv2d(3, 4, 3, stride=2)
    backbone = nn.Sequential(convolution, *norm, nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    network = TwoHeadNetwork(
        backbone,
        feature_dim=16,
        num_target_classes=NUM_TARGET_CLASSES,
        num_source_classes=NUM_SOURCE_CLASSES,
        generator=generator,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network.to(dtype)


def make_batch(size: int, num_classes: int, seed: int, *, strong: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def images() -> Tensor:
        return torch.randn((size, 3, 8, 8), generator=generator, dtype=torch.float64)

    labels = torch.randint(num_classes, (size,), generator=generator)
    return Batch(images(), labels, images() if strong else None)


def relationship() -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(4).dirichlet(np.ones(NUM_SOURCE_CLASSES), size=NUM_TARGET_CLASSES)


def build(name: str) -> Any:
    return OBJECTIVES.find(name).build(Hyperparameters(lr=0.1, source_weight=WEIGHT), relationship())


def batches_for(name: str) -> tuple[Batch, Batch | None]:
    objective = OBJECTIVES.find(name)
    source = make_batch(10, NUM_SOURCE_CLASSES, seed=1, strong=objective.uses_strong_view)
    return make_batch(6, NUM_TARGET_CLASSES, seed=0), source if objective.uses_source else None


def log_probabilities(logits: Tensor) -> Tensor:
    return logits - logits.exp().sum(1, keepdim=True).log()


def hard_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return -log_probabilities(logits)[torch.arange(len(labels)), labels].sum() / len(labels)


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    return -(probabilities * log_probabilities(logits)).sum() / len(logits)


def plain_finetune(network: Any, target: Batch, source: Batch | None) -> tuple[Tensor, Tensor | None, Tensor]:
    loss = hard_cross_entropy(network.target_head(network.backbone(target.images)), target.labels)
    return loss, None, loss


def plain_joint(network: Any, target: Batch, source: Any) -> tuple[Tensor, Tensor | None, Tensor]:
    features = network.backbone(torch.cat([target.images, source.images]))
    target_loss = hard_cross_entropy(network.target_head(features[:6]), target.labels)
    source_loss = hard_cross_entropy(network.source_head(features[6:]), source.labels)
    return target_loss, source_loss, target_loss + 0.3 * source_loss


def plain_pseudo_label(network: Any, target: Batch, source: Any) -> tuple[Tensor, Tensor | None, Tensor]:
    logits = network.target_head(network.backbone(torch.cat([target.images, source.images, source.strong_images])))
    target_loss = hard_cross_entropy(logits[:6], target.labels)
    with torch.no_grad():
        weak = logits[6:16].exp()
        pseudo_labels = weak / weak.sum(1, keepdim=True)
    source_loss = soft_cross_entropy(logits[16:], pseudo_labels)
    return target_loss, source_loss, target_loss + 0.3 * source_loss


def plain_co_tuning(network: Any, target: Batch, source: Batch | None) -> tuple[Tensor, Tensor | None, Tensor]:
    features = network.backbone(target.images)
    target_loss = hard_cross_entropy(network.target_head(features), target.labels)
    rows = torch.stack([torch.from_numpy(relationship())[label] for label in target.labels])
    source_loss = soft_cross_entropy(network.source_head(features), rows)
    return target_loss, source_loss, target_loss + 0.3 * source_loss


PLAIN = {
    "finetune": plain_finetune,
    "joint": plain_joint,
    "pseudo_label": plain_pseudo_label,
    "co_tuning": plain_co_tuning,
}


def gradients(network: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in network.named_parameters()}


def assert_close(ours: dict[str, Tensor | None], theirs: dict[str, Tensor | None], tolerance: float = 1e-6) -> None:
    for name, gradient in ours.items():
        if gradient is None or theirs[name] is None:
            assert gradient is theirs[name], name
        else:
            torch.testing.assert_close(gradient, theirs[name], atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_loss_and_every_gradient_equal_plain_torch(name: str) -> None:
    target, source = batches_for(name)
    network, plain = tiny_network(), tiny_network()
    loss: StepLoss = build(name).loss(network, target, source)
    loss.total.backward()
    target_loss, source_loss, total = PLAIN[name](plain, target, source)
    total.backward()

    assert float(loss.target) == pytest.approx(float(target_loss.detach()), abs=1e-6)
    assert float(loss.total.detach()) == pytest.approx(float(total.detach()), abs=1e-6)
    assert (loss.source is None) == (source_loss is None)
    if loss.source is not None and source_loss is not None:
        assert float(loss.source) == pytest.approx(float(source_loss.detach()), abs=1e-6)
    assert_close(gradients(network), gradients(plain))
    assert any(gradient is not None and bool((gradient.abs() > 1e-3).any()) for gradient in gradients(network).values())


@pytest.mark.parametrize("name", PLAIN)
def test_parts_of_the_loss_hold_on_to_no_graph(name: str) -> None:
    loss = build(name).loss(tiny_network(), *batches_for(name))
    assert not loss.target.requires_grad
    assert loss.source is None or not loss.source.requires_grad


@pytest.mark.parametrize("name", PLAIN)
def test_a_step_is_one_pass_of_the_backbone(name: str) -> None:
    network = tiny_network()
    build(name).loss(network, *batches_for(name))
    assert int(network.backbone[1].num_batches_tracked) == 1


@pytest.mark.parametrize("name", PLAIN)
def test_chunks_weighted_by_their_share_add_up_to_the_whole_step(name: str) -> None:
    target, source = batches_for(name)
    whole, chunked = tiny_network(batch_norm=False), tiny_network(batch_norm=False)
    objective = build(name)
    expected = objective.loss(whole, target, source)
    expected.total.backward()

    total = 0.0
    for share, target_rows, source_rows in [(0.5, slice(0, 3), slice(0, 5)), (0.5, slice(3, 6), slice(5, 10))]:
        part = objective.loss(
            chunked, rows_of(target, target_rows), None if source is None else rows_of(source, source_rows)
        )
        (share * part.total).backward()
        total += share * float(part.total.detach())
    assert total == pytest.approx(float(expected.total.detach()), abs=1e-12)
    assert_close(gradients(chunked), gradients(whole), tolerance=1e-12)


def rows_of(batch: Batch, rows: slice) -> Batch:
    strong = None if batch.strong_images is None else batch.strong_images[rows]
    return Batch(batch.images[rows], batch.labels[rows], strong)


@pytest.mark.parametrize("name", ["joint", "pseudo_label"])
def test_the_sources_loss_alone_is_that_of_the_step(name: str) -> None:
    target, source = batches_for(name)
    assert source is not None
    network, objective = tiny_network(batch_norm=False), build(name)
    alone = objective.source_loss(network, source)
    assert float(alone.detach()) == pytest.approx(float(objective.loss(network, target, source).source), abs=1e-12)
    assert alone.requires_grad


@pytest.mark.parametrize("name", ["finetune", "co_tuning"])
def test_an_objective_without_a_source_stream_has_no_loss_on_one(name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        build(name).source_loss(tiny_network(), make_batch(4, 5, seed=1))


def test_no_gradient_flows_through_the_weak_view() -> None:
    target, source = batches_for("pseudo_label")
    assert source is not None
    assert source.strong_images is not None
    source = source._replace(
        images=source.images.requires_grad_(True), strong_images=source.strong_images.requires_grad_(True)
    )
    build("pseudo_label").loss(tiny_network(batch_norm=False), target, source).total.backward()
    assert source.images.grad is not None
    assert source.strong_images is not None
    assert source.strong_images.grad is not None
    assert float(source.images.grad.abs().max()) == 0
    assert float(source.strong_images.grad.abs().max()) > 1e-4


def test_equal_views_leave_no_gradient_of_the_pseudo_label() -> None:
    """Soft labels equal to the prediction are its minimum; a temperature or a hard label would pull away from it."""
    _, source = batches_for("pseudo_label")
    assert source is not None
    network = tiny_network(batch_norm=False)
    objective = build("pseudo_label")
    objective.source_loss(network, source._replace(strong_images=source.images)).backward()
    assert max(float(g.abs().max()) for g in gradients(network).values() if g is not None) < 1e-12
    network.zero_grad()
    objective.source_loss(network, source).backward()
    assert max(float(g.abs().max()) for g in gradients(network).values() if g is not None) > 1e-3


def test_an_unsure_pseudo_label_counts_like_any_other() -> None:
    """A network that predicts nothing certain gives every image log K: a threshold would give it zero."""
    _, source = batches_for("pseudo_label")
    assert source is not None
    network = tiny_network()
    with torch.no_grad():
        for parameter in network.target_head.parameters():
            parameter.zero_()
    loss = build("pseudo_label").source_loss(network, source)
    assert float(loss.detach()) == pytest.approx(np.log(NUM_TARGET_CLASSES), abs=1e-12)


def test_labels_of_a_cluster_are_never_read() -> None:
    target, source = batches_for("pseudo_label")
    assert source is not None
    objective, nonsense = build("pseudo_label"), source._replace(labels=torch.full_like(source.labels, 999))
    ours = objective.loss(tiny_network(), target, nonsense).total
    assert float(ours.detach()) == float(objective.loss(tiny_network(), target, source).total.detach())


@pytest.mark.parametrize("name", ["finetune", "co_tuning", "joint", "pseudo_label"])
def test_repeating_every_image_changes_no_loss(name: str) -> None:
    target, source = batches_for(name)
    twice = [
        None if b is None else Batch(*(None if x is None else torch.cat([x, x]) for x in b)) for b in (target, source)
    ]
    network, objective = tiny_network(), build(name)
    once = objective.loss(network, target, source).total
    assert float(objective.loss(network, *twice).total.detach()) == pytest.approx(float(once.detach()), abs=1e-12)


def test_half_precision_logits_are_widened_before_the_softmax() -> None:
    target, source = batches_for("joint")
    assert source is not None
    half = [Batch(b.images.to(torch.bfloat16), b.labels) for b in (target, source)]
    assert build("joint").loss(tiny_network(dtype=torch.bfloat16), *half).total.dtype == torch.float32


def test_co_tuning_takes_a_read_only_relationship_and_leaves_it_alone() -> None:
    table = relationship()
    table.setflags(write=False)
    objective = OBJECTIVES.find("co_tuning")(2.3, table)
    loss = objective.loss(
        tiny_network(dtype=torch.float32), Batch(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 2])), None
    )
    assert loss.total.dtype == torch.float32
    assert (table == relationship()).all()


@pytest.mark.parametrize(
    ("name", "flags", "hyperparameters"),
    [
        ("finetune", (False, False, False, False), []),
        ("joint", (True, False, True, False), ["source_weight"]),
        ("pseudo_label", (True, True, False, False), ["source_weight"]),
        ("co_tuning", (False, False, True, True), ["co_tuning_lr", "co_tuning_weight"]),
    ],
)
def test_an_objective_says_what_it_needs_and_reads(name: str, flags: object, hyperparameters: list[str]) -> None:
    found = OBJECTIVES.find(name)
    assert (found.uses_source, found.uses_strong_view, found.uses_source_head, found.uses_relationship) == flags
    assert [each.name for each in found.hyperparameters] == hyperparameters


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(ComponentError, match=r"an objective must be known, but 'jont' is not; .* Did you mean 'joint'"):
        OBJECTIVES.find("jont")


def test_the_joint_loss_of_a_real_backbone_equals_plain_torch(make_work: Callable[..., FineTuning]) -> None:
    network, plain = make_work().network, make_work().network
    generator = torch.Generator().manual_seed(0)
    target = Batch(torch.randn((6, 3, 32, 32), generator=generator), torch.tensor([0, 1, 2, 0, 1, 2]))
    source = Batch(torch.randn((10, 3, 32, 32), generator=generator), torch.arange(10) % 5)
    loss = (
        OBJECTIVES.find("joint").build(Hyperparameters(lr=0.1, source_weight=0.3), None).loss(network, target, source)
    )
    loss.total.backward()
    _, _, total = plain_joint(plain, target, source)
    total.backward()
    assert float(loss.total.detach()) == pytest.approx(float(total.detach()), abs=1e-6)
    assert_close(gradients(network), gradients(plain))
