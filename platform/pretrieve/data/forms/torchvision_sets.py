"""Image sets from torchvision's data set objects, or any with the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pretrieve.data.folder_tree import IMAGE_SUFFIXES
from pretrieve.data.forms.encoded_image import path_or_content
from pretrieve.data.forms.given_labels import ClassNames, read_label
from pretrieve.data.forms.rows import GivenRows
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import ImageSetError


def image_set_from_torchvision(
    name: str,
    *,
    train: Any,
    test: Any = None,
    val: Any = None,
    class_names: ClassNames | None = None,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set, in the order given, from data sets of `torchvision.datasets` without transforms.

    The files of an `ImageFolder` or `DatasetFolder`, or of a `Subset` of one, stay where they are. The images of any
    other data set, Pillow images or uint8 arrays (H, W) or (H, W, 3), are kept in memory as lossless PNG.

    Args:
      name: the set's name.
      train: has a length and gives (image, label) for an index; its `classes` name the integer labels.
      test: likewise; classes are matched by name, because two `ImageFolder`s may number them differently.
      val: likewise.
      class_names: names in the order of train's integer labels, or a mapping from each label to its name; None takes
        `classes`, or else the integers.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test set.
      seed: decides which images are held out.

    Raises:
      ImageSetError: images are float tensors, labels are no integers, or classes of test or val are not in train.
    """
    rows = GivenRows(f"the torchvision sets of {name!r}")
    train_classes = _classes_of(train)
    for split, dataset in (("train", train), ("val", val), ("test", test)):
        if dataset is not None:
            index_in_train = _match_classes(_classes_of(dataset), train_classes, f"{split} of {name!r}")
            rows.begin(partial("{}[{}]".format, split))
            _add_split(rows, split, dataset, index_in_train)
    names = train_classes if class_names is None else class_names
    return rows.to_image_set(name, names, metric, test_fraction, seed)


def _add_split(rows: GivenRows, split: str, dataset: Any, index_in_train: Sequence[int] | None) -> None:
    files = _files_of(dataset)
    for index in range(len(dataset)):
        with rows.row():
            image, label = files[index] if files is not None else dataset[index]
            path, content = path_or_content(image)
            if index_in_train is not None:
                number = read_label(label)
                if isinstance(number, str) or not 0 <= number < len(index_in_train):
                    raise ImageSetError(
                        f"a label must lie in 0 … {len(index_in_train) - 1}, but is {label!r}; check the data set"
                    )
                label = index_in_train[number]
            rows.add(split, label, path=path or f"{split}/{index:06d}.png", content=content)


def _files_of(dataset: Any) -> list[tuple[str, Any]] | None:
    """Return (file, label) for each image of a folder of images; None where the data set must be indexed."""
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        whole = _files_of(dataset.dataset)
        return None if whole is None else [whole[index] for index in dataset.indices]
    samples = getattr(dataset, "samples", None)
    if not samples or any(Path(file).suffix.lower() not in IMAGE_SUFFIXES for file, _ in samples):
        return None
    if getattr(dataset, "transform", None) is not None:
        raise ImageSetError(
            f"a {type(dataset).__name__} must have no transform, because its files are read as they are, but has "
            f"{dataset.transform}; leave out the transform"
        )
    change = getattr(dataset, "target_transform", None) or (lambda label: label)
    return [(file, change(label)) for file, label in samples]


def _classes_of(dataset: Any) -> list[str] | None:
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        return _classes_of(dataset.dataset)
    classes = getattr(dataset, "classes", None)
    # A target_transform changes the labels, so that the names no longer fit.
    if not classes or getattr(dataset, "target_transform", None) is not None:
        return None
    if hasattr(dataset, "wnids"):  # torchvision's ImageNet names classes by synonyms, some of which two classes share
        return [f"{wnid} {synonyms[0]}" for wnid, synonyms in zip(dataset.wnids, classes, strict=True)]
    return [str(name) for name in classes]


def _match_classes(classes: list[str] | None, train: list[str] | None, place: str) -> list[int] | None:
    """Return the index in train of each class of a split; None where labels need no change."""
    if classes is None or train is None or classes == train:
        return None
    index_of = {name: k for k, name in enumerate(train)}
    unknown = [name for name in classes if name not in index_of]
    if unknown:
        raise ImageSetError(
            f"classes of {place} must also be in train, but {len(unknown)} are not: {', '.join(unknown[:5])}; "
            "add their images to train, or leave them out"
        )
    return [index_of[name] for name in classes]
