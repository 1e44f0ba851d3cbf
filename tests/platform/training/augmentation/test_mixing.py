"""Blends of images and labels: recovered from what a step sees, and compared with their definitions in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.augmentation.mixing import draw_blend
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import EpochReport, fine_tune
from pretrieve.training.objectives import Batch
from pretrieve.training.process_group import ProcessGroup
from pretrieve.training.step_inputs import EpochInputs

MakeWork = Callable[..., FineTuning]
Mix = Literal["mixup", "cutmix"]
SIZE = 16


def steps_of(work: FineTuning, epoch: int = 0) -> list[tuple[Batch, Batch | None]]:
    """The batches of an epoch's steps, their parts joined."""
    steps = []
    for parts in EpochInputs(work, epoch):
        targets, sources = zip(*parts, strict=True)
        joined = [
            Batch(torch.cat([b.images for b in s]), torch.cat([b.labels for b in s]))
            for s in (targets, sources)
            if s[0]
        ]
        steps.append((joined[0], joined[1] if len(joined) > 1 else None))
    return steps


def covered(mixed: Tensor, first: Tensor) -> Tensor:
    """The (S, S) pixels that a blend did not take from its first image."""
    return (mixed != first).any(0)


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    return F.one_hot(labels, num_classes).float()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_drawn_from_a_beta_distribution(alpha: float) -> None:
    rng = np.random.default_rng(0)
    blends = [draw_blend("mixup", alpha=alpha, size=SIZE, keeps_most=False, rng=rng) for _ in range(20_000)]
    shares = np.array([blend.share for blend in blends])
    assert all(blend.box is None for blend in blends)
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_an_image_keeps_at_least_half_of_itself_where_it_must(mix: Mix) -> None:
    rng = np.random.default_rng(0)
    shares = [draw_blend(mix, alpha=1.0, size=SIZE, keeps_most=True, rng=rng).share for _ in range(1000)]
    assert 0.5 <= min(shares) < 0.55
    assert max(shares) <= 1


def test_a_box_covers_what_its_share_leaves_and_lies_on_any_part_of_the_image() -> None:
    rng = np.random.default_rng(0)
    first, second = torch.zeros(1, 3, SIZE, SIZE), torch.ones(1, 3, SIZE, SIZE)
    hits, unclipped = torch.zeros(SIZE, SIZE), []
    for _ in range(2000):
        blend = draw_blend("cutmix", alpha=1.0, size=SIZE, keeps_most=False, rng=rng)
        mixed = blend.images(first, second)
        assert float(mixed.mean()) == pytest.approx(1 - blend.share, abs=1e-6)
        left, top, right, bottom = blend.box or (0, 0, 0, 0)
        expected = torch.zeros(SIZE, SIZE)
        expected[top:bottom, left:right] = 1
        assert mixed[0, 0].equal(expected)
        hits += expected
        if left > 0 and right < SIZE and top > 0 and bottom < SIZE:
            unclipped.append((right - left) - (bottom - top))
    assert float(hits.min()) > 100, "no corner is left out"
    assert unclipped.count(0) == len(unclipped) > 100, "a box that meets no border is a square"


def test_blends_keep_the_memory_format() -> None:
    first, second = (torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last) for _ in range(2))
    mixes: tuple[Mix, Mix] = ("mixup", "cutmix")
    for mix in mixes:
        blend = draw_blend(mix, alpha=1.0, size=8, keeps_most=False, rng=np.random.default_rng(1))
        assert blend.images(first, second).is_contiguous(memory_format=torch.channels_last)


def partners_of(plain: Batch, mixed: Batch, num_classes: int = 3) -> list[int]:
    """Find the partner of each image of a mixup from pixels alone; images and labels must have one share in a step."""
    shares, partners = [], []
    for row in range(len(plain.images)):
        change = (mixed.images[row] - plain.images[row]).flatten()
        away = (plain.images - plain.images[row]).flatten(1)
        fits = [torch.linalg.lstsq(other[:, None], change[:, None]).solution.item() for other in away]
        gaps = [float((change - share * other).norm()) for share, other in zip(fits, away, strict=True)]
        partner = row if float(change.norm()) < 1e-3 else int(np.argmin(gaps))
        assert gaps[partner] < 1e-3
        partners.append(partner)
        if partner != row:
            shares.append(1 - fits[partner])
    assert shares
    assert shares == pytest.approx([shares[0]] * len(shares), abs=1e-4)
    labels = one_hot(plain.labels, num_classes)
    torch.testing.assert_close(mixed.labels, shares[0] * labels + (1 - shares[0]) * labels[partners], atol=1e-4, rtol=0)
    return partners


