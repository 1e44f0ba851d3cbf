"""Where to draw a line between copies and other images, from measurements of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import UserError


@dataclass(frozen=True)
class Threshold:
    """A line between copies and others, and what it is expected to do.

    Attributes:
      value: what is at most so far (or, of a similarity, at least so near) counts as a copy.
      recall: share of the known copies on the right side.
      false_alarm_rate: share of the known others on the wrong side.
      num_copies: known copies it was chosen from.
      num_others: pairs of different images, likewise.
      reaches_recall: false where the bound on false alarms left less recall than was asked for.
    """

    value: float
    recall: float
    false_alarm_rate: float
    num_copies: int
    num_others: int
    reaches_recall: bool

    @property
    def false_alarm_bound(self) -> float:
        """What the rate is at most, with 95 % confidence where none was seen (the rule of three)."""
        return max(self.false_alarm_rate, 3 / self.num_others)


def choose_threshold(
    copies: NDArray[Any],
    others: NDArray[Any],
    *,
    recall: float,
    max_false_alarm_rate: float,
    is_similarity: bool = False,
    slack: float = 0.5,
) -> Threshold:
    """Choose the line for a stated recall, with false alarms bounded.

    The recall needs a line not nearer than some value, the bound one not farther than another. Where both can be had,
    the line lies between the two, so that neither hangs on the last image measured. Where not, the bound holds.

    Args:
      copies: (n,) measurements of known copies, n ≥ 1.
      others: (m,) of pairs of different images, m ≥ 1.
      recall: share of the copies that should be found, in (0, 1].
      max_false_alarm_rate: share of the others that may be taken for copies, in [0, 1).
      is_similarity: true where larger measurements are nearer.
      slack: where between the two: 0 at what the recall needs, towards 1 at what the bound allows, in [0, 1).

    Raises:
      UserError: there are no copies or no others, or a share is outside its range.

    >>> choose_threshold(np.array([1, 2, 3]), np.array([8, 9]), recall=1.0, max_false_alarm_rate=0.0).value
    5.5
    """
    if not (len(copies) and len(others)):
        raise UserError(
            f"a threshold needs copies and other pairs, but there are {len(copies)} and {len(others)}; give more images"
        )
    if not (0 < recall <= 1 and 0 <= max_false_alarm_rate < 1):
        raise UserError(
            "recall must lie in (0, 1] and max_false_alarm_rate in [0, 1), but they are "
            f"{recall} and {max_false_alarm_rate}"
        )
    sign = -1.0 if is_similarity else 1.0
    near, far = np.sort(sign * copies.astype(np.float64)), np.sort(sign * others.astype(np.float64))
    needed = near[int(np.ceil(recall * len(near) - 1e-9)) - 1]
    first_beyond = far[int(max_false_alarm_rate * len(far) + 1e-9)]
    reaches = bool(needed < first_beyond)
    if not reaches:
        line = np.nextafter(first_beyond, -np.inf)
    elif np.isfinite(first_beyond):
        line = needed + slack * (first_beyond - needed)
    else:
        line = needed
    return Threshold(
        value=float(sign * line),
        recall=float((near <= line).mean()),
        false_alarm_rate=float((far <= line).mean()),
        num_copies=len(near),
        num_others=len(far),
        reaches_recall=reaches,
    )
