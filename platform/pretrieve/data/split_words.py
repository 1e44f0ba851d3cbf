"""The words that data sets use for their splits."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pretrieve.errors import ImageSetError, nearest_word

SPLITS = ("train", "val", "test")

SPLIT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


_WORD_IN_NAME = re.compile(rf"(?<![a-z0-9])({'|'.join(SPLIT_WORDS)})(?![a-z])", re.IGNORECASE)


def read_split(word: object) -> str:
    """Return train, val or test for a word that means it; any other word raises an ImageSetError.

    >>> read_split("Validation")
    'val'
    """
    if isinstance(word, str) and word.strip().lower() in SPLIT_WORDS:
        return SPLIT_WORDS[word.strip().lower()]
    raise ImageSetError(
        f"a split must be train, val or test, but is {word!r}.{nearest_word(str(word).lower(), SPLIT_WORDS)}"
    )


def split_of_name(name: str) -> str | None:
    """Find the split in the name of a file or folder; None where there is none, several raise an ImageSetError.

    >>> split_of_name("validation-00000-of-00014.parquet")
    'val'
    >>> split_of_name("trainers.parquet") is None
    True
    """
    splits = {SPLIT_WORDS[word.lower()] for word in _WORD_IN_NAME.findall(name)}
    if len(splits) > 1:
        raise ImageSetError(f"the name of a table must name one split, but {name!r} names {sorted(splits)}; rename it")
    return splits.pop() if splits else None
