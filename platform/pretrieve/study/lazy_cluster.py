"""A connection to Ray made at the first piece of work that needs one: a finished study starts no cluster."""

from __future__ import annotations

from contextlib import ExitStack


class LazyCluster:
    """Connects once, when first needed, and disconnects with its stack.

    Args:
      stack: closes the connection at the end of the study.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._is_connected = False

    def connect(self) -> None:
        """Be connected from here to the end of the study.

        Raises:
          ConnectionError: RAY_ADDRESS names a cluster that does not answer.
        """
        if not self._is_connected:
            from pretrieve.cluster import connected

            self._stack.enter_context(connected())
            self._is_connected = True
