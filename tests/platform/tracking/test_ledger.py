"""The ledger against a real MLflow SQLite store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pretrieve.errors import LedgerError, UserError
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.spool import DriverSpool, Spool, read_spool
from pretrieve.tracking.trial_state import TrialState, attempts_from_text
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec

OpenLedger = Callable[[str], Ledger]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture
def open_ledger(store: Path) -> OpenLedger:
    """Open ledgers of any study in one store: setting up SQLite takes seconds."""

    def open_one(study: str) -> Ledger:
        folder = store / study
        return Ledger(tracking_uri=f"sqlite:///{store / 'mlflow.db'}", study=study, folder=folder, owns_artifacts=True)

    return open_one


def spec(key: str, kind: Any = "trial") -> TrialSpec:
    return TrialSpec(
        kind=kind,
        target="birds",
        method="uot",
        objective="joint",
        hyperparameters=Hyperparameters(lr=0.1, source_weight=0.3),
        seed=0,
        key=key,
        training=TrainingSettings(),
        metric="top1",
        num_target_classes=3,
        num_source_classes=0,
    )


def end(state: TrialState) -> tuple[str | None, float | None, str | None]:
    return state.outcome, state.score, state.failure


def history(ledger: Ledger, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in ledger.tree.client.get_metric_history(run_id, name))


def test_runs_nest_and_carry_parameters_and_each_epochs_metrics(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("nesting")
    ledger.begin(spec("k1"), {"lr": 0.1, "seed": 0})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    ledger.deliver()
    run_id = ledger.run_id("k1")
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("finished", {schema.SECONDS: 3.0})
    ledger.release_spool("k1")
    ledger.deliver()
    run = ledger.tree.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1", "seed": "0"}
    assert history(ledger, run_id, "val/score") == [(1, 0.25), (2, 0.5)]
    cell = ledger.tree.client.get_run(run.data.tags[schema.TAG_PARENT])
    assert cell.data.tags[schema.TAG_KIND] == "cell"
    assert cell.data.tags[schema.TAG_PARENT] == ledger.study_run_id
    finished = ledger.finished["k1"]
    assert (finished.score, finished.seconds, finished.outcome) == (0.5, 3.0, "finished")
    assert not ledger.spool_path("k1").exists()


def test_a_ledger_opened_again_knows_what_is_finished_and_makes_no_second_run(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("again")
    ledger.begin(spec("r1", "refit"), {})
    Spool(ledger.spool_path("r1")).write_end("finished", {schema.TEST_SCORE: 0.75})
    ledger.deliver()
    again = open_ledger("again")
    assert again.finished["r1"].score == 0.75
    assert again.study_run_id == ledger.study_run_id
    assert again.cell("birds", "uot") == ledger.cell("birds", "uot")
    assert len(again.tree.runs("study")) == len(again.tree.runs("cell")) == len(again.tree.runs("refit")) == 1


def test_a_trial_that_ended_after_its_driver_was_killed_is_finished_at_the_next_start(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("orphan")
    ledger.begin(spec("k1"), {})
    ledger.deliver()
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.5})
    spool.write_end("finished", {schema.SECONDS: 1.0})
    assert open_ledger("orphan").finished["k1"].score == 0.5


def test_an_interrupted_trial_goes_on_in_its_own_run_without_gaps_or_doubles(open_ledger: OpenLedger) -> None:
    first = open_ledger("interrupted")
    first.begin(spec("k1"), {"lr": 0.1})
    Spool(first.spool_path("k1")).write_epoch(1, {"val/score": 0.25})
    first.deliver()
    run_id = first.run_id("k1")
    second = open_ledger("interrupted")
    second.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(second.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("finished", {})
    second.deliver()
    assert second.run_id("k1") == run_id
    assert history(second, run_id, "val/score") == [(1, 0.25), (2, 0.5)]
    assert "k1" in second.finished


def test_a_diverged_trial_is_a_result_without_a_score(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("diverged")
    ledger.begin(spec("k1"), {})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.5})
    spool.write_end("diverged", {}, "the loss must stay finite")
    assert ledger.end_of("k1").outcome == "diverged"
    ledger.deliver()
    assert ledger.finished["k1"].score is None
    assert end(ledger.end_of("k1")) == ("diverged", None, None)
    tags = ledger.tree.client.get_run(ledger.run_id("k1")).data.tags
    assert tags[schema.TAG_MESSAGE] == "the loss must stay finite"


def test_the_end_of_a_long_error_is_what_is_kept(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("long")
    ledger.begin(spec("k1"), {})
    ledger.fail("k1", "Traceback\n" + "  a frame\n" * 1_000 + "ValueError: the cause", "program error")
    ledger.deliver()
    message = ledger.tree.client.get_run(ledger.run_id("k1")).data.tags[schema.TAG_MESSAGE]
    assert message.endswith("ValueError: the cause")
    assert len(message) <= 5_000


def test_what_is_open_when_nothing_runs_any_more_is_ended(open_ledger: OpenLedger) -> None:
    """A trial whose driver was killed, and whose key is in no plan since, and a cell without a result."""
    ledger = open_ledger("open")
    for key in ("half-done", "whole"):
        ledger.begin(spec(key), {})
        Spool(ledger.spool_path(key)).write_epoch(1, {"val/score": 0.5})
    Spool(ledger.spool_path("whole")).write_end("finished", {})
    ledger.deliver()
    again = open_ledger("open")
    again.end_open()
    runs = {run.info.run_id: run.info.status for kind in ("trial", "cell") for run in again.tree.runs(kind)}
    assert runs[again.run_id("half-done")] == "KILLED"
    assert runs[again.run_id("whole")] == "FINISHED"
    assert "RUNNING" not in runs.values()


def test_a_failed_trial_is_not_finished_and_its_next_try_ends_in_the_same_run(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("failed")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.25})
    ledger.fail("k1", "its process was lost", "process lost")
    ledger.deliver()
    run_id = ledger.run_id("k1")
    assert ledger.tree.client.get_run(run_id).info.status == "FAILED"
    assert "k1" not in ledger.finished
    again = open_ledger("failed")
    again.begin(spec("k1"), {})
    spool = Spool(again.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 99.0})
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("finished", {})
    again.deliver()
    assert again.run_id("k1") == run_id
    assert again.tree.client.get_run(run_id).info.status == "FINISHED"
    assert history(again, run_id, "val/score") == [(1, 0.25), (2, 0.5)]


def test_a_store_that_is_away_only_delays_the_delivery(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = open_ledger("away")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.25})
    monkeypatch.setattr("pretrieve.tracking.ledger.DELIVERY_INTERVAL_S", 0.01)
    send, calls = ledger.tree.log_at, []

    def refuse_twice(*args: Any) -> None:
        calls.append(args)
        if len(calls) <= 2:
            raise MlflowException("away")
        send(*args)

    monkeypatch.setattr(ledger.tree, "log_at", refuse_twice)
    with ledger.delivering():
        while len(calls) < 3:
            pass
    assert history(ledger, ledger.run_id("k1"), "val/score") == [(1, 0.25)]
    assert "they wait in" in caplog.text


def test_a_cells_summary_can_change(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("summary")
    ledger.record_cell("birds", "uot", metrics={schema.BEST_VAL_SCORE: 0.5}, tags={schema.TAG_BEST: "{}"})
    ledger.record_cell("birds", "uot", metrics={schema.BEST_VAL_SCORE: 0.75}, tags={schema.TAG_BEST: '{"lr": 1}'})
    run = ledger.tree.client.get_run(ledger.cell("birds", "uot"))
    assert run.data.metrics[schema.BEST_VAL_SCORE] == 0.75
    assert run.data.tags[schema.TAG_BEST] == '{"lr": 1}'
    assert run.info.status == "FINISHED"


def test_a_trial_that_ends_without_a_word_has_no_outcome(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("silent")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.25})
    assert (ledger.end_of("k1").outcome, ledger.end_of("k1").last_score) == (None, 0.25)


def test_a_trial_starts_while_the_store_is_away_and_an_error_of_the_block_is_the_one_seen(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("absent")

    def refuse(*args: Any, **named: Any) -> None:
        raise MlflowException("away")

    monkeypatch.setattr("pretrieve.tracking.ledger.PATIENCE_S", 0.0)
    monkeypatch.setattr("pretrieve.tracking.ledger.RETRY_INTERVAL_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(ledger.tree, "create", refuse)
        ledger.begin(spec("k1"), {"lr": 0.1})
        Spool(ledger.spool_path("k1")).write_end("finished", {schema.VAL_SCORE: 0.5, schema.SECONDS: 1.0})
        with pytest.raises(LedgerError, match="`pretrieve deliver` with the same study file"), ledger.delivering():
            assert ledger.end_of("k1").outcome == "finished"
        assert ledger.finished["k1"].score == 0.5, "what is finished is known without the store"
        with pytest.raises(KeyboardInterrupt), ledger.delivering():
            raise KeyboardInterrupt
    again = open_ledger("absent")
    assert again.finished["k1"].score == 0.5
    run = again.tree.client.get_run(again.run_id("k1"))
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})
    assert not list(again.spool_folder.iterdir())


def test_a_store_that_made_a_run_without_an_answer_makes_no_second_one(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("unanswered")
    make = ledger.tree.create

    def make_and_lose(*args: Any, **named: Any) -> str:
        make(*args, **named)
        raise MlflowException("no answer in time")

    ledger.begin(spec("k1"), {})
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(ledger.tree, "create", make_and_lose)
            with pytest.raises(MlflowException):
                ledger.deliver()
    ledger.deliver()
    assert len(ledger.tree.runs("cell")) == len(ledger.tree.runs("trial")) == 1


def test_a_run_that_somebody_deletes_is_made_again_and_told_everything(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("deleted")
    ledger.begin(spec("k1"), {})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    ledger.deliver()
    ledger.tree.client.delete_run(ledger.run_id("k1"))
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("finished", {})
    ledger.deliver()
    assert history(ledger, ledger.run_id("k1"), "val/score") == [(1, 0.25), (2, 0.5)]
    assert len(ledger.tree.runs("trial")) == 1


def test_a_run_that_somebody_deletes_while_the_store_goes_away_is_made_again(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("deleted-and-away")
    ledger.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    ledger.deliver()
    ledger.tree.client.delete_run(ledger.run_id("k1"))
    spool.write_end("finished", {})

    def refuse(*args: Any, **named: Any) -> str:
        raise MlflowException("away")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.tree, "create", refuse)
        with pytest.raises(MlflowException):
            ledger.deliver()
    ledger.deliver()
    run = ledger.tree.client.get_run(ledger.run_id("k1"))
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})
    assert history(ledger, ledger.run_id("k1"), "val/score") == [(1, 0.25)]


def test_a_failed_trial_whose_run_was_deleted_holds_up_no_delivery(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("failed-and-deleted")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.25})
    ledger.fail("k1", "its process was lost", "process lost")
    ledger.deliver()
    ledger.tree.client.delete_run(ledger.run_id("k1"))
    ledger.begin(spec("k1"), {})
    ledger.begin(spec("k2"), {})
    for key in ("k1", "k2"):
        Spool(ledger.spool_path(key)).write_end("finished", {schema.VAL_SCORE: 0.5})
    ledger.deliver()
    assert {run.info.status for run in ledger.tree.runs("trial")} == {"FINISHED"}
    assert history(ledger, ledger.run_id("k1"), "val/score")[0] == (1, 0.25), "it is told everything"


def test_a_run_lasts_from_its_trials_first_word_to_its_last(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("lasting")
    ledger.begin(spec("k1"), {})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_start("n1")
    time.sleep(0.05)
    spool.write_end("finished", {})
    first, last = (line.time_ms for line in read_spool(ledger.spool_path("k1")))
    time.sleep(0.05)
    ledger.deliver()
    info = ledger.tree.client.get_run(ledger.run_id("k1")).info
    assert (info.start_time, info.end_time) == (first, last)


def test_a_cell_that_is_recorded_again_ended_when_it_first_did(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("once")

    def recorded(score: float) -> int:
        ledger.record_cell("birds", "uot", metrics={schema.BEST_VAL_SCORE: score}, tags={schema.TAG_BEST: "{}"})
        return int(ledger.tree.client.get_run(ledger.cell("birds", "uot")).info.end_time)

    first = recorded(0.5)
    time.sleep(0.01)
    assert recorded(0.5) == first
    assert recorded(0.75) > first


def test_a_second_process_that_tells_the_same_trial_adds_nothing(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("twice")
    ledger.begin(spec("k1"), {})
    cut_off, in_its_place = Spool(ledger.spool_path("k1")), Spool(ledger.spool_path("k1"))
    for epoch in (1, 2):
        cut_off.write_epoch(epoch, {"val/score": epoch / 4})
        time.sleep(0.005)  # MLflow stores what is told of one millisecond once by itself
        in_its_place.write_epoch(epoch, {"val/score": epoch / 4})
    ledger.deliver()
    cut_off.write_end("finished", {})
    in_its_place.write_end("finished", {})
    ledger.deliver()
    run_id = ledger.run_id("k1")
    assert history(ledger, run_id, "val/score") == [(1, 0.25), (2, 0.5)]
    ledger.release_spool("k1")
    ledger.deliver()
    cut_off.write_epoch(3, {"val/score": 0.0})
    ledger.deliver()
    assert history(ledger, run_id, "val/score") == [(1, 0.25), (2, 0.5)]
    assert not ledger.spool_path("k1").exists()


def test_a_trial_begun_again_after_a_process_that_was_cut_off_told_its_end_reads_so_and_adds_nothing(
    open_ledger: OpenLedger,
) -> None:
    """Ray gives up a node that goes on training; the trial's end is known before another process takes its place."""
    ledger = open_ledger("told")
    ledger.begin(spec("k1"), {"lr": 0.1})
    cut_off = Spool(ledger.spool_path("k1"))
    for epoch in (1, 2):
        cut_off.write_epoch(epoch, {"val/score": epoch / 4})
    cut_off.write_end("finished", {})
    ledger.deliver()
    run_id = ledger.run_id("k1")
    ledger.begin(spec("k1"), {"lr": 0.1})
    ledger.deliver()
    assert Spool(ledger.spool_path("k1")).outcome == "finished", "whoever takes its place has nothing to do"
    assert ledger.tree.client.get_run(run_id).info.status == "FINISHED"
    ledger.release_spool("k1")
    ledger.deliver()
    assert not list(ledger.spool_folder.iterdir())
    time.sleep(0.005)
    for epoch in (1, 2):  # one that began without a look at what was there
        Spool(ledger.spool_path("k1")).write_epoch(epoch, {"val/score": epoch / 4})
    ledger.deliver()
    assert ledger.run_id("k1") == run_id
    assert history(ledger, run_id, "val/score") == [(1, 0.25), (2, 0.5)]


