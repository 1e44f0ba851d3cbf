"""Image sets from Hugging Face `datasets` objects (extra `hugging-face`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pretrieve.data.forms.encoded_image import path_or_content
from pretrieve.data.forms.given_labels import ClassNames, Label, LabelRules
from pretrieve.data.forms.rows import GivenRows, check_columns, read_group
from pretrieve.data.image_set import ImageSet
from pretrieve.data.split_words import read_split
from pretrieve.errors import ImageSetError


def image_set_from_hugging_face(
    name: str,
    data: Any,
    *,
    image_column: str = "image",
    label_column: str = "label",
    group_column: str | None = None,
    class_names: ClassNames | None = None,
    no_label: Label | Sequence[Label] = (),
    missing_values: Sequence[str] | None = None,
    normalise_labels: bool = False,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set, in the order given, from a `datasets.Dataset` or `DatasetDict`, streaming or not.

    Images are kept in memory as the encoded bytes that the data set stores. Write a set larger than memory as Parquet
    (`dataset.to_parquet(…)`) and use `load_parquet`, which leaves images on disk.

    Args:
      name: the set's name.
      data: a data set, which is the train split; or a mapping from splits to data sets.
      image_column: of images, bytes, or paths.
      label_column: of class labels, whose names are used; or of integers from 0 without gaps, or of names.
      group_column: of groups, such as patients or clips, by name or number; a split never parts the images of one.
      class_names: names in the order of integer labels, or a mapping from each label to its name; None takes those of
        the data set.
      no_label: a label, or labels, that mean that there is none; such rows are left out.
      missing_values: words for a forgotten label, which is an error; see `LabelRules`.
      normalise_labels: whether names that differ in case, spaces or Unicode form alone are one class.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test split.
      seed: decides which images are held out.

    Raises:
      ImageSetError: a column is missing, a transform is set, class names differ between splits, a label is missing (-1
        too), or the images exceed the memory allowed.
    """
    splits = data if isinstance(data, Mapping) else {"train": data}
    rules = LabelRules(no_label, missing_values, normalise_labels)
    rows = GivenRows(f"the Hugging Face data set of {name!r}")
    known_names: list[str] | None = None
    for key, dataset in splits.items():
        split = read_split(key)
        if split in rows.splits:
            raise ImageSetError(f"splits of {name!r} must differ, but {sorted(splits)} hold {split} twice; give one")
        columns = [image_column, label_column, *([group_column] if group_column is not None else [])]
        _check_columns(dataset, columns, f"{key} of {name!r}")
        names = getattr(dataset.features[label_column], "names", None)
        if key != next(iter(splits)) and names != known_names:
            raise ImageSetError(
                f"class names of {key} of {name!r} must be those of the split before it, but differ; align the labels"
            )
        known_names = names
        rows.begin(partial("{}[{}]".format, key))
        chosen = dataset.select_columns(columns).with_format(None)
        feature = chosen.features[image_column]
        # Images are taken as they are stored: decoding would cost time and lose the original bytes. A mode of the
        # column's own is another picture than the stored one.
        if getattr(feature, "decode", False) and getattr(feature, "mode", None) is None:
            chosen = chosen.cast_column(image_column, type(feature)(decode=False))
        for number, example in enumerate(chosen):
            image = example[image_column]
            if isinstance(image, Mapping):  # Hugging Face stores {bytes, path}
                image = image.get("bytes") or image.get("path")
            with rows.row():
                if image is None:
                    raise ImageSetError("a row must hold an image, but holds none; leave the row out")
                path, content = path_or_content(image)
                group_name = None if group_column is None else read_group(example[group_column])
                path = path or f"{split}/{number:06d}"
                rows.add(split, example[label_column], path=path, content=content, group=group_name)
    return rows.to_image_set(
        name, known_names if class_names is None else class_names, metric, test_fraction, seed, rules=rules
    )


def _check_columns(dataset: Any, columns: Sequence[str], place: str) -> None:
    features = getattr(dataset, "features", None)
    if features is None:
        raise ImageSetError(
            f"{place} must be a datasets.Dataset that knows its features, but is a {type(dataset).__name__}; load it "
            "with datasets.load_dataset"
        )
    check_columns(place, list(features), columns)
    if (getattr(dataset, "format", None) or {}).get("type") == "custom":
        raise ImageSetError(
            f"{place} must have no transform, because its images are read as they are stored, but has one, set by "
            "with_transform or set_transform; take it off with with_format(None), or write its pictures into the data "
            "set with map"
        )
