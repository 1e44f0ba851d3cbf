"""What each step sees: the same images and views, however many workers and parts share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pretrieve.components import OBJECTIVES
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.process_group import ProcessGroup
from pretrieve.training.step_inputs import EpochInputs

MakeWork = Callable[..., FineTuning]


def streams(work: FineTuning, epoch: int = 0) -> dict[str, torch.Tensor]:
    """All that one worker sees in an epoch, laid end to end by step: (steps, images, …)."""
    steps = list(EpochInputs(work, epoch))
    seen = {
        "target": [torch.cat([target.images for target, _ in parts]) for parts in steps],
        "labels": [torch.cat([target.labels for target, _ in parts]) for parts in steps],
        "source": [torch.cat([source.images for _, source in parts if source is not None]) for parts in steps],
    }
    return {name: torch.stack(values) for name, values in seen.items()}


@pytest.mark.parametrize("num_parts", [2, 4])
def test_parts_of_a_step_are_the_step_taken_apart(make_work: MakeWork, num_parts: int) -> None:
    whole, parts = make_work(), replace(make_work(), num_parts=num_parts)
    assert all(len(step) == num_parts for step in EpochInputs(parts, 0))
    for name, value in streams(whole).items():
        assert streams(parts)[name].equal(value), name


def test_two_workers_see_the_halves_of_what_one_sees(make_work: MakeWork) -> None:
    whole = streams(make_work())
    halves = [streams(replace(make_work(), process_group=ProcessGroup(rank, 2))) for rank in (0, 1)]
    for name, value in whole.items():
        assert torch.cat([half[name] for half in halves], dim=1).equal(value), name


def test_epochs_differ_and_repeat(make_work: MakeWork) -> None:
    first, again, second = (streams(make_work(), epoch)["target"] for epoch in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(second)


def test_pseudo_labels_get_a_strong_view_of_the_same_images(make_work: MakeWork) -> None:
    work = make_work()
    strong = replace(work, objective=OBJECTIVES.find("pseudo_label").build(work.hyperparameters, None))
    ((_, source),) = next(iter(EpochInputs(strong, 0)))
    assert source is not None
    assert source.strong_images is not None
    assert source.strong_images.shape == source.images.shape
    assert not source.strong_images.equal(source.images)
    # A view differs from another of its own image less than from those of others: colours tell the images apart.
    weak, other = (images.mean((2, 3)) for images in (source.images, source.strong_images))
    distances = torch.cdist(weak, other)
    assert distances.diagonal().mean() < distances.mean()


def test_a_fault_of_the_images_reaches_the_loop(make_work: MakeWork) -> None:
    work = make_work()

    class LostImages:
        labels, aspects = work.target.labels, work.target.aspects

        def gather(self, indices: torch.Tensor) -> torch.Tensor:
            raise OSError("the disk is gone")

        def __len__(self) -> int:
            return len(work.target)

    with pytest.raises(OSError, match="the disk is gone"):
        list(EpochInputs(replace(work, target=LostImages()), 0))


def test_inputs_are_made_by_one_thread_and_the_network_keeps_its_own(make_work: MakeWork) -> None:
    work, before = make_work(), torch.get_num_threads()
    seen: list[int] = []

    class Watched:
        labels, aspects = work.target.labels, work.target.aspects

        def gather(self, indices: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return work.target.gather(indices)

        def __len__(self) -> int:
            return len(work.target)

    torch.set_num_threads(2)
    try:
        for _ in EpochInputs(replace(work, target=Watched()), 0):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
