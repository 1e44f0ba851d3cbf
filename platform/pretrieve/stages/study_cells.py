"""The cells of a study with the trials that are known so far: head ratios are settled first, points proposed later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from pretrieve.artifacts.keys import derived_seed
from pretrieve.components.hyperparameters import HEAD_LR_RATIO, LR
from pretrieve.execution.trial_task import TrialTask
from pretrieve.methods import Method
from pretrieve.search.early_stopping import EarlierTrial
from pretrieve.search.grid import GridSettings
from pretrieve.search.proposals import CellProblem
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.settings import SearchSettings
from pretrieve.stages.budget import Refits
from pretrieve.stages.observer import StageClock
from pretrieve.stages.trial_maker import Cell, TrialMaker
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.trial_state import TrialState
from pretrieve.training.settings import Hyperparameters

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

SETTLING_METHOD = "finetune"


@dataclass(frozen=True)
class CellResult:
    """The best trial of a cell on validation (None where no trial has a score), and the refits of its configuration.

    Attributes:
      refits_with_leaks: the same refits with the images that an audit left out, if there are any.
    """

    cell: Cell
    best: TrialTask | None
    refits: tuple[TrialTask, ...]
    refits_with_leaks: tuple[TrialTask, ...] = ()

    @property
    def all_refits(self) -> tuple[TrialTask, ...]:
        return self.refits + self.refits_with_leaks


@dataclass
class StudyCells:
    """The cells of a study and what is known of their trials.

    Attributes:
      ledger: holds the results of earlier runs.
      clock: passes on what a user should know.
      chosen: by cell, the trial that an earlier repeat chose; the cells then have no trials. None: they have.
      changed: called when more trials are known.
    """

    settings: StudySettings
    trial_maker: TrialMaker
    ledger: Ledger
    clock: StageClock
    chosen: Mapping[tuple[str, str], TrialTask | None] | None = None
    changed: Callable[[], None] = lambda: None
    _cells: dict[tuple[str, str], Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pairs: list[tuple[str, str]] = list(product(self.trial_maker.targets, self.settings.method_names))
        if self.chosen is not None:
            self._settles, self._cells = False, {pair: Cell(*pair, ()) for pair in self._pairs}
            return
        self._settles = self.settings.grid.settles_head_lr_ratio(self.settings.method_names)
        num_ratios = len(self.settings.grid.of(HEAD_LR_RATIO))
        if num_ratios > 1 and SETTLING_METHOD not in self.settings.method_names:
            self.clock.notice(
                f"every method searches all {num_ratios} values of grid.head_lr_ratio: they "
                f"are settled with the method {SETTLING_METHOD!r}, which is not a method of this study"
            )
        for pairs in self.phases():
            self._make([pair for pair in pairs if not self._waits(pair)])

    def _make(self, pairs: Sequence[tuple[str, str]]) -> None:
        names = [each.read_as for each in self.settings.hyperparameters]
        begun = self.ledger.points(names) if self.settings.search.proposes else {}
        self._cells |= {pair: self._cell(pair, begun.get(pair, {})) for pair in pairs}

    def phases(self) -> list[list[tuple[str, str]]]:
        """List the cells to search, in phases: those that must be done before others come first."""
        if not self._settles:
            return [self._pairs]
        first = [pair for pair in self._pairs if pair[1] == SETTLING_METHOD]
        return [first, [pair for pair in self._pairs if pair[1] != SETTLING_METHOD]]

    def open_phase(self, pairs: Sequence[tuple[str, str]]) -> list[Cell]:
        """Make the cells of a phase, whose earlier phases are done, and return them."""
        before = dict(self._cells)
        for target, method in pairs:
            if self._waits((target, method)):
                self.clock.notice(
                    f"{target} · {method} searches every value of grid.head_lr_ratio: no trial of {target} · "
                    f"{SETTLING_METHOD} has a score that would settle it"
                )
        self._make(pairs)
        if self._cells != before:
            self.changed()
        return [self._cells[pair] for pair in pairs]

    def _waits(self, pair: tuple[str, str]) -> bool:
        """Return whether the head ratio of a cell is not known yet."""
        return self._settles and pair[1] != SETTLING_METHOD and len(self.grid(*pair).of(HEAD_LR_RATIO)) > 1

    @property
    def cells(self) -> list[Cell]:
        """All cells of the study, in its order."""
        return [self._cells.get(pair) or self._unknown(*pair) for pair in self._pairs]

    def _unknown(self, target: str, method: str) -> Cell:
        """Make a cell that waits for its head ratio: the number of its trials is known, their points are not."""
        grid, search = self.settings.grid, self.settings.search
        if search.proposes:
            row = self.settings.method(method)
            return Cell(target, method, (), num_proposed(search, self.grid(target, method), row))
        settled = self.trial_maker.cell(target, method, grid.with_head_lr_ratio(grid.of(HEAD_LR_RATIO)[0]))
        return Cell(target, method, (), len(settled.trials))

    def grid(self, target: str, method: str) -> GridSettings:
        grid = self.settings.grid
        if not self._settles or method == SETTLING_METHOD:
            return grid
        settling = self._cells.get((target, SETTLING_METHOD))
        best = best_trial(settling, self.ledger.finished) if settling else None
        return grid if best is None else grid.with_head_lr_ratio(best.spec.hyperparameters.read(HEAD_LR_RATIO))

    def _cell(self, pair: tuple[str, str], begun: Mapping[str, Hyperparameters]) -> Cell:
        grid, search = self.grid(*pair), self.settings.search
        if not search.proposes:
            return self.trial_maker.cell(*pair, grid)
        space = SearchSpace.of(grid, self.settings.method(pair[1]))
        tasks = {key: self.trial_maker.trial(*pair, point) for key, point in begun.items() if space.holds(point)}
        # A trial that an earlier run began with other settings has another key.
        known = tuple(task for key, task in tasks.items() if task.spec.key == key)
        return Cell(*pair, known, max(0, num_proposed(search, grid, self.settings.method(pair[1])) - len(known)))

    def add(self, pair: tuple[str, str], point: Hyperparameters) -> TrialTask:
        """Add a proposed point to a cell, and return its trial."""
        task, cell = self.trial_maker.trial(*pair, point), self._cells[pair]
        if task.spec.key not in {known.spec.key for known in cell.trials}:
            unknown = max(0, cell.num_unknown - 1)
            self._cells[pair] = Cell(*pair, (*cell.trials, task), unknown)
            self.changed()
        return task

    def close_phase(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Note that no more points will be proposed in these cells."""
        before = dict(self._cells)
        self._cells |= {pair: Cell(*pair, self._cells[pair].trials) for pair in pairs}
        if self._cells != before:
            self.changed()

    def results(self) -> list[CellResult]:
        """Choose the best configuration of each cell so far, and make its refits."""
        results = []
        for cell in self.cells:
            own = best_trial(cell, self.ledger.finished)
            best = own if self.chosen is None else self.chosen.get((cell.target, cell.method))
            point = best.spec.hyperparameters if best else None
            refits = self.trial_maker.refits(cell, point) if point else []
            with_leaks = self.trial_maker.refits(cell, point, with_leaks=True) if point else []
            results.append(CellResult(cell, best, tuple(refits), tuple(with_leaks)))
        return results

    def missing(self, cells: Sequence[Cell]) -> list[TrialTask]:
        """List the known trials of some cells that have no result."""
        finished = self.ledger.finished
        return [task for cell in cells for task in cell.trials if task.spec.key not in finished]

    def earlier(self, cells: Sequence[Cell], *, ended: bool) -> list[EarlierTrial]:
        """List trials with scores of earlier runs: finished trials (`ended=True`) or unfinished ones (`ended=False`).

        A trial that diverged is left out: it has no score to choose by, so no other trial should be stopped against it.
        """
        finished = self.ledger.finished
        trials = [
            EarlierTrial((cell.target, cell.method), task.spec.key, self.ledger.scores(task.spec.key))
            for cell in cells
            for task in cell.trials
            if (task.spec.key in finished) == ended
        ]
        return [trial for trial in trials if trial.scores and not self._has_diverged(trial.key)]

    def _has_diverged(self, key: str) -> bool:
        finished = self.ledger.finished
        return key in finished and finished[key].outcome == "diverged"

    def best_stopped(self, cells: Sequence[Cell]) -> list[TrialTask]:
        """List the best stopped trial of each cell whose trials all ended, but none with a score to choose by."""
        finished = self.ledger.finished
        found = []
        for cell in cells:
            ended = [task for task in cell.trials if task.spec.key in finished]
            stopped = [task for task in ended if finished[task.spec.key].outcome == "stopped"]
            if stopped and len(ended) == len(cell.trials) and best_trial(cell, finished) is None:
                found.append(max(stopped, key=lambda task: self._last_score(task.spec.key)))
        return found

    def problem(self, cell: Cell) -> CellProblem:
        """Describe what is to be proposed in a cell, and the trials it has, for a strategy that proposes points."""
        finished = self.ledger.finished
        target, method = cell.target, cell.method
        ended = [task for task in cell.trials if task.spec.key in finished]
        return CellProblem(
            cell=(target, method),
            strategy=self.settings.search.member,
            space=SearchSpace.of(self.grid(target, method), self.settings.method(method)),
            key_of=lambda point: self.trial_maker.trial(target, method, point).spec.key,
            num_trials=len(cell.trials) + cell.num_unknown,
            seed=derived_seed(self.settings.seed, "proposals", target, method) % 2**31,
            scores={task.spec.hyperparameters: self._last_score(task.spec.key) for task in ended},
            begun=[task.spec.hyperparameters for task in cell.trials if task.spec.key not in finished],
        )

    def _last_score(self, key: str) -> float:
        if self._has_diverged(key):
            return 0.0
        scores = self.ledger.scores(key)
        return scores[-1][1] if scores else 0.0


