"""From rows of an image table to rows of features; the same code in a Ray actor and in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pretrieve.backbones import Backbone
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError
from pretrieve.features.shards import feature_array
from pretrieve.training.augmentation import evaluation_view, to_unit_range


def decode_rows(table: pa.Table, *, size: int) -> pa.Table:
    """Decode images to squares; a broken one becomes a row of zeros with its error.

    Args:
      table: rows of an image table; further columns are passed on.
      size: side of the squares in pixels.

    Returns:
      The columns of `table` without `content`, plus `pixels` (fixed-size list of size·size·3 uint8) and `error`.

    Raises:
      OSError: a file cannot be read at all; that says nothing of the image in it.
    """
    pixels = np.zeros((table.num_rows, size * size * 3), dtype=np.uint8)
    errors: list[str | None] = [None] * table.num_rows
    paths, contents = table["path"].to_pylist(), table["content"].to_pylist()
    for row, (path, content) in enumerate(zip(paths, contents, strict=True)):
        try:
            pixels[row] = decode_square(read_content(path, content), size).reshape(-1)
        except ImageSetError as error:
            errors[row] = str(error)
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), pixels.shape[1])
    decoded = table.drop_columns(["content"]).append_column("pixels", column)
    return decoded.append_column("error", pa.array(errors, pa.string()))


class FeatureNetwork:
    """A backbone in evaluation mode that maps decoded rows to features.

    Args:
      architecture_name: of the backbone.
      weights_path: of the backbone.
      identity: of the backbone.
      batch_size: images of one forward pass.
    """

    def __init__(self, architecture_name: str, weights_path: Path, identity: str, batch_size: int = 128) -> None:
        backbone = Backbone(architecture_name, weights_path, identity)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = backbone.load().eval().to(self._device)
        self._preprocessing = backbone.architecture.preprocessing
        self._feature_dim = backbone.architecture.feature_dim
        self._batch_size = batch_size

    @torch.inference_mode()
    def __call__(self, table: pa.Table) -> pa.Table:
        """Replace `pixels` by `feature` (fixed-size list of D float32, NaN where `error` is set)."""
        errors = table["error"].to_pylist()
        features = np.zeros((table.num_rows, self._feature_dim), dtype=np.float32)
        size = self._preprocessing.resize_size
        pixels = table["pixels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        images = pixels.reshape(-1, size, size, 3)
        for start in range(0, len(images), self._batch_size):
            features[start : start + self._batch_size] = self._forward(images[start : start + self._batch_size])
        kept = table.drop_columns(["pixels"])
        return kept.append_column("feature", feature_array(features, errors))

    def _forward(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = to_unit_range(torch.from_numpy(images.copy()), self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
            features = self._network(evaluation_view(pixels, self._preprocessing))
        result: NDArray[np.float32] = features.float().cpu().numpy()
        return result
