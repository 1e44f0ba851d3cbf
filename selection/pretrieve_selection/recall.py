"""How much of what should have been selected was selected (Table 4)."""

from collections.abc import Iterable

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.selection import Selection


def recall_at_k(selection: Selection, expected_ids: Iterable[int]) -> float:
    """Return the share of the expected groups that are among the selected ones.

    With the 59 bird classes of ImageNet, K = 100 and CUB as target this is the recall of Table 4, there in
    percent.

    Args:
      selection: K is the number of its groups.
      expected_ids: indices of the groups that should be found, at least one; repetitions count once.

    Returns:
      A fraction in [0, 1].

    Raises:
      SelectionInputError: no group is expected, or one that the source does not have.

    >>> recall_at_k(Selection.from_scores("nearest", [3.0, 2.0, 1.0], top_k=2), [0, 2])
    0.5
    """
    expected = {int(group) for group in expected_ids}
    if not expected:
        raise SelectionInputError(
            "expected_ids must hold at least one group, but is empty; list the groups to be found"
        )
    num_groups = len(selection.scores)
    unknown = sorted(group for group in expected if not 0 <= group < num_groups)
    if unknown:
        raise SelectionInputError(
            f"expected_ids must be from 0 to {num_groups - 1}, but {unknown[0]} is not; give indices of this source"
        )
    return len(expected & set(selection.groups)) / len(expected)
