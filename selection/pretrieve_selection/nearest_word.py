"""Point from a wrong word to the right one, in error messages."""

import difflib
from collections.abc import Iterable


def describe_choices(word: object, choices: Iterable[str]) -> str:
    """Say which words are allowed, and which of them was probably meant.

    Args:
      word: what was given; anything that is not a string has no near word.
      choices: the allowed words.

    Returns:
      For example `use 'cosine' or 'l2' (did you mean 'cosine'?)`.

    >>> describe_choices("cosin", ["cosine", "l2"])
    "use 'cosine' or 'l2' (did you mean 'cosine'?)"
    """
    allowed = list(choices)
    *first, last = [repr(choice) for choice in allowed]
    listing = f"{', '.join(first)} or {last}" if first else last
    return f"use {listing}{hint_nearest(word, allowed)}"


def hint_nearest(word: object, choices: Iterable[str]) -> str:
    """Return " (did you mean …?)", or nothing where no allowed word is near.

    >>> hint_nearest("tensh", ["tench", "goldfish"])
    " (did you mean 'tench'?)"
    """
    near = difflib.get_close_matches(str(word), list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
