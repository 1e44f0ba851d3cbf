import itertools
import sys

import pytest
from pydantic import ValidationError

from pretrieve.components import OBJECTIVES, SELECTORS
from pretrieve.errors import StudyFileError
from pretrieve.methods import Method, find_method, method_words
from pretrieve.study.study_file import validate_study

NUMBERS = itertools.count()

MODULE = """
from pretrieve.components.hyperparameters import Hyperparameter
from pretrieve.training.objectives.joint import JointTwoHead

TEMPERATURE = Hyperparameter("temperature", "of the logits", "T", "log", grid=(1.0, 2.0), default=1.0)

class Warm(JointTwoHead):
    \"\"\"The joint objective with a temperature.\"\"\"

    name = "warm"
    hyperparameters = (*JointTwoHead.hyperparameters, TEMPERATURE)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"own_objectives_{next(NUMBERS)}"  # a module is imported once: each test has its own
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def study(tmp_path, **fields):
    whole = {
        "name": "rows",
        "source": "characters",
        "targets": ["greek"],
        "recipe": "paper2022",
        "backbone": {"name": "small_resnet", "pretrain": {}},
        "storage": str(tmp_path),
        **fields,
    }
    return validate_study(whole, origin="the study", base=tmp_path)


def test_a_word_is_a_row_that_is_written_as_the_word_again():
    for word in method_words():
        row = find_method(word)
        assert row.name == word
        assert row.model_dump(mode="json") == word
        assert (row.selector is None) == (word not in SELECTORS.words())


def test_selectors_and_objectives_without_a_source_are_the_words():
    alone = {word for word, member in OBJECTIVES.built_in().items() if not member.uses_source}
    assert set(method_words()) == alone | {"finetune_longer"} | set(SELECTORS.words())


def test_a_longer_row_has_the_hyperparameters_of_its_objective_and_says_so_in_its_training(tmp_path):
    mine = {"name": "related_longer", "objective": "co_tuning", "longer": True}
    settings = study(tmp_path, methods=["finetune", "finetune_longer", mine, "uot"])
    assert {name: settings.training_of(name).longer for name in settings.method_names} == {
        "finetune": False,
        "finetune_longer": True,
        "related_longer": True,
        "uot": False,
    }
    plain, longer = find_method("finetune"), find_method("finetune_longer")
    assert (longer.trained_with, longer.hyperparameters) == ("finetune", plain.hyperparameters)
    assert settings.method("related_longer").model_dump(mode="json")["longer"] is True


def test_a_row_of_ones_own_is_written_as_it_was_given(module):
    fields = {"name": "mine", "selector": "uot", "objective": f"{module}:Warm", "selector_settings": {"top_k": 5}}
    assert Method.model_validate(fields).model_dump(mode="json") == fields


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("fintune", r"a method must be one of .*finetune, .*, but is 'fintune'\. Did you mean 'finetune'\?"),
        ({"name": "uot", "selector": "nearest"}, "a row's name must be its own, but 'uot' is a known row"),
        ({"name": "mine", "selector": "no_such:thing"}, "the module of selector 'no_such:thing' must be importable"),
        ({"name": "mine", "selector": "uott"}, "a selector must be known, but 'uott' is not; known: "),
        ({"name": "mine", "objective": "jont"}, r"an objective must be known, but 'jont' is not; .*mean 'joint'"),
        ({"name": "mine", "objective": "joint"}, "objective 'joint' needs images of the source; add `selector:`"),
        ({"name": "mine", "selector": "uot", "objective": "co_tuning"}, "uses no image of the source, but selector"),
        ({"name": "mine", "selector": "uot", "longer": True}, "longer must be left out of a row that reuses the sourc"),
        ({"name": "mine", "selector_settings": {"a": 1}}, "selector_settings must be of the row's own selector"),
        ({"name": "m/e"}, "should match pattern"),
    ],
)
def test_a_row_that_cannot_be_trained_is_refused(row, fault):
    with pytest.raises(ValidationError, match=fault):
        Method.model_validate(row)


def test_a_study_says_which_row_is_at_fault(tmp_path):
    with pytest.raises(StudyFileError, match=r"methods\.1\.objective = 'jont': an objective must be known"):
        study(tmp_path, methods=["finetune", {"name": "mine", "selector": "uot", "objective": "jont"}])
    with pytest.raises(StudyFileError, match="names must differ, but mine stands more than once"):
        study(tmp_path, methods=[{"name": "mine", "selector": "uot"}, {"name": "mine", "selector": "nearest"}])


def test_the_objective_of_a_row_follows_the_study_unless_it_names_one(tmp_path):
    rows = ["uot", {"name": "named", "selector": "uot", "objective": "joint"}]
    settings = study(tmp_path, methods=rows, selection={"unit": "cluster"})
    assert [settings.method(name).trained_with for name in settings.method_names] == ["pseudo_label", "joint"]
    settings = study(tmp_path, methods=rows, training={"source_objective": "pseudo_label"})
    assert [settings.method(name).trained_with for name in settings.method_names] == ["pseudo_label", "joint"]


def test_a_users_hyperparameter_has_its_place_in_the_grid(tmp_path, module):
    rows = ["finetune", {"name": "warm", "selector": "uot", "objective": f"{module}:Warm"}]
    settings = study(tmp_path, methods=rows, grid={"lr": [0.1], "weight_decay": [0.0], "source_weight": [1.0]})
    points = settings.grid.points(settings.method("warm"))
    assert [point.get("temperature") for point in points] == [1.0, 2.0]
    assert [point.get("temperature") for point in settings.grid.points(settings.method("finetune"))] == [None]
    given = study(tmp_path, methods=rows, grid={"temperature": [0.5, 3.0, 4.0]})
    assert {point.get("temperature") for point in given.grid.points(given.method("warm"))} == {0.5, 3.0, 4.0}
    written = given.model_dump(mode="json", exclude_defaults=True, exclude={"storage"})
    assert study(tmp_path, **written) == given


def test_the_values_of_a_users_hyperparameter_are_checked(tmp_path, module):
    rows = [{"name": "warm", "selector": "uot", "objective": f"{module}:Warm"}]
    with pytest.raises(StudyFileError, match=r"grid\.temperature\.1 = -1.0: must be greater than 0"):
        study(tmp_path, methods=rows, grid={"temperature": [1.0, -1.0]})
    with pytest.raises(StudyFileError, match=r"grid\.temprature: no such field; .*Did you mean 'temperature'\?"):
        study(tmp_path, methods=rows, grid={"temprature": [1.0]})
    with pytest.raises(StudyFileError, match=r"grid\.temperature: no such field"):
        study(tmp_path, methods=["finetune"], grid={"temperature": [1.0]})


def test_a_row_overrides_the_selection_of_the_study_and_sets_up_its_own_selector(tmp_path):
    rows = ["uot", {"name": "wide", "selector": "uot", "selector_settings": {"cost_scale": 0.1, "top_k": 7}}]
    settings = study(tmp_path, methods=rows, selection={"top_k": 5})
    assert (settings.top_ks("uot"), settings.top_ks("wide"), settings.largest_top_k) == ((5,), (7,), 7)
    for own, fault in (
        ({"cost_scale": -1}, r"methods\.0\.selector_settings: cost_scale must be"),
        ({"costscale": 1}, r"methods\.0\.selector_settings: a setting of 'uot' must be known, but 'costscale' is not"),
    ):
        with pytest.raises(StudyFileError, match=fault):
            study(tmp_path, methods=[{"name": "mine", "selector": "uot", "selector_settings": own}])
    with pytest.raises(StudyFileError, match=r"methods\.1\.selector_settings\.top_k: must be left out where grid"):
        study(tmp_path, methods=rows, grid={"top_k": [3, 5]})


def test_a_row_that_is_fitted_takes_nothing_but_a_name():
    row = Method(name="weak", objective="linear_probe")
    assert row.is_fitted
    assert [each.name for each in row.hyperparameters] == ["l2"]
    assert find_method("class_means").hyperparameters == ()
    with pytest.raises(ValidationError, match="takes only a name; leave out head_start"):
        Method(name="weak", objective="linear_probe", head_start="from_means")


def test_a_row_reads_features_if_it_is_fitted_or_its_heads_start_from_them(tmp_path):
    warm = {"name": "warm", "objective": "finetune", "head_start": "from_probe"}
    cold = {"name": "cold", "objective": "finetune", "head_start": "gaussian"}
    paper = study(tmp_path, methods=["uot", "class_means", warm])
    assert [paper.reads_features(name) for name in paper.method_names] == [False, True, True]
    ours = study(tmp_path, methods=["uot", cold], training={"head_start": "from_means"})
    assert [ours.training_of(name).head_start for name in ours.method_names] == ["from_means", "gaussian"]
    assert [ours.reads_features(name) for name in ours.method_names] == [True, False]


def test_an_objective_without_a_source_head_starts_none():
    with pytest.raises(ValidationError, match="'finetune' has no source head; leave source_head out"):
        Method(name="warm", objective="finetune", source_head="classifier")
