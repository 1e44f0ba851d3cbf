from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest, chi2_contingency
from torch import Tensor
from torchvision.transforms import v2

from pretrieve.training.augmentation.rand_augment import (
    NUM_MAGNITUDES,
    OPERATIONS,
    OperationDraws,
    apply_operation,
    draw_operations,
    rand_augment,
)

NUM_DRAWS = 5_000


class Torchvision(v2.RandAugment):
    """Torchvision's RandAugment, one known operation at a time."""

    def named(self, image: Tensor, name: str, magnitude: int, *, negative: bool) -> Tensor:
        magnitudes_of, is_signed = self._AUGMENTATION_SPACE[name]
        magnitudes = magnitudes_of(NUM_MAGNITUDES, *image.shape[-2:])
        strength = 0.0 if magnitudes is None else float(magnitudes[magnitude])
        strength = -strength if is_signed and negative else strength
        result: Tensor = self._apply_image_or_video_transform(image, name, strength, self.interpolation, self._fill)
        return result

    def names(self, count: int) -> list[str]:
        return [self._get_random_item(self._AUGMENTATION_SPACE)[0] for _ in range(count)]


def images(count: int, side: int = 33) -> Tensor:
    """Smooth pictures with all grey levels and noise, so that every operation changes them."""
    generator = torch.Generator().manual_seed(side)
    ramp = torch.linspace(10, 230, side).view(1, 1, 1, side) * torch.linspace(0.6, 1, side).view(1, 1, side, 1)
    noise = torch.rand((count, 3, side, side), generator=generator) * 25
    return (ramp * torch.rand((count, 3, 1, 1), generator=generator).add(0.5).clamp(max=1) + noise).to(torch.uint8)


def test_the_set_is_torchvisions() -> None:
    theirs = v2.RandAugment._AUGMENTATION_SPACE
    assert list(OPERATIONS) == list(theirs)
    assert [operation.is_signed for operation in OPERATIONS.values()] == [is_signed for _, is_signed in theirs.values()]


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvisions_to_the_bit(name: str, negative: bool) -> None:
    for side in (17, 64):
        batch = images(3, side)
        for magnitude in (0, 5, 10, 23, 30):
            ours = apply_operation(batch, name, magnitude, negative=negative)
            theirs = [Torchvision().named(image, name, magnitude, negative=negative) for image in batch]
            assert ours.equal(torch.stack(theirs)), (side, magnitude)
        assert name == "Identity" or not ours.equal(batch)


def test_operations_are_as_frequent_as_torchvisions() -> None:
    draws = draw_operations(NUM_DRAWS, num_ops=2, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = torch.tensor([list(OPERATIONS).index(name) for name in Torchvision().names(NUM_DRAWS)])
    for place in range(2):
        ours = draws.operations[:, place]
        counts = [torch.bincount(drawn, minlength=len(OPERATIONS)).tolist() for drawn in (ours, theirs)]
        assert chi2_contingency(counts).pvalue > 0.01
        assert binomtest(int(draws.negative[:, place].sum()), NUM_DRAWS).pvalue > 0.01


def test_the_operations_of_an_image_are_independent() -> None:
    draws = draw_operations(20_000, num_ops=2, generator=torch.Generator().manual_seed(0))
    pairs = torch.bincount(14 * draws.operations[:, 0] + draws.operations[:, 1], minlength=14 * 14)
    assert chi2_contingency(pairs.view(14, 14).numpy()).pvalue > 0.01


def test_a_batch_goes_through_its_operations_as_each_image_would_alone() -> None:
    batch = images(60)
    draws = draw_operations(60, num_ops=3, generator=torch.Generator().manual_seed(3))
    augmented = rand_augment(batch, draws, 10)
    names = list(OPERATIONS)
    for row, image in enumerate(batch):
        for operation, negative in zip(draws.operations[row].tolist(), draws.negative[row].tolist(), strict=True):
            image = Torchvision().named(image, names[operation], 10, negative=negative)
        assert augmented[row].equal(image)


def test_no_operations_change_nothing() -> None:
    batch = images(4)
    draws = draw_operations(4, num_ops=0, generator=torch.Generator())
    assert rand_augment(batch, draws, 10).equal(batch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_gpu_applies_the_same_operations(name: str) -> None:
    batch = images(4)
    place = list(OPERATIONS).index(name)
    draws = OperationDraws(torch.full((4, 1), place), torch.tensor([[False], [True], [False], [True]]))
    on_gpu = rand_augment(batch.cuda(), draws, 10)
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), rand_augment(batch, draws, 10), atol=1, rtol=0)
