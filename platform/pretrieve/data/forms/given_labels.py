"""Turn labels as people write them into classes, and refuse what is ambiguous."""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from pretrieve.errors import ImageSetError, nearest_word

ClassNames = Sequence[str] | Mapping[Any, str]
"""Names of the classes in order, so that label k is the k-th name or that name itself; or, for labels with gaps or
codes, a mapping from each label to its name."""

Label = int | str


@dataclass(frozen=True)
class LabelRules:
    """What labels mean beside classes.

    Attributes:
      no_label: labels that mean that there is none: such rows are left out.
      missing_values: words that are taken for a label that was forgotten, which is an error; None stands for `nan`,
        `none`, `null`, `na`, `n/a` and `<na>` in any case, `?`, and what spreadsheets write, such as `#N/A`.
      normalise_labels: whether names that differ in case, spaces or Unicode form alone are one class, by the spelling
        that comes first; otherwise they are an error.
    """

    no_label: Label | Sequence[Label] = ()
    missing_values: Sequence[str] | None = None
    normalise_labels: bool = False

    def means_none(self, label: object) -> bool:
        """Return whether a label, as text or number, is one of `no_label`."""
        listed = (self.no_label,) if isinstance(self.no_label, int | str) else self.no_label
        return bool(listed) and ("" if label is None else str(label).strip()) in {str(each).strip() for each in listed}

    def is_missing(self, word: str) -> bool:
        """Return whether a word stands in place of a label that was forgotten."""
        if self.missing_values is None:
            return word.strip().lower() in _WORDS_FOR_NONE
        return word.strip() in {"", *self.missing_values}

    def spell(self, labels: Iterable[Label], known: Sequence[str]) -> dict[Label, Label]:
        """Return how names are spelled that are normalised: as their like in `known`, or else as the first of them.

        Raises:
          ImageSetError: labels that are not all known differ in case, spaces or Unicode form alone.
        """
        names = list(dict.fromkeys([*known, *(label for label in labels if isinstance(label, str))]))
        first = {normal_form(name): name for name in reversed(names)}
        if self.normalise_labels:
            return {name: first[normal_form(name)] for name in names}
        for name in names:
            other = first[normal_form(name)]
            if other != name and name not in known:
                raise ImageSetError(
                    f"labels must differ in more than case, spaces or Unicode form, but {_spelled(other)} and "
                    f"{_spelled(name)} do not; write one, or let them be one class: normalise_labels: true; if they "
                    "are two, list both in class_names"
                )
        return {}


def normal_form(name: str) -> str:
    """Return what names have in common that differ in case, spaces or Unicode form alone.

    >>> normal_form("Golden  Retriever") == normal_form("goldenretriever")
    True
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in text if not letter.isspace() and unicodedata.category(letter) != "Cf")


def _spelled(name: str) -> str:
    """Show a name, with its letters by number where a reader cannot tell them from others."""
    return repr(name) if name.isascii() else f"{name!r} ({name!a})"


_INTEGER = re.compile(r"-?[0-9]+")
_FRACTION = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=e))(e[+-]?[0-9]+)?", re.IGNORECASE)
_WORDS_FOR_NONE = frozenset(
    {"", "nan", "-nan", "none", "null", "na", "n/a", "<na>", "?", "#n/a", "#null!", "#ref!", "#value!", "#name?"}
)


NO_RULES = LabelRules()


def read_label(value: Any, known: frozenset[str] = frozenset(), rules: LabelRules = NO_RULES) -> Label:
    """Return a label as an integer or a name, and refuse others; names in `known` may look like numbers or nothing."""
    if isinstance(value, str):
        return value if value in known else _checked_word(value, rules)
    if value is None or (isinstance(value, float) and value != value):
        raise ImageSetError("a label must be an integer or a class name, but is missing; fill it in or leave it out")
    if not str(getattr(value, "dtype", type(value).__name__)).endswith("bool"):
        with suppress(TypeError, ValueError):
            return int(operator.index(value))
    is_whole = isinstance(value, float) and value.is_integer()
    remedy = f"it as {int(value)}, after checking what made it a fraction" if is_whole else "integers or names"
    raise ImageSetError(
        f"a label must be an integer or a class name, but is {value!r} ({type(value).__name__}); write {remedy}"
    )


def _checked_word(word: str, rules: LabelRules) -> str:
    if rules.is_missing(word):
        is_class = "; if it is a class, say missing_values: [] or list it in class_names" if word.strip() else ""
        raise ImageSetError(
            f"a label must be an integer or a class name, but is {word!r}, which often means that there is no label; "
            f"leave such rows out: no_label: [{word.strip()!r}]{is_class}"
        )
    if _FRACTION.fullmatch(word):
        raise ImageSetError(
            f"a label must be an integer or a class name, but is {word!r}; write it without a point, or list it in "
            "class_names"
        )
    return word


def integers_of_texts(texts: Sequence[str], class_names: ClassNames | None) -> dict[str, Label]:
    """Decide whether the different labels of a text file are all integers or all names, which it does not say.

    Integers padded with zeros are names. Texts that can be read both ways raise an ImageSetError.
    """
    if isinstance(class_names, Mapping) or not all(map(_INTEGER.fullmatch, texts)):
        return {text: text for text in texts}
    integers = {text: int(text) for text in texts}
    if len(set(integers.values())) < len(texts):
        twice = next(text for text in texts if str(integers[text]) != text)
        raise ImageSetError(f"integer labels must be written in one way, but {twice!r} is also {integers[twice]}")
    names = list(class_names or ())
    if not set(texts) <= set(names):
        is_padded = class_names is None and any(str(number) != text for text, number in integers.items())
        return {text: text if is_padded else number for text, number in integers.items()}
    clash = next((t for t, k in integers.items() if 0 <= k < len(names) and names[k] != t), None)
    if clash is not None and all(0 <= number < len(names) for number in integers.values()):
        raise ImageSetError(
            f"labels must be positions in class_names or names of it, but {clash!r} is name {names.index(clash)} and "
            f"position {clash} is {names[int(clash)]!r}; give class_names as a mapping from label to name"
        )
    return {text: text for text in texts}


class Classes(NamedTuple):
    """The classes of a set, K names, and the index of the class that each label means."""

    names: Sequence[str]
    index_of: Mapping[Label, int]

    def find(self, label: Label, split: str) -> int:
        """Return the index of a label's class; a label of no class raises an ImageSetError."""
        if label in self.index_of:
            return self.index_of[label]
        if str(label).startswith("-") and _INTEGER.fullmatch(str(label)):
            raise ImageSetError(
                f"a label of {split} must be a class of train or of class_names, but is {label}, which often means "
                f"that there is no label; leave such rows out: no_label: {label}"
            )
        raise ImageSetError(
            f"a label of {split} must be a class of train or of class_names, but is {label!r}; known are "
            f"{_shown(map(repr, self.index_of), len(self.index_of))}."
            f"{nearest_word(str(label), map(str, self.index_of))}"
        )


