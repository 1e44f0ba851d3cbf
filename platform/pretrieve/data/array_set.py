"""Image sets from arrays in memory, such as a Python function, a notebook or the built-in study makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pretrieve.data.decode import MAX_PIXELS, encode_png
from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import table_of_contents
from pretrieve.data.split_words import SPLITS
from pretrieve.errors import ImageSetError, nearest_word

LabelledArrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def image_set_from_arrays(
    name: str, class_names: Sequence[str], splits: Mapping[str, LabelledArrays], *, metric: str = "top1"
) -> ImageSet:
    """Make an image set from pixel arrays; its image tables hold the images as lossless PNG.

    Args:
      name: the set's name.
      class_names: K names.
      splits: for each of train, val, test: images (N, H, W) or (N, H, W, 3) uint8 and labels (N,) integers in [0, K).
      metric: how a target is scored.

    Raises:
      ImageSetError: images and labels differ in number, pixels are not uint8 or are too many or none, a label is no
        class, two classes have one name, or a split is none of train, val and test.
    """
    _check_names(name, list(class_names), splits)
    tables = {}
    for split, (images, labels) in splits.items():
        _check_arrays(images, labels, len(class_names), f"{name!r}, split {split!r},")
        rows = [f"{name}/{split}/{class_names[label]}/{index:06d}.png" for index, label in enumerate(labels)]
        tables[split] = table_of_contents(rows, [encode_png(image) for image in images], labels.tolist())
    return image_set_of_tables(name, class_names, tables, metric)


def _check_names(name: str, class_names: Sequence[str], splits: Iterable[str]) -> None:
    wrong = [word for word in class_names if not isinstance(word, str) or not word.strip()]
    if wrong:
        raise ImageSetError(f"class names of {name!r} must be words, but hold {wrong[0]!r}; correct it")
    doubles = sorted({word for word in class_names if class_names.count(word) > 1})
    if doubles:
        raise ImageSetError(
            f"class names of {name!r} must differ, but {doubles[0]!r} stands {class_names.count(doubles[0])} times; "
            "two labels of one class would be scored as two classes"
        )
    for split in splits:
        if split not in SPLITS:
            raise ImageSetError(
                f"a split of {name!r} must be one of {', '.join(SPLITS)}, but is {split!r}, which nothing would read."
                f"{nearest_word(split, SPLITS)}"
            )


def _check_arrays(images: NDArray[np.uint8], labels: NDArray[np.int64], num_classes: int, place: str) -> None:
    for word, given in (("images", images), ("labels", labels)):
        if not isinstance(given, np.ndarray):
            raise ImageSetError(f"{word} of {place} must be a NumPy array, but are a {type(given).__name__}")
    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        remedy = "; scale them to 0 … 255 and round" if images.dtype.kind == "f" else ""
        raise ImageSetError(
            f"images of {place} must be uint8 (N, H, W) or (N, H, W, 3), but are {images.dtype} {images.shape}{remedy}"
        )
    height, width = images.shape[1:3]
    if not 0 < height * width <= MAX_PIXELS:
        raise ImageSetError(f"images of {place} must have 1 to {MAX_PIXELS:,} pixels, but are {height} × {width}")
    if labels.shape != (len(images),) or (labels.size and labels.dtype.kind not in "iu"):
        raise ImageSetError(
            f"{place} must have one integer label an image, but has {len(images)} images and "
            f"{labels.dtype} labels of shape {labels.shape}"
        )
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ImageSetError(f"labels of {place} must lie in 0 … {num_classes - 1}, but {wrong[0]} was found")
