"""Signals to a command, and processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pretrieve import guarded_processes

PROGRAM = """
import os, sys, time
from pretrieve import interruption
from pretrieve.guarded_processes import end_guarded, guarded
import subprocess
interruption.LIMIT_S = 1.5

def last(interrupted):
    print("at once", interrupted, flush=True)
    end_guarded()

with interruption.ending_on_signals(last), guarded() as marks:
    child = subprocess.Popen(["sleep", "1000"], env={**os.environ, **marks}, start_new_session=True)
    print(child.pid, flush=True)
    with interruption.at_a_signal(lambda: print("action", flush=True)):
        try:
            WORK
        finally:
            print("cleaned", flush=True)
            CLEANING
"""


def start(work: str, cleaning: str = "pass", prefix: str = "") -> tuple[subprocess.Popen[str], int]:
    program = PROGRAM.replace("WORK", work).replace("CLEANING", cleaning)
    command = [*prefix.split(), sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}

    def hear() -> None:  # also where what runs the tests was started to ignore some of them
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=hear)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    time.sleep(0.2)
    return process, child


def is_gone(process: int, within_s: float = 15) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{process}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_and_ends_what_was_started(number: signal.Signals) -> None:
    process, child = start("time.sleep(100)", "time.sleep(0.5)")
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert sorted(output.split()) == ["action", "cleaned"], "in either order"
    assert is_gone(child)


def test_cleaning_that_takes_long_is_cut_short() -> None:
    process, child = start("time.sleep(100)", "time.sleep(100)")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "at once SIGTERM" in output
    assert is_gone(child)


def test_a_second_signal_ends_at_once() -> None:
    process, child = start("time.sleep(100)", "interruption.LIMIT_S = 1000; time.sleep(100)")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - started < 1.4
    assert is_gone(child)


def test_code_that_goes_on_after_any_error_is_ended() -> None:
    process, child = start("exec('while True:\\n try:\\n  time.sleep(100)\\n except BaseException: pass')")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert is_gone(child)


def test_what_a_killed_process_guards_is_gone_soon() -> None:
    process, child = start("time.sleep(100)")
    process.kill()
    process.communicate()
    assert is_gone(child)


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    process, child = start("time.sleep(3)", prefix="nohup")
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "action" not in output
    assert is_gone(child)


def test_processes_without_the_mark_are_left_alone() -> None:
    with subprocess.Popen(["sleep", "100"]) as other:
        with guarded_processes.guarded():
            pass
        assert other.poll() is None
        other.kill()