def test_a_trial_begun_again_while_its_end_is_sent_stays_finished(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("meanwhile")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.5})
    ledger.deliver()
    Spool(ledger.spool_path("k1")).write_end("finished", {})
    log_at = ledger.tree.log_at

    def begun_again_meanwhile(*arguments: Any) -> None:
        ledger.begin(spec("k1"), {})
        log_at(*arguments)

    monkeypatch.setattr(ledger.tree, "log_at", begun_again_meanwhile)
    ledger.deliver()
    ledger.release_spool("k1")
    ledger.deliver()
    assert ledger.tree.client.get_run(ledger.run_id("k1")).info.status == "FINISHED"
    assert not list(ledger.spool_folder.iterdir())


def killed(*arguments: Any, **named: Any) -> None:
    """Stand for a call in which the driver is killed."""
    raise KeyboardInterrupt


def test_a_trial_whose_end_comes_before_its_start_is_kept_for_whoever_starts_it(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver is killed while a trial of its trains on a node that is cut off; the next driver has it in its list."""
    first = open_ledger("ahead")
    first.begin(spec("k1"), {"lr": 0.1})
    cut_off = Spool(first.spool_path("k1"))
    cut_off.write_epoch(1, {"val/score": 0.5})
    monkeypatch.setattr(first.tree, "log_at", killed)
    with pytest.raises(KeyboardInterrupt):
        first.deliver()
    second = open_ledger("ahead")
    with second.keeping_spools(["k1", "k2"]):
        cut_off.write_end("finished", {})
        second.deliver()
        assert second.finished["k1"].score == 0.5
        assert Spool(second.spool_path("k1")).outcome == "finished"
        second.begin(spec("k1"), {"lr": 0.1})
    second.deliver()
    assert not list(second.spool_folder.iterdir())
    run = second.tree.client.get_run(second.run_id("k1"))
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})


def test_a_driver_killed_between_a_trials_outcome_and_its_status_leaves_the_status_to_the_next(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("between")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_end("finished", {schema.VAL_SCORE: 0.5})

    monkeypatch.setattr(ledger.tree, "end", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.deliver()
    again = open_ledger("between")
    assert again.tree.client.get_run(again.run_id("k1")).info.status == "FINISHED"
    assert not list(again.spool_folder.iterdir())
    again.tree.reopen(again.run_id("k1"))
    again.end_open()
    assert again.tree.client.get_run(again.run_id("k1")).info.status == "FINISHED", "it has its result"


def test_a_failure_counts_also_where_a_process_that_was_cut_off_told_an_epoch_after_it(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("after")
    ledger.begin(spec("k1"), {})
    cut_off = Spool(ledger.spool_path("k1"))
    ledger.fail("k1", "it took too much memory", "out of memory")
    cut_off.write_epoch(1, {"val/score": 0.5})
    ledger.deliver()
    assert end(ledger.end_of("k1")) == ("failed", None, "out of memory")
    assert ledger.end_of("k1").last_score == 0.5
    run = ledger.tree.client.get_run(ledger.run_id("k1"))
    assert (run.info.status, run.data.tags[schema.TAG_MESSAGE]) == ("FAILED", "it took too much memory")
    Spool(ledger.spool_path("k1")).write_start("n2")
    assert ledger.end_of("k1").outcome is None, "another attempt is under way"


def test_a_cell_whose_run_was_deleted_has_another(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("deleted-cell")
    for _ in range(2):
        ledger.record_cell("birds", "uot", metrics={schema.BEST_VAL_SCORE: 0.5}, tags={})
        ledger.tree.client.delete_run(ledger.cell("birds", "uot"))
    ledger.record_cell("birds", "uot", metrics={schema.BEST_VAL_SCORE: 0.5}, tags={})
    (cell,) = ledger.tree.runs("cell")
    assert (cell.info.status, cell.data.metrics) == ("FINISHED", {schema.BEST_VAL_SCORE: 0.5})


def test_what_cut_a_trial_short_is_counted_in_its_run(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("counted")
    ledger.begin(spec("k1"), {})
    driver = DriverSpool(ledger.spool_path("k1"))
    driver.write_interruption("node lost", "the node has died")
    driver.write_interruption("hung", "no step in 2 s")
    Spool(ledger.spool_path("k1")).write_end("finished", {})
    ledger.release_spool("k1")
    ledger.deliver()
    tags = ledger.tree.client.get_run(ledger.run_id("k1")).data.tags
    assert json.loads(tags[schema.TAG_INTERRUPTIONS]) == {"hung": 1, "node lost": 1}
    assert driver.interruptions() == []


def test_a_finished_trial_stays_finished_whatever_is_done_to_its_runs_status(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("reopened")
    ledger.begin(spec("k1"), {})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.5})
    spool.write_end("finished", {})
    ledger.deliver()
    run_id = ledger.run_id("k1")
    ledger.release_spool("k1")
    ledger.deliver()
    for status in ("RUNNING", "KILLED"):
        ledger.tree.client.update_run(run_id, status=status)
        time.sleep(0.005)
        Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.5})  # by a process that was cut off
        again = open_ledger("reopened")
        assert "k1" in again.finished
        assert again.tree.client.get_run(run_id).info.status == "FINISHED"
        assert not list(again.spool_folder.iterdir())
    assert history(ledger, run_id, "val/score") == [(1, 0.5)]


def test_a_trial_tried_again_keeps_its_first_parameters_and_loses_the_message_of_its_failure(
    open_ledger: OpenLedger,
) -> None:
    """The key decides the result; how its images were come by may be told in other words since."""
    ledger = open_ledger("retold")
    ledger.begin(spec("k1"), {"lr": 0.1, "selection.top_k": 100})
    Spool(ledger.spool_path("k1")).write_end("failed", {}, "it broke")
    ledger.deliver()
    again = open_ledger("retold")
    again.begin(spec("k1"), {"lr": 0.1, "selection.top_k": 50, "selection.num_selected": 50})
    Spool(again.spool_path("k1")).write_end("finished", {schema.VAL_SCORE: 0.5})
    again.deliver()
    run = again.tree.client.get_run(again.run_id("k1"))
    assert run.data.params == {"lr": "0.1", "selection.top_k": "100", "selection.num_selected": "50"}
    assert run.data.tags[schema.TAG_OUTCOME] == "finished"
    assert run.data.tags.get(schema.TAG_MESSAGE, "") == ""


def test_a_stopped_trial_is_done_for_a_search_that_stops_and_goes_to_its_end_for_one_that_does_not(
    store: Path, open_ledger: OpenLedger
) -> None:
    def stopping_ledger() -> Ledger:
        uri, folder = f"sqlite:///{store / 'mlflow.db'}", store / "stopped"
        return Ledger(tracking_uri=uri, study="stopped", folder=folder, owns_artifacts=True, stopped_is_done=True)

    ledger = stopping_ledger()
    ledger.begin(spec("k1"), {"lr": 0.1, "weight_decay": 1e-05, "source_weight": 0.3})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    spool.write_end("stopped", {schema.STOPPED_EPOCH: 1.0}, "stopped after epoch 1 of 2")
    assert ledger.scores("k1") == [(1, 0.25)]
    ledger.deliver()
    run_id = ledger.run_id("k1")
    assert ledger.tree.client.get_run(run_id).info.status == "FINISHED"
    again = stopping_ledger()
    assert (again.finished["k1"].outcome, again.finished["k1"].score) == ("stopped", None)
    assert again.scores("k1") == [(1, 0.25)]
    point = Hyperparameters(lr=0.1, weight_decay=1e-5, source_weight=0.3)
    assert again.points(["lr", "weight_decay", "source_weight"]) == {("birds", "uot"): {"k1": point}}

    whole = open_ledger("stopped")
    assert "k1" not in whole.finished
    whole.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(whole.spool_path("k1"))
    for epoch, score in ((1, 0.25), (2, 0.5)):
        spool.write_epoch(epoch, {"val/score": score})
    spool.write_end("finished", {})
    whole.deliver()
    assert whole.run_id("k1") == run_id
    assert history(whole, run_id, "val/score") == [(1, 0.25), (2, 0.5)], "its first epoch is told once"
    assert whole.finished["k1"].score == 0.5


def test_an_epoch_told_beyond_the_one_that_a_trial_was_stopped_at_is_told_once(open_ledger: OpenLedger) -> None:
    """By a process that was cut off, and is further than the one that took its place."""
    ledger = open_ledger("beyond")
    ledger.begin(spec("k1"), {})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("stopped", {schema.STOPPED_EPOCH: 1.0}, "stopped after epoch 1 of 3")
    ledger.release_spool("k1")
    ledger.deliver()
    whole = open_ledger("beyond")
    whole.begin(spec("k1"), {})
    time.sleep(0.005)
    for epoch in (1, 2, 3):
        Spool(whole.spool_path("k1")).write_epoch(epoch, {"val/score": epoch / 4})
    Spool(whole.spool_path("k1")).write_end("finished", {})
    whole.deliver()
    assert history(whole, whole.run_id("k1"), "val/score") == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_what_a_stopped_trial_told_is_known_after_another_attempt_failed(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("failed-since")
    ledger.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_start("n1")
    spool.write_epoch(1, {"val/score": 0.25})
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("stopped", {schema.STOPPED_EPOCH: 1.0}, "stopped after epoch 1 of 3")
    ledger.release_spool("k1")
    ledger.deliver()
    failing = open_ledger("failed-since")
    Spool(failing.spool_path("k1")).write_start("n2")
    failing.fail("k1", "its process was lost", "process lost")
    failing.deliver()
    tags = failing.tree.client.get_run(failing.run_id("k1")).data.tags
    assert [attempt.worker for attempt in attempts_from_text(tags[schema.TAG_ATTEMPTS])] == ["n1", "n2"]
    time.sleep(0.005)
    whole = open_ledger("failed-since")
    whole.begin(spec("k1"), {})
    for epoch in (1, 2, 3):
        Spool(whole.spool_path("k1")).write_epoch(epoch, {"val/score": epoch / 4})
    whole.deliver()
    assert history(whole, whole.run_id("k1"), "val/score") == [(1, 0.25), (2, 0.5), (3, 0.75)]


@pytest.mark.parametrize("strategy_may_stop", [False, True])
def test_a_stopped_trial_trained_to_its_end_is_one_that_was_begun_when_its_driver_is_killed(
    store: Path, strategy_may_stop: bool
) -> None:
    def open_again() -> Ledger:
        name = f"again-{strategy_may_stop}"
        uri, folder = f"sqlite:///{store / 'mlflow.db'}", store / name
        return Ledger(
            tracking_uri=uri, study=name, folder=folder, owns_artifacts=True, stopped_is_done=strategy_may_stop
        )

    ledger = open_again()
    ledger.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.25})
    spool.write_end("stopped", {schema.STOPPED_EPOCH: 1.0}, "stopped after epoch 1 of 3")
    if strategy_may_stop:
        assert ledger.end_of("k1").outcome == "stopped"
        ledger.reopen("k1")
    else:
        ledger.release_spool("k1")
        ledger.deliver()
    assert "k1" not in ledger.finished

    ledger.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(ledger.spool_path("k1"))
    for epoch, score in ((1, 0.25), (2, 0.5)):
        spool.write_epoch(epoch, {"val/score": score})
    ledger.deliver()

    ledger = open_again()
    assert "k1" not in ledger.finished
    assert ledger.scores("k1") == [(1, 0.25), (2, 0.5)]
    ledger.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(3, {"val/score": 0.75})
    spool.write_end("finished", {})
    ledger.deliver()
    assert history(ledger, ledger.run_id("k1"), "val/score") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert open_again().finished["k1"].score == 0.75


def test_a_file_of_the_study_is_sent_with_the_next_delivery(open_ledger: OpenLedger, tmp_path: Path) -> None:
    ledger, path = open_ledger("attached"), tmp_path / "plan.json"
    path.write_text("{}", encoding="utf-8")
    ledger.attach(path)
    assert ledger.tree.client.list_artifacts(ledger.study_run_id) == []
    ledger.deliver()
    assert [artifact.path for artifact in ledger.tree.client.list_artifacts(ledger.study_run_id)] == ["plan.json"]


def test_a_run_tells_where_and_when_its_trial_worked_also_before_its_end(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("workers")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_start("n1 · GPU 0")
    ledger.deliver()

    def attempts() -> list[list[Any]]:
        tags = ledger.tree.client.get_run(ledger.run_id("k1")).data.tags
        return list(json.loads(tags[schema.TAG_ATTEMPTS]))

    ((worker, start_ms, end_ms),) = attempts()
    assert (worker, end_ms) == ("n1 · GPU 0", None)
    assert abs(start_ms - time.time() * 1000) < 60_000
    assert end(ledger.end_of("k1")) == (None, None, None)
    again = Spool(ledger.spool_path("k1"))
    again.write_start("n2")
    again.write_end("finished", {"val/score": 0.5})
    ledger.deliver()
    first, second = attempts()
    assert (first, second[0]) == (["n1 · GPU 0", start_ms, None], "n2")
    assert second[1] <= second[2]
    assert ledger.finished["k1"].score == 0.5


def test_a_trial_that_goes_on_after_its_spool_is_gone_keeps_its_earlier_attempts(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("stretches")
    ledger.begin(spec("k1"), {})
    stopped = Spool(ledger.spool_path("k1"))
    stopped.write_start("n1")
    stopped.write_end("stopped", {})
    ledger.deliver()
    time.sleep(0.002)  # attempts are told apart by the millisecond
    again = open_ledger("stretches")
    again.begin(spec("k1"), {})
    Spool(again.spool_path("k1")).write_start("n2")
    again.deliver()
    told = json.loads(again.tree.client.get_run(again.run_id("k1")).data.tags[schema.TAG_ATTEMPTS])
    assert [worker for worker, _, _ in told] == ["n1", "n2"]


def test_runs_have_notes_that_a_person_reads(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("notes")
    ledger.begin(spec("k1"), {})
    ledger.deliver()
    client = ledger.tree.client
    trial = client.get_run(ledger.run_id("k1")).data.tags
    assert trial[schema.TAG_NOTE] == "Trial of uot on birds: trained on train, scored on val after each epoch."
    cell = ledger.cell("birds", "uot")
    assert "trials and refits of uot on birds" in client.get_run(cell).data.tags[schema.TAG_NOTE]
    ledger.write_notes({cell: "**done**", ledger.study_run_id: "table"}, experiment="how to read it", runs_view="{}")
    assert client.get_run(cell).data.tags[schema.TAG_NOTE] == "**done**"
    assert client.get_run(ledger.study_run_id).data.tags[schema.TAG_NOTE] == "table"
    assert client.get_experiment(ledger.tree.experiment_id).tags[schema.TAG_NOTE] == "how to read it"


def flip_a_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "flipped": flip_a_byte,
    "halved": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("whose", [".jsonl", ".driver"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_trial_whose_spool_is_damaged_ends_as_one_left_alone(
    open_ledger: OpenLedger, caplog: pytest.LogCaptureFixture, damage: str, whose: str
) -> None:
    first = open_ledger(f"{damage}{whose}")
    first.begin(spec("k1"), {"lr": 0.1})
    spool = Spool(first.spool_path("k1"))
    spool.write_start("n1")
    for epoch in (1, 2):
        spool.write_epoch(epoch, {"val/score": epoch / 4})
    first.deliver()
    run_id = first.run_id("k1")
    damaged = first.spool_path("k1").with_suffix(whose)
    DAMAGE[damage](damaged)

    second = open_ledger(f"{damage}{whose}")
    assert (f"{damaged.name}.damaged" in caplog.text) == (damage == "flipped")
    assert "k1" not in second.finished
    second.begin(spec("k1"), {"lr": 0.1})
    time.sleep(0.005)
    spool = Spool(second.spool_path("k1"))
    spool.write_start("n2")
    for epoch in (2, 3):  # its checkpoint is that of the first epoch
        spool.write_epoch(epoch, {"val/score": epoch / 4})
    spool.write_end("finished", {})
    assert second.end_of("k1").score == 0.75
    second.release_spool("k1")
    second.deliver()
    run = second.tree.client.get_run(run_id)
    assert second.run_id("k1") == run_id
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})
    assert history(second, run_id, "val/score") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert [attempt.worker for attempt in attempts_from_text(run.data.tags[schema.TAG_ATTEMPTS])] == ["n1", "n2"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_the_spool_of_a_delivered_trial_loses_nothing(open_ledger: OpenLedger, damage: str) -> None:
    ledger = open_ledger(f"{damage}-after")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_end("finished", {schema.VAL_SCORE: 0.5})
    ledger.deliver()
    DAMAGE[damage](ledger.spool_path("k1"))
    again = open_ledger(f"{damage}-after")
    assert again.finished["k1"].score == 0.5
    assert not list(again.spool_folder.iterdir())


def test_a_trial_whose_spool_is_damaged_before_its_end_is_known_fails_and_is_tried_by_a_later_run(
    open_ledger: OpenLedger,
) -> None:
    ledger, said = open_ledger("damaged-end"), list[str]()
    ledger.notice = said.append
    ledger.begin(spec("k1"), {})
    spool = Spool(ledger.spool_path("k1"))
    spool.write_epoch(1, {"val/score": 0.5})
    spool.write_end("finished", {})
    flip_a_byte(ledger.spool_path("k1"))
    assert end(ledger.end_of("k1")) == ("failed", None, "process lost")
    assert "k1.jsonl.damaged" in said[0]
    ledger.deliver()
    run = ledger.tree.client.get_run(ledger.run_id("k1"))
    assert (run.info.status, run.data.metrics) == ("FAILED", {}), "no figure of it was taken"
    again = open_ledger("damaged-end")
    assert "k1" not in again.finished


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_trial_that_ended_is_not_done_while_nothing_says_what_it_was(open_ledger: OpenLedger, damage: str) -> None:
    first = open_ledger(f"{damage}-unknown")
    first.begin(spec("k1"), {"lr": 0.1})
    Spool(first.spool_path("k1")).write_end("finished", {schema.VAL_SCORE: 0.5})
    DAMAGE[damage](first.spool_path("k1").with_suffix(".driver"))
    second = open_ledger(f"{damage}-unknown")
    assert "k1" not in second.finished
    second.begin(spec("k1"), {"lr": 0.1})
    assert Spool(second.spool_path("k1")).outcome == "finished", "it is not trained again"
    assert second.end_of("k1").score == 0.5
    second.deliver()
    run = second.tree.client.get_run(second.run_id("k1"))
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})


def test_a_study_of_version_0_1_is_refused_by_name(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("old")
    ledger.spool_folder.mkdir(parents=True)
    (ledger.spool_folder / "k1.begun.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"version 0.1 left .*k1.begun.json: run the study again in a fresh folder"):
        open_ledger("old")
