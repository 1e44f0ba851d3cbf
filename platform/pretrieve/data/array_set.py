"""Image sets from arrays in memory: what a Python function, a notebook or the built-in study has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pretrieve.data.decode import encode_png
from pretrieve.data.image_set import ImageSet, Metric
from pretrieve.data.image_table import table_fingerprint, table_of_contents
from pretrieve.errors import ImageSetError

LabelledArrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def image_set_from_arrays(
    name: str,
    class_names: Sequence[str],
    splits: Mapping[str, LabelledArrays],
    *,
    metric: Metric = "top1",
) -> ImageSet:
    """Make an image set from pixel arrays; images are kept as lossless PNG.

    Args:
      name: the set's name.
      class_names: K names.
      splits: for each of train, val, test: images (N, H, W) or (N, H, W, 3) uint8 and labels (N,) integers in [0, K).
      metric: how a target is scored.

    Returns:
      ImageSet whose image tables hold the encoded images.

    Raises:
      ImageSetError: images and labels differ in number, pixels are not uint8, or a label is no class.
    """
    tables = {}
    for split, (images, labels) in splits.items():
        _check_arrays(images, labels, len(class_names), f"{name!r}, split {split!r},")
        rows = [f"{name}/{split}/{class_names[label]}/{index:06d}.png" for index, label in enumerate(labels)]
        tables[split] = table_of_contents(rows, [encode_png(image) for image in images], labels.tolist())
    return ImageSet(
        name=name,
        class_names=tuple(class_names),
        splits=tables,
        fingerprints={split: table_fingerprint(table) for split, table in tables.items()},
        metric=metric,
    )


def _check_arrays(images: NDArray[np.uint8], labels: NDArray[np.int64], num_classes: int, place: str) -> None:
    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        raise ImageSetError(
            f"images of {place} must be uint8 (N, H, W) or (N, H, W, 3), but are {images.dtype} {images.shape}"
        )
    if labels.shape != (len(images),) or (labels.size and labels.dtype.kind not in "iu"):
        raise ImageSetError(
            f"{place} must have one integer label an image, but has {len(images)} images and "
            f"{labels.dtype} labels of shape {labels.shape}"
        )
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ImageSetError(f"labels of {place} must lie in 0 … {num_classes - 1}, but {wrong[0]} was found")
