"""What a trial ran on and when."""

from __future__ import annotations

import json
import socket

import pytest

from pretrieve.records import Attempt
from pretrieve.tracking.attempts import MAX_ATTEMPTS_TOLD, attempts_as_text, attempts_of
from pretrieve.tracking.spool import SpooledEnd, SpooledEpoch, SpooledStart
from pretrieve.tracking.worker import this_worker


def test_an_attempt_ends_with_the_last_thing_heard_of_it() -> None:
    lines = [
        SpooledStart("n1", 100),
        SpooledEpoch(1, 150, {}),
        SpooledEpoch(2, 200, {}),
        SpooledStart("n2", 900),
        SpooledEnd("finished", 950, {}, ""),
    ]
    assert attempts_of(lines) == [Attempt("n1", 100, 200), Attempt("n2", 900, 950)]
    assert attempts_of(lines[:1]) == [Attempt("n1", 100, None)]


def test_spool_of_an_earlier_version_tells_no_attempt_and_one_that_goes_on_tells_its_own() -> None:
    old = [SpooledEpoch(1, 150, {})]
    assert attempts_of(old) == []
    assert attempts_of([*old, SpooledStart("n1", 300), SpooledEpoch(2, 400, {})]) == [Attempt("n1", 300, 400)]


def test_tag_holds_the_latest_attempts_within_what_mlflow_takes() -> None:
    many = [Attempt("a-node-with-a-long-name.cluster.local · GPU 0 + 1", 10**12, 10**12)] * 500
    text = attempts_as_text(many)
    assert len(json.loads(text)) == MAX_ATTEMPTS_TOLD
    assert len(text) < 5_000


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, ""), ("", ""), ("NoDevFiles", ""), ("3", " · GPU 3"), ("0,2", " · GPU 0 + 2")]
)
def test_worker_is_its_node_and_the_gpus_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert this_worker() == socket.gethostname() + gpus
