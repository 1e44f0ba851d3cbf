"""Image sets from torchvision's data set objects, or any with the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pretrieve.data.decode import IMAGE_SUFFIXES, pillow_errors
from pretrieve.data.forms.encoded_image import path_or_content
from pretrieve.data.forms.given_labels import ClassNames, Label, LabelRules, read_label
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
    no_label: Label | Sequence[Label] = (),
    missing_values: Sequence[str] | None = None,
    normalise_labels: bool = False,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set, in the order given, from data sets of `torchvision.datasets` without transforms.

    The files of an `ImageFolder` or `DatasetFolder`, or of a `Subset` of one, stay where they are. The images of any
    other data set, and of one with a `loader` or `__getitem__` of its own, are what indexing gives: Pillow images or
    uint8 arrays (H, W) or (H, W, 3), kept in memory as lossless PNG.

    Args:
      name: the set's name.
      train: has a length and gives (image, label) for an index; its `classes` name the integer labels.
      test: likewise; classes are matched by name, because two `ImageFolder`s may number them differently.
      val: likewise.
      class_names: names in the order of train's integer labels, or a mapping from each label to its name; None takes
        `classes`, or else the integers.
      no_label: a label, or labels, that mean that there is none; such rows are left out.
      missing_values: words for a forgotten label, which is an error; see `LabelRules`.
      normalise_labels: whether names that differ in case, spaces or Unicode form alone are one class.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test set.
      seed: decides which images are held out.

    Raises:
      ImageSetError: images are float tensors, labels are no integers or not those that `classes` names, or classes of
        test or val are not in train.
    """
    rules = LabelRules(no_label, missing_values, normalise_labels)
    rows = GivenRows(f"the torchvision sets of {name!r}")
    train_classes = _classes_of(train)
    for split, dataset in (("train", train), ("val", val), ("test", test)):
        if dataset is not None:
            index_in_train = _match_classes(_classes_of(dataset), train_classes, f"{split} of {name!r}")
            rows.begin(partial("{}[{}]".format, split))
            named = class_names is None and train_classes is not None
            _add_split(rows, split, dataset, index_in_train, named=named)
    names = train_classes if class_names is None else class_names
    return rows.to_image_set(name, names, metric, test_fraction, seed, rules=rules)


def _add_split(rows: GivenRows, split: str, dataset: Any, index_in_train: Sequence[int] | None, *, named: bool) -> None:
    listed, stays_in_files = _samples_of(dataset), _gives_its_files(dataset)
    for index in range(len(dataset)):
        with rows.row():
            image, label = listed[index] if listed is not None and stays_in_files else _item(dataset, index)
            path, content = path_or_content(image)
            if named and listed is not None and len(listed) == len(dataset) and label != listed[index][1]:
                raise ImageSetError(
                    f"a label that the data set gives must be that of its 'samples', which 'classes' names, but is "
                    f"{label!r} and not {listed[index][1]!r}; give class_names"
                )
            if index_in_train is not None:
                number = read_label(label)
                if isinstance(number, str) or not 0 <= number < len(index_in_train):
                    raise ImageSetError(
                        f"a label must lie in 0 … {len(index_in_train) - 1}, but is {label!r}; check the data set"
                    )
                label = index_in_train[number]
            rows.add(split, label, path=path or f"{split}/{index:06d}.png", content=content)


def _item(dataset: Any, index: int) -> Any:
    with pillow_errors():  # most data sets decode an image when they are asked for it
        return dataset[index]


def _is_part(dataset: Any) -> bool:
    return hasattr(dataset, "indices") and hasattr(dataset, "dataset")


def _samples_of(dataset: Any) -> list[tuple[str, Any]] | None:
    """Return (file, label) for each image of a folder of images, or of a part of one; None for other data sets."""
    if _is_part(dataset):
        whole = _samples_of(dataset.dataset)
        return None if whole is None else [whole[index] for index in dataset.indices]
    change = getattr(dataset, "target_transform", None) or (lambda label: label)
    samples = getattr(dataset, "samples", None)
    return [(file, change(label)) for file, label in samples] if samples else None


def _gives_its_files(dataset: Any) -> bool:
    """Return whether indexing a data set gives nothing but the pictures in the files that it lists.

    A `loader` or a `__getitem__` of one's own, of the folder or of what wraps it, may give others. A transform raises
    an ImageSetError.
    """
    from torch.utils.data import Subset
    from torchvision.datasets.folder import DatasetFolder, default_loader, pil_loader

    if _is_part(dataset):
        return type(dataset).__getitem__ is Subset.__getitem__ and _gives_its_files(dataset.dataset)
    if getattr(type(dataset), "__getitem__", None) is not DatasetFolder.__getitem__:
        return False
    if dataset.loader not in (default_loader, pil_loader):
        return False
    if any(Path(file).suffix.lower() not in IMAGE_SUFFIXES for file, _ in dataset.samples):
        return False
    if dataset.transform is not None:
        raise ImageSetError(
            f"a {type(dataset).__name__} must have no transform, because its files are read as they are, but has "
            f"{dataset.transform}; leave out the transform"
        )
    return True


def _classes_of(dataset: Any) -> list[str] | None:
    """Return the names that a data set has for its labels; None where it has none.

    Raises:
      ImageSetError: it joins data sets that number their classes differently.
    """
    if _is_part(dataset):
        return _classes_of(dataset.dataset)
    if parts := getattr(dataset, "datasets", None):
        first, *others = map(_classes_of, parts)
        other = next((each for each in others if each != first), first)
        if other != first:
            raise ImageSetError(
                f"data sets that are joined must number their classes alike, but one has {_shown(first)} and another "
                f"{_shown(other)}; put their images into one folder tree, or give each a target_transform to common "
                "labels, and class_names"
            )
        return first
    classes = getattr(dataset, "classes", None)
    # A target_transform changes the labels, so that the names no longer fit.
    if not classes or getattr(dataset, "target_transform", None) is not None:
        return None
    if hasattr(dataset, "wnids"):  # torchvision's ImageNet names classes by synonyms, some of which two classes share
        return [f"{wnid} {synonyms[0]}" for wnid, synonyms in zip(dataset.wnids, classes, strict=True)]
    return [str(name) for name in classes]


def _shown(classes: list[str] | None) -> str:
    return "no names" if classes is None else ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")


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
