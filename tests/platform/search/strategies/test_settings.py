"""What a study may say of its search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pretrieve.errors import StudyFileError
from pretrieve.search.strategies.settings import SearchSettings
from pretrieve.study.settings import StudySettings

MakeSettings = Callable[..., StudySettings]


def test_a_bare_word_names_the_strategy_and_the_grid_is_the_default(make_settings: MakeSettings) -> None:
    assert make_settings().search.strategy == "grid"
    assert make_settings(search="asha").search == SearchSettings(strategy="asha")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("ahsa", r"search\.strategy.*ahsa"),
        ({"strategy": "grid", "num_trials": 4}, "num_trials is read by optuna; leave it out"),
        ({"strategy": "median", "reduction_factor": 4}, "reduction_factor is read by asha and optuna"),
        ({"strategy": "asha", "reduction_factor": 1}, r"search\.reduction_factor"),
        ({"strategy": "asha", "grace_epochs": 3}, r"search\.grace_epochs.*at most training\.epochs, 2, but is 3"),
    ],
)
def test_a_wrong_search_is_told_with_field_and_remedy(make_settings: MakeSettings, search: Any, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        make_settings(search=search)


def test_trials_on_several_workers_are_searched_by_the_grid_alone(make_settings: MakeSettings) -> None:
    with pytest.raises(StudyFileError, match=r"search\.strategy.*cannot be stopped early, but is 'asha'"):
        make_settings(search="asha", compute={"workers_per_trial": 2})
