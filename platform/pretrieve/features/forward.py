"""From rows of an image table to rows of features; the same code runs in Ray actors and in tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from pretrieve.backbones import Architecture, Backbone, Preprocessing, register_architecture
from pretrieve.backbones.memory_format import use_fastest_format
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError
from pretrieve.features.stored_features import feature_array
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range

MAX_BATCH_SIZE = 256

CPU_PIXELS_PER_BATCH = 32 * 224**2
"""On a CPU, activations of larger batches do not fit its caches: ResNet18 takes 15 % more time per image for 64 images
of 224 px than for 32. Small images need larger batches, because each batch has a fixed cost."""


def choose_batch_size(preprocessing: Preprocessing, device: torch.device) -> int:
    """Choose the number of images per forward pass.

    >>> from pretrieve.backbones import find_architecture
    >>> choose_batch_size(find_architecture("resnet18").preprocessing, torch.device("cpu"))
    32
    """
    if device.type == "cuda":
        return MAX_BATCH_SIZE
    return min(MAX_BATCH_SIZE, max(1, CPU_PIXELS_PER_BATCH // preprocessing.image_size**2))


def read_rows(table: pa.Table) -> pa.Table:
    """Fill `content` with the bytes of the files that the rows name; what holds no image stays empty.

    Raises OSError if a file cannot be read at all, which says nothing about its image.
    """
    contents: list[bytes | None] = []
    for path, content in zip(table["path"].to_pylist(), table["content"].to_pylist(), strict=True):
        with suppress(ImageSetError):  # decode_rows meets it again, and names the image
            content = read_content(path, content)
        contents.append(content)
    return table.set_column(table.column_names.index("content"), "content", pa.array(contents, pa.binary()))


def decode_rows(table: pa.Table, *, preprocessing: Preprocessing) -> pa.Table:
    """Decode images to the squares that the network sees; a broken one becomes zeros with an error.

    Normalisation is left to `FeatureNetwork`. Returns the columns of `table` without `content`, plus `pixels`
    (fixed-size list of image_size·image_size·3 uint8) and `error`. Raises OSError as `read_rows` does.
    """
    size, margin = preprocessing.image_size, (preprocessing.resize_size - preprocessing.image_size) // 2
    inner = slice(margin, margin + size)
    pixels = np.zeros((table.num_rows, size, size, 3), dtype=np.uint8)
    errors: list[str | None] = [None] * table.num_rows
    rows = zip(table["path"].to_pylist(), table["content"].to_pylist(), strict=True)
    for row, (path, content) in enumerate(rows):
        try:
            pixels[row] = decode_square(read_content(path, content), preprocessing.resize_size)[inner, inner]
        except ImageSetError as error:
            errors[row] = str(error)
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), size * size * 3)
    decoded = table.drop_columns(["content"]).append_column("pixels", column)
    return decoded.append_column("error", pa.array(errors, pa.string()))


class FeatureNetwork:
    """A backbone in evaluation mode that maps rows to the features of the selection.

    The architecture is passed, not looked up by name, because a user's own code may have registered it in another
    process. `batch_size` is the number of images per forward pass; None chooses what suits the device.
    """

    def __init__(
        self, architecture: Architecture, weights_path: Path, identity: str, batch_size: int | None = None
    ) -> None:
        register_architecture(architecture)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = Backbone(architecture.name, weights_path, identity).load_feature_network().eval()
        self._network = network.to(self._device)
        with torch.inference_mode():
            use_fastest_format(self._network, architecture.preprocessing.image_size)
        self._preprocessing = architecture.preprocessing
        self._feature_dim = architecture.selection_dim
        self._batch_size = batch_size or choose_batch_size(architecture.preprocessing, self._device)

    def from_images(self, table: pa.Table) -> pa.Table:
        """Decode rows of an image table and compute their features, batch by batch; see `from_pixels`.

        The files of a batch are read while the previous batch is computed, so that a slow disk costs no time. Raises
        OSError if a file cannot be read at all.
        """
        batches = [table.slice(start, self._batch_size) for start in range(0, table.num_rows, self._batch_size)]
        parts = [self.from_pixels(decode_rows(b, preprocessing=self._preprocessing)) for b in _reading_ahead(batches)]
        return pa.concat_tables(parts)

    @torch.inference_mode()
    def from_pixels(self, table: pa.Table) -> pa.Table:
        """Replace `pixels` of decoded rows by `feature` (selection_dim float32, NaN if `error` is set)."""
        features = np.zeros((table.num_rows, self._feature_dim), dtype=np.float32)
        size = self._preprocessing.image_size
        pixels = table["pixels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        images = pixels.reshape(-1, size, size, 3)
        for start in range(0, len(images), self._batch_size):
            part = torch.from_numpy(images[start : start + self._batch_size].copy())
            view = evaluation_view(to_unit_range(part, self._device), self._preprocessing)
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
                # A network in torch's own order turns the images back.
                found = self._network(view.contiguous(memory_format=torch.channels_last))
            features[start : start + self._batch_size] = found.float().cpu().numpy()
        column = feature_array(features, table["error"].to_pylist())
        return table.drop_columns(["pixels"]).append_column("feature", column)


def _reading_ahead(batches: list[pa.Table]) -> Iterator[pa.Table]:
    """Yield the batches with their files' bytes, each read while the previous one is used."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(read_rows, batches[0])
        for batch in batches[1:]:
            read = coming.result()
            coming = reader.submit(read_rows, batch)
            yield read
        yield coming.result()