def find_classes(train: Sequence[Label], class_names: ClassNames | None, set_name: str) -> Classes:
    """Find the classes from the different labels of train, all integers or all names, and what the user says.

    Without `class_names` the classes are the sorted names, or the integers themselves. Class names that are doubled or
    empty, and integers that have gaps or are negative, raise an ImageSetError.
    """
    if class_names is not None:
        if not isinstance(class_names, Mapping) and train and 0 not in train and len(class_names) in train:
            raise _counted_from_one(len(class_names), class_names)
        return _given_classes(class_names, set_name)
    if any(isinstance(label, str) for label in train):
        names = sorted(str(label) for label in train)
        return Classes(names, {name: k for k, name in enumerate(names)})
    labels = {int(label) for label in train}
    _check_gaps(labels, set_name)
    return Classes([str(k) for k in range(len(labels))], {k: k for k in labels})


def _given_classes(class_names: ClassNames, set_name: str) -> Classes:
    names = list(class_names.values() if isinstance(class_names, Mapping) else class_names)
    wrong: list[object] = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong or isinstance(class_names, str):
        raise ImageSetError(
            f"class_names of {set_name!r} must be a list of words, but hold {(wrong or [class_names])[0]!r}; correct it"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ImageSetError(f"class names of {set_name!r} must differ, but {twice!r} is there twice; tell them apart")
    if not isinstance(class_names, Mapping):
        return Classes(names, {**{k: k for k in range(len(names))}, **{name: k for k, name in enumerate(names)}})
    index_of: dict[Label, int] = {}
    for k, key in enumerate(class_names):
        label = read_label(key, frozenset({str(key)}))
        index_of |= {label: k, str(label): k}
        if isinstance(label, str) and _INTEGER.fullmatch(label):
            index_of[int(label)] = k
    return Classes(names, index_of)


def _check_gaps(labels: set[int], set_name: str) -> None:
    if min(labels) < 0:
        raise ImageSetError(
            f"integer labels of {set_name!r} must count from 0, but {min(labels)} was found, which often means that "
            f"there is no label; leave such rows out: no_label: {min(labels)}; or give class_names as a mapping from "
            "label to name"
        )
    if labels == set(range(1, len(labels) + 1)) and len(labels) > 1:
        raise _counted_from_one(len(labels), [])
    num_missing = max(labels) + 1 - len(labels)
    if num_missing:
        missing = (str(k) for k in range(max(labels)) if k not in labels)
        raise ImageSetError(
            f"integer labels of {set_name!r} must be 0 … {max(labels)} without gaps in train, but {num_missing:,} are "
            f"missing: {_shown(missing, num_missing)}; add their images, or give class_names as a mapping from "
            "label to name"
        )


def _counted_from_one(num_classes: int, names: Sequence[str]) -> ImageSetError:
    shown = [f"{k}: {names[k - 1] if names else f'name {k}'}" for k in range(1, min(num_classes, 3) + 1)]
    example = ", ".join(shown) + (", …" if num_classes > 3 else "")
    return ImageSetError(
        f"integer labels must count from 0, but count from 1 to {num_classes}; give class_names as a mapping: "
        f"class_names: {{{example}}}"
    )


def _shown(words: Iterator[str], count: int) -> str:
    return ", ".join(islice(words, 5)) + (", …" if count > 5 else "")