def test_mixup_blends_images_and_labels_of_a_permutation_with_one_share_a_step(make_work: MakeWork) -> None:
    plain, mixed = steps_of(make_work()), steps_of(make_work(mix="mixup", mix_alpha=5.0))
    partners = [partners_of(before, after) for (before, _), (after, _) in zip(plain, mixed, strict=True)]
    assert all(sorted(each) == list(range(8)) for each in partners)
    assert len({tuple(each) for each in partners}) > 1
    for (_, before), (_, after) in zip(plain, mixed, strict=True):
        assert before is not None
        assert after is not None
        assert after.images.equal(before.images), "the source stays"
        assert after.labels.equal(before.labels)


def test_cutmix_pastes_one_box_a_step_and_its_area_is_the_labels_share(make_work: MakeWork) -> None:
    for (plain, _), (mixed, _) in zip(
        steps_of(make_work()), steps_of(make_work(mix="cutmix", mix_alpha=5.0)), strict=True
    ):
        boxes = torch.stack([covered(mixed.images[row], plain.images[row]) for row in range(8)])
        box = boxes.any(0)
        share = 1 - float(box.float().mean())
        labels, partners = one_hot(plain.labels, 3), []
        for row in range(8):
            pasted = [int(n) for n in range(8) if mixed.images[row][:, box].equal(plain.images[n][:, box])]
            assert len(pasted) == 1
            assert mixed.images[row][:, ~box].equal(plain.images[row][:, ~box])
            partners += pasted
        assert sorted(partners) == list(range(8))
        torch.testing.assert_close(mixed.labels, share * labels + (1 - share) * labels[partners])


