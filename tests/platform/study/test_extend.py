"""A study that is extended until it is decided: its looks, its budget, and what a kill leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pretrieve.cli.extend_command import read_seconds, read_until
from pretrieve.errors import BudgetUsedUpError, UserError
from pretrieve.records import ContrastVerdict, StudyRecord, VerdictRecord
from pretrieve.stages.looks import name_before_the_first_trial, take_look
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.extend import _is_settled, extend_study
from pretrieve.study.forecast_study import forecast_study
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger, run_study
from pretrieve_dashboards import score_table

MakeSettings = Callable[..., StudySettings]


class Ear(StudyObserver):
    """Hears notices; ends the run at the start of a repeat, as a kill between two repeats would."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.notices: list[str] = []
        self.killed_at = killed_at

    def repeat_started(self, number: int, total: int) -> None:
        if number == self.killed_at:
            raise KeyboardInterrupt

    def noticed(self, message: str) -> None:
        self.notices.append(message)


@pytest.fixture
def settings(make_settings: MakeSettings) -> MakeSettings:
    def make(**changes: Any) -> StudySettings:
        fields: dict[str, Any] = {
            "targets": [{"registered": "tiny-a", "regime": {"images_per_class": 6}}],
            "methods": ["linear_probe", "class_means"],
            "contrasts": [["linear_probe", "class_means"]],
            "margin": 100.0,
            "repeats": {"draws": 2},
            "grid": {"l2": [10.0]},
        }
        return make_settings(**fields | changes)

    return make


def comparable(record: StudyRecord) -> tuple[VerdictRecord | None, list[list[str]]]:
    rows = [line.split(",") for line in score_table(record).to_csv().splitlines()]
    return record.verdict, [row[:-1] for row in rows]  # without the seconds


@pytest.mark.usefixtures("ray_cluster")
def test_an_extension_goes_on_after_a_kill_and_after_its_budget(settings: MakeSettings) -> None:
    study = settings()
    with pytest.raises(KeyboardInterrupt):
        extend_study(study, Ear(killed_at=3), until=3)
    ear = Ear()
    killed = extend_study(study, ear)  # it has to reach three repeats, at which the contrast is decided
    assert ear.notices[0].startswith("the study was extended to 3 repeats"), "it does not begin again with two"
    assert killed.verdict is not None
    assert (killed.verdict.looks, killed.verdict.contrasts[0].word) == ((2, 3), "equivalent")
    assert not any("are undecided" in notice for notice in ear.notices)

    at_once = extend_study(settings(name="at-once"), StudyObserver(), until=3)
    assert comparable(killed) == comparable(at_once)

    (pilot,) = forecast_study(study, StudyObserver(), detect=0.2).power
    assert (pilot.contrast, pilot.basis) == ("linear_probe − class_means", "from the 3 repeats that are there")
    assert (pilot.num_repeats, pilot.difference) == (3, 0.2), "three is what the study was extended to"
    assert pilot.trial_s_a_repeat > 0
    with pytest.raises(BudgetUsedUpError, match=r"is used up before 4 repeats"):
        extend_study(study, StudyObserver(), until=4, budget_s=1e-6)
    again = run_study(study, StudyObserver())
    assert [len(cell.refits) for cell in again.cells] == [3, 3], "a plain run does not fall back to two repeats"


@pytest.mark.usefixtures("ray_cluster")
def test_one_look_is_given_when_all_repeats_are_there(settings: MakeSettings) -> None:
    one = settings(name="one", repeats={"draws": 3, "looks": "one"})
    record = run_study(one, StudyObserver())
    assert record.verdict is not None
    assert (record.verdict.looks, record.verdict.contrasts[0].level) == ((3,), 0.95)
    with pytest.raises(UserError, match=r"looked at once has no level left for another look, .* verdict at 3 repeats"):
        run_study(settings(name="one", repeats={"draws": 4}), StudyObserver())
    with pytest.raises(UserError, match=r"study 'one' began with repeats\.draws 3 and one look and now has .*draws 4"):
        run_study(settings(name="one", repeats={"draws": 4, "looks": "one"}), StudyObserver())
    with pytest.raises(UserError, match=r"looked at once cannot be extended"):
        extend_study(one, StudyObserver())


def test_looks_are_settled_before_the_first_trial(settings: MakeSettings) -> None:
    many, one = settings(), settings(repeats={"draws": 2, "looks": "one"})
    make_folder(many.folder)
    ledger = open_ledger(many)
    name_before_the_first_trial(many, ledger)
    with pytest.raises(UserError, match=r"began with repeats\.looks 'many' and now has repeats\.draws 2"):
        name_before_the_first_trial(one, ledger)
    assert [take_look(ledger, number) for number in (5, 10, 5)] == [[5], [5, 10], [5]]


def test_one_look_that_was_not_taken_yet_can_become_many(settings: MakeSettings) -> None:
    many, one = settings(), settings(repeats={"draws": 2, "looks": "one"})
    make_folder(one.folder)
    ledger = open_ledger(one)
    name_before_the_first_trial(one, ledger)
    name_before_the_first_trial(one, ledger)
    name_before_the_first_trial(many, ledger)
    with pytest.raises(UserError, match=r"began with repeats\.looks 'many'"):
        name_before_the_first_trial(one, ledger)


def test_a_study_that_compares_nothing_is_not_extended(settings: MakeSettings) -> None:
    with pytest.raises(UserError, match="must compare rows to be extended, but 'tiny' has no contrasts"):
        extend_study(settings(contrasts=[]), StudyObserver())
    with pytest.raises(UserError, match="has 2 repeats or more, but until is 1"):
        extend_study(settings(), StudyObserver(), until=1)


def contrast(word: str, repeats_to_decide: int | None = None) -> ContrastVerdict:
    found = ("a", "b", None, word, "", (0.1,) * 3, 0.1, 0.0, 0.2, 0.95, False)
    return ContrastVerdict(*found, repeats_to_decide=repeats_to_decide)


@pytest.mark.parametrize(
    ("num_repeats", "contrasts", "settled"),
    [
        (5, (contrast("better"), contrast("equivalent")), True),
        (5, (contrast("better"), contrast("undecided", 40)), False),
        (5, (contrast("undecided"),), False),
        (10, (contrast("undecided"),), True),
        (10, (contrast("undecided", 40),), False),
        (5, (), False),
    ],
)
def test_a_study_is_settled_where_no_repeats_would_say_more(
    num_repeats: int, contrasts: tuple[ContrastVerdict, ...], settled: bool
) -> None:
    assert _is_settled(VerdictRecord(0.01, num_repeats, (num_repeats,), contrasts)) is settled


def test_times_and_goals_are_read() -> None:
    with pytest.raises(UserError, match="must be a time above 0 in s, min, h or d, but is '5 hours'"):
        read_seconds("5 hours")
    with pytest.raises(UserError, match="above 0"):
        read_seconds("0h")
    with pytest.raises(UserError, match="`decided` or a number of repeats, but is 'soon'"):
        read_until("soon")
