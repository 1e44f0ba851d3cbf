"""All faults of a user's data in one error."""

from __future__ import annotations

from pretrieve.errors import ImageSetError

NUM_SHOWN = 5


class Faults:
    """Counts the faults of one data set and keeps the first ones.

    Args:
      origin: what the data are, as the error's first words.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._count = 0
        self._first: list[str] = []

    def add(self, place: str, fault: object) -> None:
        """Note a fault with its place; a table of a million bad rows costs no memory."""
        self._count += 1
        if len(self._first) < NUM_SHOWN:
            self._first.append(f"{place}: {fault}")

    def raise_if_any(self) -> None:
        """Raise what was noted.

        Raises:
          ImageSetError: a fault was noted; says how many there are and shows the first ones.
        """
        if self._count == 0:
            return
        count = f"{self._count:,} fault{'s' if self._count > 1 else ''}"
        shown = f", of which the first {NUM_SHOWN}" if self._count > NUM_SHOWN else ""
        lines = "".join(f"\n  - {line}" for line in self._first)
        raise ImageSetError(f"{self._origin} has {count}{shown}:{lines}")
