"""What the stages share: settings, store, cluster, clock, ledger, and the results of earlier stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pretrieve.artifacts.keys import derived_seed
from pretrieve.artifacts.sealed_files import set_aside
from pretrieve.artifacts.store import ArtifactStore
from pretrieve.errors import DamagedArtifactError, UserError
from pretrieve.stages import walk_order
from pretrieve.stages._base import Stage
from pretrieve.stages.budget import BudgetKeeper
from pretrieve.stages.cluster_connection import LazyCluster
from pretrieve.stages.observer import StageClock, StudyObserver

if TYPE_CHECKING:
    from pretrieve.records import StudyRecord
    from pretrieve.study.settings import StudySettings
    from pretrieve.tracking.ledger import Ledger

Made = TypeVar("Made")

MAX_ATTEMPTS = 3
"""How often a stage is made again where its artifacts are removed or damaged before they are read."""


class NotMadeError(Exception):
    """Something is not in the store, and this walk makes nothing."""


@dataclass(frozen=True)
class Recording:
    """The ledger that a walk with trials writes to, and the budget that limits it."""

    ledger: Ledger
    budget: BudgetKeeper


@dataclass
class Context:
    """One walk through the stages of a study.

    Attributes:
      cluster: connected to only when something is computed.
      clock: times the stages and passes on their notices.
      makes: whether missing things are made; False only looks at what is in the store.
      runs_trials: whether trials are run; False continues with the results that exist.
      recording: the study's ledger and its budget; None for a walk that runs no trials or refits.
      repeat: the number of the repeat that it walks through, from 0.
      fold: the number of the fold whose images are held out, from 0; None for a walk through a whole repeat.
      above: the walk that this one is a part of: for a fold its repeat, for a later repeat the first one.
      results: results of the stages so far.
    """

    settings: StudySettings
    cluster: LazyCluster
    clock: StageClock
    makes: bool = True
    runs_trials: bool = True
    recording: Recording | None = None
    repeat: int = 0
    fold: int | None = None
    above: Context | None = None
    results: dict[type[Stage[Any]], Any] = field(default_factory=dict)
    _later: list[Context] = field(default_factory=list)
    _folds: list[Context] = field(default_factory=list)

    @property
    def top(self) -> Context:
        """The walk through the first repeat, which has the stages that all repeats share."""
        return self if self.above is None else self.above.top

    @cached_property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.settings.cache)

    @cached_property
    def record(self) -> StudyRecord | None:
        """The record that earlier runs of the study left in MLflow; None where it was never run."""
        if self.above is not None:
            return self.top.record
        from pretrieve_dashboards import load_study
        from pretrieve_dashboards.errors import DashboardError

        try:
            return load_study(self.settings.tracking(), self.settings.name)
        except DashboardError:
            return None

    def own_folder(self, name: str) -> Path:
        """Return a folder of the study for files of this walk."""
        folder = self.settings.folder / name
        folder = folder / f"repeat-{self.repeat}" if self.repeat else folder
        return folder if self.fold is None else folder / f"fold-{self.fold}"

    @property
    def ledger(self) -> Ledger:
        return self._recording.ledger

    @property
    def budget(self) -> BudgetKeeper:
        return self._recording.budget

    @property
    def _recording(self) -> Recording:
        if self.recording is None:
            raise NotMadeError("the ledger")
        return self.recording

    def walk(self) -> None:
        """Go through all stages in their order, except those that run on demand, and shared ones in a later repeat."""
        for stage in walk_order():
            if not stage.is_on_demand and not (stage.is_shared and self.above) and stage().applies(self):
                self.get(stage)

    def repeats(self) -> list[Context]:
        """Return the walks through the repeats of the study: this one, and one for each later repeat.

        A repeat is the study with another seed: the labelled images, the folds, the selections and the trials are drawn
        anew; the pre-training and the clusters are shared.
        """
        while len(self._later) < self.settings.repeats.draws - 1:
            number = len(self._later) + 1
            seed = derived_seed(self.settings.seed, "repeat", number) % 2**31
            settings = self.settings.model_copy(update={"seed": seed})
            self._later.append(self._part(settings=settings, repeat=number))
        return [self, *self._later]

    def folds(self) -> list[Context]:
        """Return a walk for each fold of this repeat, whose selections see no label of the images that it holds out.

        There is none in a repeat that takes the choice of the first one.
        """
        number = self.settings.folds
        if not self._folds and isinstance(number, int) and self.settings.chooses_in(self.repeat):
            self._folds = [self._part(fold=fold) for fold in range(number)]
        return self._folds

    def _part(self, **changes: Any) -> Context:
        return replace(self, above=self, results={}, _later=[], _folds=[], **changes)

    def get(self, stage: type[Stage[Made]]) -> Made:
        """Return the result of a stage, and make it where it is not in the store.

        Raises:
          NotMadeError: it is not in the store, and this walk makes nothing.
          UserError: the settings do not fit the data or the cluster.
        """
        if stage.is_shared and self.above is not None:
            return self._shared(stage)
        if stage not in self.results:
            self.results[stage] = self._walked(stage())
        return cast("Made", self.results[stage])

    def _shared(self, stage: type[Stage[Made]]) -> Made:
        found = self.top.get(stage) if self.makes else self.top.find(stage)
        if found is None:
            raise NotMadeError(stage.name)
        return found

    def find(self, stage: type[Stage[Made]]) -> Made | None:
        """Return the result of a stage where nothing must be made for it; else None."""
        makes, self.makes = self.makes, False
        try:
            return self.get(stage)
        except NotMadeError:
            return None
        finally:
            self.makes = makes

    def _walked(self, stage: Stage[Made]) -> Made:
        started = time.perf_counter()
        found = self._loaded(stage)
        if found is not None:
            if total := stage.num_pieces(self):
                self.clock.found(stage.name, total, time.perf_counter() - started)
            return found
        if not self.makes:
            raise NotMadeError(stage.name)
        for _ in range(MAX_ATTEMPTS):
            try:
                made = stage.make(self)
            except DamagedArtifactError as error:  # an artifact of an earlier stage, which is looked for again
                set_aside(error)
                for walk in (self, self.top):
                    walk.results = {known: made for known, made in walk.results.items() if known.place >= stage.place}
                continue
            made = self._loaded(stage) if made is None else made
            if made is not None:
                return made
        raise UserError(
            f"what the stage '{stage.name}' makes must stay in {self.store.root} until it is read, but was removed or "
            f"damaged {MAX_ATTEMPTS} times meanwhile; stop what removes it, and run the study again"
        )

    def _loaded(self, stage: Stage[Made]) -> Made | None:
        try:
            return stage.load(self)
        except DamagedArtifactError as error:
            set_aside(error)
            return None


@contextmanager
def walking(
    settings: StudySettings, observer: StudyObserver, *, makes: bool = True, recording: Recording | None = None
) -> Iterator[Context]:
    """Yield the context of one walk; close its connection to a cluster at the end, if it made one."""
    with ExitStack() as stack:
        clock = StageClock(observer)
        stack.enter_context(clock.passing_on_warnings())
        yield Context(settings, LazyCluster(stack, settings), clock, makes=makes, recording=recording)
