"""What a study may say of its search."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrieve.errors import StudyFileError
from pretrieve.search.settings import SearchSettings
from pretrieve.study.settings import StudySettings

MakeSettings = Callable[..., StudySettings]


def test_a_bare_word_names_the_strategy_and_the_grid_is_the_default(make_settings: MakeSettings) -> None:
    assert make_settings().search.strategy == "grid"
    assert make_settings(search="asha").search == SearchSettings(strategy="asha")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("ahsa", r"search\.strategy.*ahsa"),
        ("os:system", "must be a subclass of pretrieve's SearchStrategy, but is of type builtin"),
        ({"strategy": "grid", "num_trials": 4}, "num_trials is read by optuna; leave it out"),
        (
            {"strategy": "asha", "reduction_facto": 4},
            r"search\.reduction_facto: .* 'asha', but it is not; it reads grace_epochs, reduction_factor\. Did",
        ),
        ({"strategy": "grid", "pace": 4}, r"search\.pace: must be a setting of the strategy 'grid', .* it has none"),
        ({"strategy": "median", "reduction_factor": 4}, "reduction_factor is read by asha and optuna"),
        (
            {"strategy": "asha", "reduction_factor": 1},
            r"search\.reduction_factor = 1: must be greater than or",
        ),
        ({"strategy": "median", "min_trials": "a"}, r"search\.min_trials = 'a': must be a valid integer"),
        (
            {"strategy": "optuna", "num_trials": 0, "grace_epochs": 0},
            r"search\.grace_epochs = 0.*\n.*num_trials = 0",
        ),
        ({"strategy": "asha", "grace_epochs": 3}, r"search\.grace_epochs.*at most the epochs of a trial, 2, but is 3"),
    ],
)
def test_a_wrong_search_is_told_with_field_and_remedy(make_settings: MakeSettings, search: Any, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        make_settings(search=search)


def test_a_training_of_some_steps_has_ten_epochs_to_stop_at(make_settings: MakeSettings) -> None:
    search, training = {"strategy": "asha", "grace_epochs": 10}, {"steps": 300, "batch_size": 8}
    assert make_settings(search=search, training=training).training.num_epochs == 10
    with pytest.raises(StudyFileError, match="at most the epochs of a trial, 10, but is 11; lower it"):
        make_settings(search=search | {"grace_epochs": 11}, training=training)


def test_trials_on_several_workers_are_searched_by_the_grid_alone(make_settings: MakeSettings) -> None:
    with pytest.raises(StudyFileError, match=r"search\.strategy.*cannot be stopped early, but is 'asha'"):
        make_settings(search="asha", compute={"workers_per_trial": 2})


def test_numbers_in_quotes_are_read_as_before(make_settings: MakeSettings) -> None:
    assert make_settings(search={"strategy": "optuna", "num_trials": "7"}).search.num_trials == 7


MODULE = """
from pretrieve.search.strategies import SearchStrategy
from pretrieve.search.strategies.asha import AshaStrategy

class Patient(AshaStrategy):
    name = "patient"

class Every(SearchStrategy):
    name = "every"

    def __init__(self, pace: int):
        if pace < 1:
            raise ValueError(f"pace must be at least 1, but is {pace}; raise it")
        self.pace = pace
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_strategies_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, name, None)  # so that the module is forgotten after the test
    del sys.modules[name]
    return name


def test_a_strategy_of_a_module_has_settings_of_its_own(make_settings: MakeSettings, module: str) -> None:
    search = {"strategy": f"{module}:Patient", "reduction_factor": 4, "grace_epochs": 2}
    settings = make_settings(search=search)
    assert (settings.search.may_stop, settings.search.proposes) == (True, False)
    assert settings.search.member.grace(100) == 2  # type: ignore[attr-defined]
    assert settings.model_dump(mode="json")["search"] == search, "it is logged as it was written"
    with pytest.raises(StudyFileError, match=r"search\.grace_epochs.*at most the epochs of a trial, 2, but is 3"):
        make_settings(search=search | {"grace_epochs": 3})


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"pace": 0}, "must be built from its settings, but pace must be at least 1, but is 0; raise it"),
        ({}, "must be given pace, but is not; write the value"),
        ({"pce": 1}, r"search\.pce: .*, but it is not; it reads pace\. Did you mean 'pace'\?"),
        ({"pace": 1, "num_trials": 2}, "num_trials is read by optuna; leave it out"),
    ],
)
def test_a_setting_that_a_strategy_of_a_module_refuses_is_told(
    make_settings: MakeSettings, module: str, given: Any, fault: str
) -> None:
    with pytest.raises(StudyFileError, match=fault):
        make_settings(search={"strategy": f"{module}:Every", **given})


def test_a_strategy_of_an_installed_package_is_named_by_its_word(
    make_settings: MakeSettings, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "site" / "own-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    points = f"[pretrieve.strategies]\npatient = {module}:Patient\nhalving = ray.tune.schedulers:ASHAScheduler\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert make_settings(search="patient").search.may_stop
    assert make_settings(search={"strategy": "halving", "max_t": 2}).search.may_stop


def test_reading_a_study_loads_neither_tune_nor_optuna() -> None:
    code = (
        "import sys; from pretrieve.study.settings import StudySettings; from pretrieve.search.settings import "
        "SearchSettings; SearchSettings(strategy='optuna'); print({'ray.tune', 'optuna'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
