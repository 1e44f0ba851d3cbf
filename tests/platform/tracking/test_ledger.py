"""The ledger against a real MLflow SQLite store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pretrieve.errors import LedgerError
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.spool import Spool
from pretrieve.training.settings import Hyperparameters
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
    )


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
    ledger.deliver()
    run = ledger.tree.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1", "seed": "0"}
    assert history(ledger, run_id, "val/score") == [(1, 0.25), (2, 0.5)]
    cell = ledger.tree.client.get_run(run.data.tags[schema.TAG_PARENT])
    assert cell.data.tags[schema.TAG_KIND] == "cell"
    assert cell.data.tags[schema.TAG_PARENT] == ledger.study_run_id
    finished = ledger.finished["k1"]
    assert (finished.score, finished.seconds, finished.outcome, finished.is_refit) == (0.5, 3.0, "finished", False)
    assert not ledger.spool_path("k1").exists()


def test_a_ledger_opened_again_knows_what_is_finished_and_makes_no_second_run(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("again")
    ledger.begin(spec("r1", "refit"), {})
    Spool(ledger.spool_path("r1")).write_end("finished", {schema.TEST_SCORE: 0.75})
    ledger.deliver()
    again = open_ledger("again")
    assert again.finished["r1"].score == 0.75
    assert again.finished["r1"].is_refit
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
    assert ledger.spooled_end("k1")[0] == "diverged"
    ledger.deliver()
    assert ledger.finished["k1"].score is None
    assert ledger.spooled_end("k1") == ("diverged", {})
    tags = ledger.tree.client.get_run(ledger.run_id("k1")).data.tags
    assert tags[schema.TAG_MESSAGE] == "the loss must stay finite"


def test_a_failed_trial_is_not_finished_and_its_next_try_ends_in_the_same_run(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("failed")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_epoch(1, {"val/score": 0.25})
    ledger.fail("k1", "its process was lost")
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
    assert ledger.spooled_end("k1") == (None, {"val/score": 0.25})


def test_a_trial_starts_while_the_store_is_away_and_an_error_of_the_block_is_the_one_seen(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("absent")

    def refuse(*args: Any, **named: Any) -> None:
        raise MlflowException("away")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.tree, "create", refuse)
        ledger.begin(spec("k1"), {})
        Spool(ledger.spool_path("k1")).write_end("finished", {schema.SECONDS: 1.0})
        with pytest.raises(LedgerError, match="running the study again delivers it"), ledger.delivering():
            pass
        with pytest.raises(KeyboardInterrupt), ledger.delivering():
            raise KeyboardInterrupt
    ledger.deliver()
    assert "k1" in ledger.finished


def test_a_finished_trial_stays_finished_whatever_is_done_to_its_runs_status(open_ledger: OpenLedger) -> None:
    ledger = open_ledger("reopened")
    ledger.begin(spec("k1"), {})
    Spool(ledger.spool_path("k1")).write_end("finished", {})
    ledger.deliver()
    ledger.tree.reopen(ledger.run_id("k1"))
    assert "k1" in open_ledger("reopened").finished


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
