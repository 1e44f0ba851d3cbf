"""Smoothed labels and balanced classes, against torch's own cross-entropy and against counting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from array_images import ArrayImages
from torch import Tensor

from pretrieve.components import OBJECTIVES
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.label_weights import class_weights, label_weights
from pretrieve.training.objectives import Batch
from pretrieve.training.settings import TrainingSettings
from pretrieve.training.step_inputs import EpochInputs, balanced_batch

MakeWork = Callable[..., FineTuning]
LONG_TAIL = torch.tensor([0] * 60 + [1] * 30 + [3] * 10)  # no image of class 2


def with_long_tail(work: FineTuning) -> FineTuning:
    """Give the 27 images of the work to three classes, 18 to the first and 3 to the last."""
    labels = torch.tensor([0] * 18 + [1] * 6 + [2] * 3)
    images = work.target.gather(torch.arange(27)).numpy()
    return replace(work, target=ArrayImages(images, labels.numpy()))


def first_batches(work: FineTuning) -> list[Batch]:
    return [target for [(target, _)] in EpochInputs(work, 0)]


def losses(work: FineTuning) -> Tensor:
    """The loss of each step of the first epoch, with the network as it is."""
    return torch.stack([work.objective.loss(work.network, batch, None).total for batch in first_batches(work)])


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("num_classes", [1, 2, 7])
def test_smoothed_labels_give_the_loss_of_torchs_own_smoothing(epsilon: float, num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20, num_classes, generator=generator)
    labels = torch.randint(num_classes, (20,), generator=generator)
    ours = F.cross_entropy(logits, label_weights(labels, num_classes, smoothing=epsilon))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=epsilon))


def test_a_steps_smoothed_loss_is_torchs_own_on_the_same_views(make_work: MakeWork) -> None:
    plain, smoothed = make_work(objective="finetune"), make_work(objective="finetune", label_smoothing=0.2)
    expected = [
        F.cross_entropy(plain.network(batch.images), batch.labels, label_smoothing=0.2)
        for batch in first_batches(plain)
    ]
    torch.testing.assert_close(losses(smoothed), torch.stack(expected))


def test_the_labels_of_the_source_are_not_smoothed_and_its_views_stay(make_work: MakeWork) -> None:
    settings: dict[str, Any] = {"label_smoothing": 0.2, "class_balance": "loss"}
    for [(_, plain)], [(_, other)] in zip(
        EpochInputs(make_work(), 0), EpochInputs(make_work(**settings), 0), strict=True
    ):
        assert plain is not None
        assert other is not None
        assert other.labels.equal(plain.labels)
        assert other.images.equal(plain.images)


def test_labels_are_numbers_of_classes_unless_a_setting_that_is_read_says_otherwise(make_work: MakeWork) -> None:
    for work in (make_work(), make_work(objective="finetune", mix_source="mixup", mix_alpha=1.0)):
        for [(target, source)] in EpochInputs(work, 0):
            assert target.labels.dtype == torch.int64
            assert source is None or source.labels.dtype == torch.int64


def test_classes_weigh_the_reverse_of_their_images_and_one_on_average() -> None:
    weights = class_weights(LONG_TAIL)
    assert weights.isfinite().all()
    assert float(weights[LONG_TAIL].mean()) == pytest.approx(1)
    sums = [float(weights[LONG_TAIL][label == LONG_TAIL].sum()) for label in (0, 1, 3)]
    assert sums == pytest.approx([100 / 3] * 3)
    assert class_weights(torch.tensor([0, 1, 2, 1, 0, 2])).tolist() == [1, 1, 1]


def test_a_balanced_loss_is_the_mean_over_images_of_torchs_weighted_cross_entropy(make_work: MakeWork) -> None:
    plain = with_long_tail(make_work(objective="finetune"))
    weight = torch.tensor([27 / 18, 27 / 6, 27 / 3]) / 3
    expected = [
        F.cross_entropy(plain.network(batch.images), batch.labels, weight, reduction="none").mean()
        for batch in first_batches(plain)
    ]
    balanced = with_long_tail(make_work(objective="finetune", class_balance="loss"))
    torch.testing.assert_close(losses(balanced), torch.stack(expected))


def test_balanced_sampling_draws_classes_alike_and_the_images_of_a_class_alike() -> None:
    drawn_rows = torch.stack([balanced_batch(LONG_TAIL, batch_size=100, seed=0, step=step) for step in range(600)])
    assert drawn_rows.shape == (600, 100)
    drawn = torch.bincount(LONG_TAIL[drawn_rows].flatten(), minlength=4) / drawn_rows.numel()
    torch.testing.assert_close(drawn, torch.tensor([1 / 3, 1 / 3, 0, 1 / 3]), atol=0.01, rtol=0)
    of_one_class = torch.bincount(drawn_rows.flatten(), minlength=100)[:60] / drawn_rows.numel()
    torch.testing.assert_close(of_one_class, torch.full((60,), 1 / 180), atol=0.0015, rtol=0)


def test_a_balanced_batch_is_a_function_of_seed_and_step() -> None:
    first, again = (balanced_batch(LONG_TAIL, batch_size=9, seed=1, step=2) for _ in range(2))
    assert first.equal(again)
    assert not first.equal(balanced_batch(LONG_TAIL, batch_size=9, seed=2, step=2))
    assert not first.equal(balanced_batch(LONG_TAIL, batch_size=9, seed=1, step=3))


def test_an_epoch_of_balanced_sampling_has_the_steps_of_any_and_more_of_the_rare(make_work: MakeWork) -> None:
    plain, balanced = (with_long_tail(make_work(class_balance=balance)) for balance in (None, "sampling"))
    seen = {
        name: torch.stack([target.labels for epoch in range(20) for [(target, _)] in EpochInputs(work, epoch)])
        for name, work in (("plain", plain), ("balanced", balanced))
    }
    assert seen["plain"].shape == seen["balanced"].shape
    assert 2 * int((seen["plain"] == 2).sum()) < int((seen["balanced"] == 2).sum())


@pytest.mark.parametrize("name", ["finetune", "joint", "pseudo_label", "co_tuning"])
def test_weighted_labels_give_the_weighted_mean_of_the_losses_of_each_class(make_work: MakeWork, name: str) -> None:
    """The target's term is linear in the weights of the classes, and so is Co-Tuning's second term."""
    work, generator = make_work(), torch.Generator().manual_seed(0)
    work.network.eval()
    images = torch.randn(4, 3, 32, 32, generator=generator)
    source = Batch(images.flip(0), torch.tensor([0, 1, 2, 3]), images.flip(3))
    objective = OBJECTIVES.find(name).build(work.hyperparameters, torch.rand(3, 5, generator=generator).numpy())
    weights = torch.rand(4, 3, generator=generator)

    def target_terms(labels: Tensor, rows: slice) -> Tensor:
        loss = objective.loss(work.network, Batch(images[rows], labels), source)
        return torch.stack(
            [loss.target, loss.source if name == "co_tuning" and loss.source is not None else loss.target]
        )

    expected = sum(
        weights[row, label] * target_terms(torch.tensor([label]), slice(row, row + 1)) / 4
        for row in range(4)
        for label in range(3)
    )
    torch.testing.assert_close(target_terms(weights, slice(0, 4)), expected)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_a_smoothing_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        TrainingSettings(label_smoothing=value)