def by_preference(trials: Sequence[TrialTask]) -> list[TrialTask]:
    """Order trials of a cell as equal scores prefer them: by their rate, the smaller first, then as in the grid."""
    return sorted(trials, key=lambda task: float(task.spec.hyperparameters.get(LR.name) or 0.0))


def best_trial(cell: Cell, finished: Mapping[str, TrialState]) -> TrialTask | None:
    """Return the trial with the best validation score, the preferred of equals; None where no trial has a score."""
    trials = by_preference(cell.trials)
    scored = [(task, finished[task.spec.key].score) for task in trials if task.spec.key in finished]
    candidates = [(task, score) for task, score in scored if score is not None]
    return max(candidates, key=lambda pair: pair[1])[0] if candidates else None


def num_proposed(search: SearchSettings, grid: GridSettings, method: Method) -> int:
    """Return how many points a search proposes in a cell."""
    return int(min(search.num_trials, SearchSpace.of(grid, method).num_points))


def planned_refits(study_cells: StudyCells) -> Refits:
    """Return the refits to come, so that the budget sets aside what they cost."""
    finished, results = study_cells.ledger.finished, study_cells.results()
    num_planned = sum(study_cells.settings.num_refits(result.cell.method) for result in results)
    num_done = sum(task.spec.key in finished for result in results for task in result.refits)
    num_with_leaks = sum(task.spec.key not in finished for result in results for task in result.refits_with_leaks)
    num_missing = num_planned - num_done + num_with_leaks
    return Refits(num_missing, study_cells.trial_maker.refits_longer_by(), study_cells.trial_maker.refit_bytes())
