"""The selectors, one file each; `_base` describes their contract."""

from collections.abc import Mapping, Sequence

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.nearest_word import describe_choices
from pretrieve_selection.selectors._base import Selector
from pretrieve_selection.selectors.greedy_ot import GreedyOtSelector
from pretrieve_selection.selectors.label import LabelSelector
from pretrieve_selection.selectors.nearest import NearestSelector
from pretrieve_selection.selectors.uniform_random import RandomSelector
from pretrieve_selection.selectors.uot import UotSelector

SELECTORS: Mapping[str, type[Selector]] = {
    selector.name: selector
    for selector in (UotSelector, GreedyOtSelector, RandomSelector, NearestSelector, LabelSelector)
}


def make_selector(name: str, *, label_groups: Sequence[int] | None = None) -> Selector:
    """Build a selector by the name of its method.

    Args:
      name: a key of `SELECTORS`.
      label_groups: the groups to select; needed by `label`, and only allowed there; see `LabelSelector`.

    Raises:
      SelectionInputError: the name is unknown, or label_groups is missing for `label` or given to another method.

    >>> make_selector("uot").name
    'uot'
    """
    if name not in SELECTORS:
        raise SelectionInputError(
            f"method must be a known selector, but is {name!r}: {describe_choices(name, SELECTORS)}"
        )
    if (name == LabelSelector.name) != (label_groups is not None):
        raise SelectionInputError(
            f"label_groups must be given to the method 'label' and to no other, but the method is {name!r} "
            f"and label_groups is {label_groups!r}; "
            + ("list the groups to select" if label_groups is None else "leave label_groups out")
        )
    if label_groups is not None:
        return LabelSelector(label_groups)
    return SELECTORS[name]()
