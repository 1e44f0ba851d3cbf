import dataclasses
import pickle

import numpy as np
import pydantic
import pytest

from pretrieve_selection import SelectionInputError, SelectionSettings, TransportSettings


def test_defaults_are_those_of_the_paper():
    settings = SelectionSettings()
    assert (settings.entropy_weight, settings.source_penalty, settings.target_penalty) == (1.0, 1.0, 100.0)
    assert (settings.top_k, settings.cost, settings.cost_scale, settings.greedy_cost) == (100, "cosine", 0.01, "l2")


def test_all_faults_are_reported_together():
    with pytest.raises(SelectionInputError) as caught:
        SelectionSettings(top_k=0, cost="cosin", cost_scale=-1.0, entropy_weight=np.nan, max_iterations=2.5)
    message = str(caught.value)
    for fault in (
        "top_k must be an integer >= 1, but is 0",
        "cost must be a known cost, but is 'cosin': use 'cosine' or 'l2'. Did you mean 'cosine'?",
        "cost_scale must be a finite number > 0, but is -1.0",
        "entropy_weight must be a finite number > 0, but is nan",
        "max_iterations must be an integer >= 1, but is 2.5",
    ):
        assert fault in message


@pytest.mark.parametrize("name", ["entropy_weight", "source_penalty", "target_penalty", "tolerance"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, 10**400, "1", True, None])
def test_weights_must_be_positive_numbers(name, value):
    with pytest.raises(SelectionInputError, match=f"TransportSettings: {name} must be a finite number > 0"):
        TransportSettings(**{name: value})


@pytest.mark.parametrize("value", [["l2"], None, "L1"])
def test_greedy_cost_must_be_a_known_name(value):
    with pytest.raises(SelectionInputError, match="greedy_cost must be a known cost"):
        SelectionSettings(greedy_cost=value)


def test_settings_do_not_change_and_travel():
    settings = SelectionSettings(top_k=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.top_k = 6
    assert pickle.loads(pickle.dumps(settings)) == settings


class Study(pydantic.BaseModel):
    selection: SelectionSettings = SelectionSettings()


def test_pydantic_model_holds_the_settings_flat():
    study = Study.model_validate({"selection": {"cost": "l2", "cost_scale": 1}})
    assert study.selection == SelectionSettings(cost="l2", cost_scale=1.0)
    assert Study.model_validate_json(study.model_dump_json()) == study


def test_pydantic_model_refuses_an_unknown_key():
    with pytest.raises(pydantic.ValidationError, match="topk"):
        Study.model_validate({"selection": {"topk": 5}})


def test_pydantic_model_reports_our_faults():
    with pytest.raises(pydantic.ValidationError, match="top_k must be an integer >= 1, but is 0; cost_scale must"):
        Study.model_validate({"selection": {"top_k": 0, "cost_scale": 0}})
