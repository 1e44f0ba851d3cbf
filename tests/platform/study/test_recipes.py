"""Recipes: what a study takes from them, and what it overrides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pretrieve.cli import app as cli
from pretrieve.errors import StudyFileError
from pretrieve.search.grid import GridSettings
from pretrieve.study.recipes import recipe_names, recipe_text, with_recipe
from pretrieve.study.settings import RefitSettings, StudySettings
from pretrieve.study.study_file import validate_study
from pretrieve.training.settings import TrainingSettings


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., StudySettings]:
    def make(**fields: Any) -> StudySettings:
        whole = {
            "name": "study",
            "source": "characters",
            "targets": ["greek"],
            "backbone": {"name": "small_resnet", "pretrain": {}},
            "storage": str(tmp_path),
        }
        return validate_study({**whole, **fields}, origin="the study", base=tmp_path)

    return make


def test_the_papers_recipe_says_what_the_defaults_are(study: Callable[..., StudySettings]) -> None:
    """So it changes no key, and shows every number of section 4.1 and appendix A."""
    paper = study(recipe="paper2022")
    assert paper.training == TrainingSettings()
    assert paper.grid.model_dump() == GridSettings.model_validate({}).model_dump()
    assert paper.refit == RefitSettings()
    assert paper.method_names == ("finetune", "random", "greedy_ot", "uot")
    assert study() == study(recipe="standard")
    listed = yaml.safe_load(recipe_text("paper2022"))
    for name in ("epochs", "batch_size", "decay_at", "decay_factor", "momentum", "batch_norm", "augmentation"):
        assert name in listed["training"]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_a_study_with_a_word_on_what_it_is_for(name: str, study: Callable[..., StudySettings]) -> None:
    assert recipe_text(name).startswith("# ")
    settings = study(recipe=name)
    assert settings.recipe == name
    assert study(**settings.model_dump(mode="json", exclude={"storage"}), storage=str(settings.storage)) == settings


def test_a_study_overrides_single_settings(study: Callable[..., StudySettings]) -> None:
    ours = study(recipe="standard", training={"batch_size": 16, "augmentation": {"flip": False}}, grid={"lr": [0.01]})
    plain = study(recipe="standard")
    changed = {"batch_size": 16, "augmentation": ours.training.augmentation}
    assert ours.training == plain.training.model_copy(update=changed)
    assert ours.training.augmentation == plain.training.augmentation.model_copy(update={"flip": False})
    assert (ours.grid.model_dump()["lr"], ours.grid.model_dump()["head_lr_ratio"]) == ((0.01,), (1.0,))


@pytest.mark.parametrize("length", [{"epochs": 4}, {"steps": 50}, {"epochs": 4, "min_steps": 10}])
def test_a_length_of_the_studys_own_takes_none_from_the_recipe(
    study: Callable[..., StudySettings], length: dict[str, int]
) -> None:
    training = study(recipe="standard", training=length).training
    for name in ("epochs", "steps", "min_steps"):
        assert getattr(training, name) == length.get(name, TrainingSettings.model_fields[name].default)


def test_least_steps_alone_stand_beside_the_epochs_of_the_recipe(study: Callable[..., StudySettings]) -> None:
    training = study(recipe="standard", training={"min_steps": 10}).training
    assert (training.epochs, training.steps, training.min_steps) == (6, None, 10)


def test_another_member_does_not_take_the_recipes_settings() -> None:
    fields = with_recipe({"training": {"schedule": "step"}}, "standard")
    assert "schedule_settings" not in fields["training"]
    same = with_recipe({"training": {"schedule": "cosine_decay"}}, "standard")
    assert same["training"]["schedule_settings"] == {"warmup": 0.1}


@pytest.mark.parametrize("name", ["standart", 7, ["standard"], None])
def test_a_wrong_recipe_is_one_clear_fault(study: Callable[..., StudySettings], name: object) -> None:
    with pytest.raises(StudyFileError, match="recipe: a recipe must be one of paper2022, standard, but is"):
        study(recipe=name)


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    cli.app(["recipes"], standalone_mode=False)
    listed = capsys.readouterr().out
    assert all(name in listed for name in recipe_names())
    cli.app(["recipes", "standard"], standalone_mode=False)
    assert capsys.readouterr().out == recipe_text("standard")
