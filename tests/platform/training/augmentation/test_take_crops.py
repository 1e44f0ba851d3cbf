from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from pretrieve.training.augmentation.crops import Crops, take_crops, take_crops_singly, take_crops_together

Take = Callable[[Tensor, Crops, int], Tensor]

SIDE = 40
BOXES = torch.tensor([[0, 0, 40, 40], [3, 5, 30, 21], [39, 0, 1, 40], [10, 12, 6, 7], [1, 0, 39, 40]])
MIRRORED = torch.tensor([False, True, False, True, True])
SIZES = [20, 32, 40, 64]


def stored_images(count: int = 5, side: int = SIDE) -> Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("take", [take_crops_singly, take_crops_together])
def test_crops_are_torchvisions_to_one_grey_level(take: Take, size: int) -> None:
    images = stored_images()
    taken = take(images, Crops(BOXES, MIRRORED), size)
    assert taken.dtype == torch.uint8
    assert taken.is_contiguous(memory_format=torch.channels_last)
    for view, image, (left, top, width, height), mirrored in zip(taken, images, BOXES.tolist(), MIRRORED, strict=True):
        expected = F.resized_crop(image.permute(2, 0, 1), top, left, height, width, [size, size], antialias=True)
        torch.testing.assert_close(view, expected.flip(-1) if mirrored else expected, atol=1, rtol=0)


@pytest.mark.parametrize("take", [take_crops_singly, take_crops_together])
def test_the_whole_image_at_its_own_size_is_the_image(take: Take) -> None:
    images = stored_images()
    whole = torch.tensor([[0, 0, SIDE, SIDE]]).expand(5, 4)
    assert take(images, Crops(whole, torch.zeros(5, dtype=torch.bool)), SIDE).permute(0, 2, 3, 1).equal(images)
    mirrored = take(images, Crops(whole, torch.ones(5, dtype=torch.bool)), SIDE)
    assert mirrored.permute(0, 2, 3, 1).equal(images.flip(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("size", SIZES)
def test_a_gpu_takes_the_same_crops(size: int) -> None:
    images, crops = stored_images(), Crops(BOXES, MIRRORED)
    on_gpu = take_crops(images.cuda(), crops, size)
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), take_crops(images, crops, size), atol=1, rtol=0)
