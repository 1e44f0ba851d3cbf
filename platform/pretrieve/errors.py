"""The errors a user can meet; each message says rule, value, place and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class PretrieveError(Exception):
    """Root of every error that Pretrieve raises on purpose."""


class UserError(PretrieveError, ValueError):
    """A mistake in the user's input: shown as one message, without a traceback, at the command line."""


class StudyFileError(UserError):
    """A study whose settings break rules; lists every fault at once.

    Attributes:
      faults: one line per fault, each with field, value, what is allowed and the nearest right word.
    """

    def __init__(self, origin: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__(f"{origin} has {count}:\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class ImageSetError(UserError):
    """An image set that cannot be read as it is, with the folder, split, class or file at fault."""


class BackboneError(UserError):
    """A backbone whose name, weights or shapes do not fit."""


class ResourceError(UserError):
    """A trial asks for more than the cluster has; raised before anything starts."""


class LedgerError(PretrieveError):
    """MLflow's store does not answer; what it should have been told waits in the study's folder."""


class StudyInUseError(UserError):
    """Another process runs this study."""


class TrialsFailedError(PretrieveError):
    """Some trials ended in an error; the rest of the study is recorded and a new run tries them again."""


class BudgetUsedUpError(PretrieveError):
    """A study stopped at its budget in good order; what it found is recorded, and a larger budget goes on from it."""


def nearest_word(word: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed word nearest to `word`, or an empty string.

    >>> nearest_word("greedyot", ["uot", "greedy_ot"])
    " Did you mean 'greedy_ot'?"
    """
    from pretrieve_selection.nearest_word import nearest_word as nearest  # late: its package loads SciPy and faiss

    return nearest(word, allowed)
