from __future__ import annotations

import pytest
import torch

from pretrieve.training.augmentation.views import cut_out


def test_the_square_has_half_the_side_around_its_centre_and_is_clipped_at_the_border() -> None:
    centres = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.99, 0.5]], dtype=torch.float64)
    covered = cut_out(torch.ones(3, 3, 224, 224), centres, 0.5) == 0
    expected = torch.zeros(3, 3, 224, 224, dtype=torch.bool)
    expected[0, :, 56:168, 56:168] = True
    expected[1, :, 0:56, 0:56] = True
    expected[2, :, 56:168, 165:224] = True  # columns are the first share, rows the second
    assert covered.equal(expected)


@pytest.mark.parametrize(("fraction", "num_covered"), [(0.0, 0), (0.4, 16), (1.0, 100)])
def test_the_fraction_is_of_the_side(fraction: float, num_covered: int) -> None:
    covered = cut_out(torch.ones(1, 3, 10, 10), torch.tensor([[0.5, 0.5]]), fraction) == 0
    assert int(covered[0, 0].sum()) == num_covered


def test_other_pixels_and_the_memory_format_stay() -> None:
    images = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    cut = cut_out(images.clone(memory_format=torch.preserve_format), torch.rand(4, 2), 0.5)
    assert cut.is_contiguous(memory_format=torch.channels_last)
    assert cut[cut != 0].equal(images[cut != 0])
