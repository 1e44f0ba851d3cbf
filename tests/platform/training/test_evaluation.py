from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from array_images import ArrayImages

from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning


def test_outputs_come_from_evaluation_mode_and_leave_the_mode_as_it_was(
    make_work: Callable[..., FineTuning], make_images: Callable[[int, int, int], ArrayImages]
) -> None:
    work, images = make_work(), make_images(3, 100, 4)
    work.network.train()
    found = predict_logits(work.network, images, work.preprocessing, torch.device("cpu"))
    assert work.network.training
    pixels = to_unit_range(images.gather(torch.arange(300)), torch.device("cpu"))
    with torch.no_grad():
        logits = work.network.eval()(evaluation_view(pixels, work.preprocessing))
    assert (found.shape, found.dtype) == ((300, 3), torch.float32)
    torch.testing.assert_close(found, logits)
    assert found.argmax(1).equal(logits.argmax(1))


def test_scoring_that_does_not_fit_takes_smaller_batches_and_predicts_the_same(
    make_work: Callable[..., FineTuning],
    make_images: Callable[[int, int, int], ArrayImages],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, images = make_work(), make_images(3, 100, 4)
    whole = predict_logits(work.network, images, work.preprocessing, torch.device("cpu")).argmax(1)
    real, sizes = type(work.network).forward, []

    def forward(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 70:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(pixels))
        return real(network, pixels)

    monkeypatch.setattr(type(work.network), "forward", forward)
    assert predict_logits(work.network, images, work.preprocessing, torch.device("cpu")).argmax(1).equal(whole)
    assert sizes == [64] * 4 + [44]


def test_scoring_of_which_not_one_image_fits_raises(
    make_work: Callable[..., FineTuning],
    make_images: Callable[[int, int, int], ArrayImages],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = make_work()

    def forward(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(work.network), "forward", forward)
    with pytest.raises(torch.OutOfMemoryError):
        predict_logits(work.network, make_images(3, 10, 4), work.preprocessing, torch.device("cpu"))
