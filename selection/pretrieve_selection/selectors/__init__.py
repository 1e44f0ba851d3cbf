"""The selectors, one file each; `_base` describes their contract."""

from typing import Any, cast

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.members import build_member, folder_members
from pretrieve_selection.nearest_word import describe_choices
from pretrieve_selection.selectors._base import SelectionProblem as SelectionProblem
from pretrieve_selection.selectors._base import Selector as Selector
from pretrieve_selection.selectors._base import Unit as Unit


def selectors() -> dict[str, type[Selector]]:
    """Return the selectors of this folder by name; no list names them."""
    return cast("dict[str, type[Selector]]", folder_members(__name__, Selector))


def make_selector(name: str, **settings: Any) -> Selector:
    """Build a selector by its name.

    Args:
      name: of a file's selector; see `selectors`.
      **settings: its own settings; `label` needs `label_groups`, see `LabelSelector`.

    Raises:
      SelectionInputError: the name is unknown, or a setting is unknown, missing or out of its range.

    >>> make_selector("uot").name
    'uot'
    """
    known = selectors()
    if name not in known:
        raise SelectionInputError(f"method must be a known selector, but is {name!r}: {describe_choices(name, known)}")
    return cast("Selector", build_member(known[name], settings, word=name))
