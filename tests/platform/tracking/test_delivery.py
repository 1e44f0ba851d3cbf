"""Delivery to a store that fails as it likes, of a trial whose processes, driver and files come to harm."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.exceptions import MlflowException

from pretrieve.tracking import schema
from pretrieve.tracking.delivery import Delivery
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import RESULTS, Begun, DriverSpool, Spool
from pretrieve.tracking.trial_state import Note
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec

NUM_EPOCHS = 5
SPEC = TrialSpec(
    kind="trial",
    target="birds",
    method="uot",
    objective="joint",
    hyperparameters=Hyperparameters(lr=0.1, source_weight=0.3),
    seed=0,
    key="k1",
    training=TrainingSettings(),
    metric="top1",
    num_target_classes=3,
    num_source_classes=0,
)


class FailingStore:
    """Stands for the runs of a study, and raises before or after what it does, as often as it is told."""

    def __init__(self, draw: random.Random) -> None:
        self.client = self
        self.fails = 0.0
        self.all: dict[str, Any] = {}
        self.figures: set[tuple[str, str, float, int, int]] = set()
        self._draw = draw

    def _do(self, action: Callable[[], Any]) -> Any:
        if self._draw.random() < self.fails / 2:
            raise MlflowException("no answer, and nothing done")
        done = action()
        if self._draw.random() < self.fails / 2:
            raise MlflowException("no answer, though it was done")
        return done

    def runs(self, kind: str) -> list[Any]:
        return [run for run in self.all.values() if run.data.tags[schema.TAG_KIND] == kind]

    def find(self, kind: str, tags: Mapping[str, str]) -> str | None:
        found = [run.info.run_id for run in self.runs(kind) if tags.items() <= run.data.tags.items()]
        return found[0] if found else None

    def create(self, name: str, *, kind: str, parent: str, tags: Mapping[str, str], start_ms: int | None) -> Any:
        def make() -> str:
            run_id = f"r{len(self.all)}"
            info = SimpleNamespace(run_id=run_id, status="RUNNING", end_time=None, lifecycle_stage="active")
            data = SimpleNamespace(tags={schema.TAG_KIND: kind, **tags}, params={}, metrics={})
            self.all[run_id] = SimpleNamespace(info=info, data=data)
            return run_id

        return self._do(make)

    def reopen(self, run_id: str) -> None:
        self._do(lambda: setattr(self.all[run_id].info, "status", "RUNNING"))

    def end(self, run_id: str, status: str, *, time_ms: int | None) -> None:
        self._do(lambda: setattr(self.all[run_id].info, "status", status))

    def log_at(self, run_id: str, figures: Sequence[Any], tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        def log() -> None:
            data = self.all[run_id].data
            assert not any(data.params.get(name, value) != value for name, value in params.items())
            self.figures |= {(run_id, *figure) for figure in figures}
            data.metrics |= {name: value for name, value, _, _ in figures}
            data.tags |= tags
            data.params |= params

        self._do(log)

    def get_run(self, run_id: str) -> Any:
        return self._do(lambda: self.all[run_id])

    def get_metric_history(self, run_id: str, name: str) -> list[Any]:
        told = [each for each in self.figures if each[:2] == (run_id, name)]
        return [SimpleNamespace(step=step, timestamp=time_ms) for _, _, _, time_ms, step in told]


class Story:
    """A trial, its processes, its driver and its files, to which things happen in any order."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.store, self.path, self.draw = FailingStore(draw), folder / "k1.jsonl", draw
        self.processes: list[Iterator[None]] = []
        self.checkpoint = 0
        self.was_damaged = False
        self.driver_starts()

    def driver_starts(self) -> None:
        fails, self.store.fails = self.store.fails, 0.0
        self.delivery = Delivery(cast("RunTree", self.store), self.path.parent, "study", lambda text: None)
        self.delivery.take_over(RESULTS)
        self.store.fails = fails

    def process_starts(self) -> None:
        """Start one beside those that were cut off, as Tune does after it heard of a loss."""
        if self.delivery.trial("k1").delivered:
            return
        self.delivery.record("k1", Note.SPOOL_KEPT)
        begun = Begun(SPEC, {"lr": 0.1})
        DriverSpool(self.path).write_begun(begun)
        self.delivery.record("k1", begun)
        self.processes.append(self._train())

    def _train(self) -> Iterator[None]:
        spool = Spool(self.path)
        if spool.outcome in RESULTS:
            return
        spool.write_start("n1")
        for epoch in range(self.checkpoint + 1, NUM_EPOCHS + 1):
            yield
            spool.write_epoch(epoch, {schema.LOSS_TARGET: epoch / 10, schema.VAL_SCORE: epoch / 20})
            yield
            if epoch < NUM_EPOCHS:
                self.checkpoint = epoch
        spool.write_end("finished", {schema.SECONDS: 1.0})
        self.checkpoint = 0

    def processes_work(self) -> None:
        for process in self.processes:
            next(process, None)

    def process_is_killed(self) -> None:
        if self.processes:
            self.processes.pop(self.draw.randrange(len(self.processes)))

    def sends(self) -> None:
        self.store.fails = self.draw.choice([0.0, 0.0, 0.5])
        with contextlib.suppress(MlflowException):
            self.delivery.send()
        self.store.fails = 0.0

    def file_is_damaged(self) -> None:
        path = self.draw.choice([self.path, self.path.with_suffix(".driver")])
        if self.draw.random() < 0.2 and path.exists() and path.stat().st_size:
            self.was_damaged = True
            content = path.read_bytes()
            place = self.draw.randrange(len(content))
            flipped = content[:place] + bytes([content[place] ^ 1 << self.draw.randrange(8)]) + content[place + 1 :]
            path.write_bytes(self.draw.choice([flipped, flipped, content[:place], b""]))

    def ends(self) -> Any:
        """Let it come to its end with nothing in its way, and return its run."""
        self.driver_starts()
        for _ in range(3):
            self.process_starts()
            for _ in range(2 * NUM_EPOCHS + 2):
                self.processes_work()
            self.delivery.read("k1")
            self.delivery.send()
        self.delivery.record("k1", Note.SPOOL_RELEASED)
        self.delivery.send()
        (run,) = self.store.runs(schema.KIND_TRIAL)
        return run


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("damage", [False, True])
def test_each_figure_arrives_once_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, damage: bool
) -> None:
    clock = itertools.count(1, 1_000_000)
    monkeypatch.setattr("pretrieve.tracking.spool.time", SimpleNamespace(time_ns=lambda: next(clock)))
    draw = random.Random(seed)
    story = Story(tmp_path, draw)
    happenings = [story.driver_starts, story.process_starts, story.process_is_killed]
    happenings += 5 * [story.processes_work] + 3 * [story.sends] + damage * [story.file_is_damaged]
    for _ in range(40):
        draw.choice(happenings)()
    run = story.ends()

    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": 0.1})
    assert run.data.tags[schema.TAG_OUTCOME] == "finished"
    state = story.delivery.trial("k1")
    assert (state.outcome, state.score, state.delivered) == ("finished", NUM_EPOCHS / 20, "finished")
    epochs = sorted((step, value) for _, name, value, _, step in story.store.figures if name == schema.VAL_SCORE)
    assert len({step for step, _ in epochs}) == len(epochs), "none is there twice"
    assert all(value == step / 20 for step, value in epochs)
    assert epochs[-1][0] == NUM_EPOCHS
    assert story.was_damaged or len(epochs) == NUM_EPOCHS
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".damaged"]
