"""The errors a user can meet; each message says rule, value, place and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class PretrieveError(Exception):
    """Base class of all errors that Pretrieve raises on purpose."""


class UserError(PretrieveError, ValueError):
    """A mistake in the user's input; the command line shows its message without a traceback."""


class StudyFileError(UserError):
    """The settings of a study break rules.

    Attributes:
      faults: one line for each fault, with field, value, what is allowed and the nearest right word.
    """

    def __init__(self, origin: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__(f"{origin} has {count}:\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class ComponentError(UserError):
    """No member of a family has the word that a study writes, or it is no member."""


class ImageSetError(UserError):
    """An image set cannot be read; the message names the folder, split, class or file at fault."""


class BackboneError(UserError):
    """The name, weights or shapes of a backbone are wrong."""


class ResourceError(UserError):
    """A trial asks for more than the cluster has; raised before anything starts."""


class ClusterStartError(PretrieveError):
    """Ray does not start on this machine."""


class WorkerError(PretrieveError):
    """A task on the cluster ended in an error that is not ours: `what` is its kind and text, `place` file and line."""

    def __init__(self, what: str, place: str) -> None:
        self.what, self.place = what, place
        where = f", raised in {place}" if place else ""
        super().__init__(f"a task on the cluster must end well, but ended in {what}{where}; mend that, and run again")

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkerError, (self.what, self.place)


class LedgerError(PretrieveError):
    """MLflow's store does not answer; the data for it wait in the study's folder."""


class StudyInUseError(UserError):
    """Another process runs this study."""


class TrialsFailedError(PretrieveError):
    """Some trials ended in an error; the rest of the study is recorded, and a new run tries them again."""


class BudgetUsedUpError(PretrieveError):
    """A study stopped at its budget; its results are recorded, and a larger budget continues it."""


class DamagedArtifactError(UserError):
    """A file of the store does not hold the bytes that were written; `what` is file and fault without the remedy."""

    def __init__(self, path: Path, fault: str) -> None:
        self.path, self.what, self._fault = path, f"{path} {fault}", fault
        super().__init__(
            f"a file that a study keeps must hold the bytes that were written, but {self.what}; run the study again: "
            "it sets the file aside and makes it anew"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedArtifactError, (self.path, self._fault)


class StatisticsError(UserError):
    """The scores, predictions or settings that a statistic is asked of break its rules."""


class BoundError(UserError):
    """A constant is out of its range, or a bound is not proved for a learning rate."""


class DamagedSpoolError(PretrieveError):
    """A line of the spool `path` does not fit its checksum or the lines before it."""

    def __init__(self, path: Path, line: int) -> None:
        self.path = path
        super().__init__(
            f"each line of a spool must fit its checksum and the lines before it, but line {line} of {path} does not"
        )


class RelationshipError(UserError):
    """Probabilities or labels that no category relationship can be learned from."""


class DivergedError(PretrieveError):
    """The loss or the weights stopped being finite: a result of the configuration, not a fault of the program."""


def in_words(fault: BaseException) -> str:
    r"""Return an error of someone else's code as part of a message: its kind, and the first line of what it says.

    >>> in_words(AssertionError()), in_words(RuntimeError("sizes differ.\nCall stack: …"))
    ('AssertionError', 'RuntimeError: sizes differ')
    """
    says = str(fault).strip()
    return f"{type(fault).__name__}: {says.splitlines()[0].rstrip('.')}" if says else type(fault).__name__


def nearest_word(word: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed word nearest to `word`, or an empty string.

    >>> nearest_word("greedyot", ["uot", "greedy_ot"])
    " Did you mean 'greedy_ot'?"
    """
    from pretrieve_selection.nearest_word import nearest_word as nearest  # late: SciPy and faiss

    return nearest(word, allowed)
