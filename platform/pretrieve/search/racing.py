"""The rounds of races in one Tune run: each trial that is left runs one fold, and waits for the others of its cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ray.tune.search import Searcher

from pretrieve.search.ledger_searcher import LedgerSearcher
from pretrieve.search.tune_config import TRIAL, CellName


class Race(Protocol):
    """The race of one cell."""

    @property
    def cell(self) -> CellName: ...

    @property
    def max_num_runs(self) -> int:
        """How many processes it takes at most: all folds of all trials, one at a time."""

    def next_round(self) -> Sequence[str]:
        """End the round, whose processes have all returned: drop what is behind, and return what the next one runs.

        Each is a trial as the text in Tune's configuration, see TRIAL. None is left when the race is over.
        """


class RaceSearcher(LedgerSearcher):
    """Runs the rounds of some races, the cells in turn; no cell waits for another.

    A round ends when all of its processes have returned, so what drops out does not depend on which returned first.
    """

    def __init__(self, races: Sequence[Race]) -> None:
        super().__init__()
        self._turns = list(races)
        self._waiting: dict[CellName, list[str]] = {race.cell: [] for race in races}
        self._running: dict[str, CellName] = {}
        self.max_num_trials = sum(race.max_num_runs for race in races)

    def suggest(self, trial_id: str) -> Any:
        for race in list(self._turns):
            self._turns.remove(race)
            waiting = self._waiting[race.cell]
            if not waiting and race.cell not in self._running.values():
                waiting += race.next_round()
                if not waiting:
                    continue
            self._turns.append(race)
            if waiting:
                self._running[trial_id] = race.cell
                return {TRIAL: waiting.pop(0)}
        return None if self._turns else Searcher.FINISHED

    def close(self, cell: CellName) -> None:
        """Begin nothing more of a cell."""
        self._turns = [race for race in self._turns if race.cell != cell]

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Note that a process returned; what it came to, the race reads from its files."""
        del self._running[trial_id]
