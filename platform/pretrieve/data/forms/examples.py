"""Image sets from a Python function or any stream of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pretrieve.data.forms.encoded_image import path_or_content
from pretrieve.data.forms.given_labels import ClassNames, Label, LabelRules
from pretrieve.data.forms.rows import GivenRows, read_group
from pretrieve.data.image_set import ImageSet
from pretrieve.data.split_words import read_split
from pretrieve.errors import ImageSetError


def image_set_from_examples(
    name: str,
    examples: Callable[[], Iterable[Any]] | Iterable[Any],
    *,
    class_names: ClassNames | None = None,
    no_label: Label | Sequence[Label] = (),
    missing_values: Sequence[str] | None = None,
    normalise_labels: bool = False,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set, in the order given, from a function or an iterable that yields examples one by one.

    Args:
      name: the set's name.
      examples: yields (image, label), (image, label, split) or (image, label, split, group). An image is a Pillow image
        or a uint8 array (H, W) or (H, W, 3), kept as lossless PNG; or encoded bytes, or the path of a file that stays
        where it is. A label is a class name, or an integer from 0 without gaps. A split is train, val or test; without
        it an example is train. A group, such as a patient or a clip, is never parted by a split; all examples have one
        or none has.
      class_names: names in the order of integer labels, or a mapping from each label to its name; None takes the names
        that are there, sorted.
      no_label: a label, or labels, that mean that there is none; such rows are left out.
      missing_values: words for a forgotten label, which is an error; see `LabelRules`.
      normalise_labels: whether names that differ in case, spaces or Unicode form alone are one class.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where no example is test.
      seed: decides which examples are held out.

    Raises:
      ImageSetError: examples are at fault: all are counted, the first five shown with their positions from 0.

    >>> import numpy as np
    >>> def stripes():
    ...     for k in range(4):
    ...         yield np.full((8, 8), k, np.uint8), "even" if k % 2 == 0 else "odd"
    >>> image_set_from_examples("stripes", stripes).class_names
    ('even', 'odd')
    """
    rules = LabelRules(no_label, missing_values, normalise_labels)
    rows = GivenRows(f"the examples of {name!r}")
    rows.begin(lambda position: f"example {position}")
    for position, example in enumerate(examples() if callable(examples) else examples):
        with rows.row():
            if not isinstance(example, tuple | list) or len(example) not in (2, 3, 4):
                size = f" of {len(example)}" if isinstance(example, tuple | list) else ""
                raise ImageSetError(
                    "an example must be (image, label), (image, label, split) or (image, label, split, group), but is "
                    f"a {type(example).__name__}{size}; yield such a tuple"
                )
            path, content = path_or_content(example[0])
            split = read_split(example[2]) if len(example) > 2 else "train"
            group = read_group(example[3]) if len(example) > 3 else None
            rows.add(split, example[1], path=path or f"{name}/{split}/{position:06d}", content=content, group=group)
    return rows.to_image_set(name, class_names, metric, test_fraction, seed, rules=rules)