def test_labels_are_smoothed_and_weighted_before_they_are_mixed(make_work: MakeWork) -> None:
    settings: dict[str, Any] = {"label_smoothing": 0.3, "class_balance": "loss"}
    plain, mixed = steps_of(make_work(**settings)), steps_of(make_work(**settings, mix="mixup", mix_alpha=5.0))
    partners = [
        partners_of(b, a)
        for (b, _), (a, _) in zip(steps_of(make_work()), steps_of(make_work(mix="mixup", mix_alpha=5.0)), strict=True)
    ]
    for (before, _), (after, _), rows in zip(plain, mixed, partners, strict=True):
        changes, spans = after.labels - before.labels, before.labels[rows] - before.labels
        moved = spans.abs().amax(1) > 0
        shares = (changes[moved] * spans[moved]).sum(1) / spans[moved].square().sum(1)
        torch.testing.assert_close(changes, shares.mean() * spans, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
@pytest.mark.parametrize("source_batch_size", [5, 8, 12])
def test_between_the_streams_image_i_meets_image_i_and_each_loss_has_its_own_share(
    make_work: MakeWork, mix: Mix, source_batch_size: int
) -> None:
    sizes: dict[str, Any] = {"source_batch_size": source_batch_size}
    work = make_work(**sizes, mix_source=mix, mix_alpha=5.0)
    for (target, source), (mixed_target, mixed_source) in zip(
        steps_of(make_work(**sizes)), steps_of(work), strict=True
    ):
        assert source is not None
        assert mixed_source is not None
        share = float(mixed_target.labels.sum(1)[0])
        assert 0.5 <= share < 1
        torch.testing.assert_close(mixed_target.labels, share * one_hot(target.labels, 3))
        torch.testing.assert_close(mixed_source.labels, share * one_hot(source.labels, 5))
        pairs = [
            (target.images, source.images[torch.arange(8) % source_batch_size], mixed_target.images),
            (source.images, target.images[torch.arange(source_batch_size) % 8], mixed_source.images),
        ]
        for own, other, mixed in pairs:
            if mix == "mixup":
                torch.testing.assert_close(mixed, share * own + (1 - share) * other)
            else:
                box = covered(mixed_target.images[0], target.images[0])
                assert float(box.float().mean()) == pytest.approx(1 - share)
                assert mixed.equal(torch.where(box, other, own))


def test_the_joint_loss_of_mixed_streams_is_each_streams_own_times_its_share(make_work: MakeWork) -> None:
    work = make_work(mix_source="mixup", mix_alpha=5.0)
    (target, source), (mixed_target, mixed_source) = steps_of(make_work())[0], steps_of(work)[0]
    assert source is not None
    assert mixed_source is not None
    share = float(mixed_target.labels.sum(1)[0])
    loss = work.objective.loss(work.network, mixed_target, mixed_source)
    plain = make_work().network
    first, second = (
        share * target.images + (1 - share) * source.images,
        share * source.images + (1 - share) * target.images,
    )
    of_target, of_source = plain.backbone(torch.cat([first, second])).split(8)
    assert plain.source_head is not None
    target_loss = share * F.cross_entropy(plain.target_head(of_target), target.labels)
    source_loss = share * F.cross_entropy(plain.source_head(of_source), source.labels)
    torch.testing.assert_close(loss.total, target_loss + 0.5 * source_loss)
    assert loss.source is not None
    torch.testing.assert_close(loss.source, source_loss.detach())


ALL = [
    {"mix": "mixup", "mix_source": "cutmix", "class_balance": "loss", "label_smoothing": 0.1},
    {"mix": "cutmix", "mix_source": "mixup", "class_balance": "sampling", "label_smoothing": 0.1, "mix_alpha": 1.0},
]


@pytest.mark.parametrize("settings", ALL, ids=["loss", "sampling"])
def test_parts_of_a_mixed_step_are_the_step_taken_apart(make_work: MakeWork, settings: dict[str, Any]) -> None:
    whole, parts = steps_of(make_work(**settings)), steps_of(replace(make_work(**settings), num_parts=4))
    for streams, joined in zip(whole, parts, strict=True):
        for one, other in zip(streams, joined, strict=True):
            assert one is not None
            assert other is not None
            assert one.images.equal(other.images)
            assert one.labels.equal(other.labels)


def test_two_workers_mix_their_halves_with_the_share_of_the_step(make_work: MakeWork) -> None:
    plain = steps_of(make_work())
    halves = [
        steps_of(replace(make_work(mix="mixup", mix_alpha=5.0), process_group=ProcessGroup(rank, 2))) for rank in (0, 1)
    ]
    for step, (whole, _) in enumerate(plain):
        shares = []
        for rank in (0, 1):
            before, after = whole.part(slice(4 * rank, 4 * rank + 4)), halves[rank][step][0]
            assert sorted(partners_of(before, after)) == list(range(4))
            moved = (after.labels > 0).sum(1) == 2
            shares += after.labels[moved].gather(1, before.labels[moved, None]).flatten().tolist()
        assert shares == pytest.approx([shares[0]] * len(shares), abs=1e-5)


@pytest.mark.parametrize("settings", ALL, ids=["loss", "sampling"])
def test_a_resumed_trial_that_mixes_and_balances_ends_with_the_weights_of_one_left_alone(
    make_work: MakeWork, tmp_path: Path, settings: dict[str, Any]
) -> None:
    class KilledError(Exception):
        pass

    def kill(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KilledError

    checkpoint = CheckpointFile(tmp_path / "trial.pt")
    with pytest.raises(KilledError):
        fine_tune(make_work(epochs=3, **settings), callbacks=[kill], checkpoint=checkpoint)
    resumed, alone = make_work(epochs=3, **settings), make_work(epochs=3, **settings)
    epochs: list[int] = []
    fine_tune(resumed, callbacks=[lambda report: epochs.append(report.epoch)], checkpoint=checkpoint)
    fine_tune(alone)
    assert epochs == [2, 3]
    weights = alone.network.state_dict()
    assert [name for name, value in resumed.network.state_dict().items() if not value.equal(weights[name])] == []
