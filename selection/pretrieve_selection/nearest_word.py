"""Suggest the right word for a wrong one, in error messages."""

import difflib
from collections.abc import Iterable


def nearest_word(word: object, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed word nearest to `word`, or an empty string.

    >>> nearest_word("greedyot", ["uot", "greedy_ot"])
    " Did you mean 'greedy_ot'?"
    """
    near = difflib.get_close_matches(str(word), list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def describe_choices(word: object, choices: Iterable[str]) -> str:
    """Say which words are allowed, and which of them was probably meant.

    >>> describe_choices("cosin", ["cosine", "l2"])
    "use 'cosine' or 'l2'. Did you mean 'cosine'?"
    """
    allowed = list(choices)
    *first, last = [repr(choice) for choice in allowed]
    listing = f"{', '.join(first)} or {last}" if first else last
    nearest = nearest_word(word, allowed)
    return f"use {listing}.{nearest}" if nearest else f"use {listing}"
