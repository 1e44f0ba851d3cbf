from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pretrieve.components import (
    HEAD_STARTS,
    METRICS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    SELECTORS,
    STRATEGIES,
    VIEWS,
    Family,
)
from pretrieve.demo import STUDY_FILE
from pretrieve.errors import StudyFileError, UserError
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import load_study_file

GOOD = """
name: birds
recipe: paper2022
source: {folder: source}
targets: [{folder: target}]
backbone: {name: small_resnet, pretrain: {epochs: 1}}
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    for folder in ("source", "target"):
        (tmp_path / folder).mkdir()

    def write_study(text: str) -> Path:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "study.yaml"

    return write_study


def faults_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load_study_file(path, overrides=overrides)
    return list(caught.value.faults)


def test_folders_are_relative_to_the_study_file_and_the_papers_recipe_has_its_settings(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings = load_study_file(write(GOOD))
    assert settings.source.folder == tmp_path / "source"
    assert settings.targets[0].display_name == "target"
    assert settings.method_names == ("finetune", "random", "greedy_ot", "uot")
    assert (settings.selection.top_k, settings.selection.cost_scale) == (100, 0.01)
    assert (settings.training.epochs, settings.training.batch_size) == (100, 256)


def test_four_faults_are_told_in_one_message(write) -> None:  # type: ignore[no-untyped-def]
    path = write(
        """
name: broken
source: {folder: no/such/folder}
targets: [{folder: target}]
backbone: {name: small_resnet, pretrain: {epochs: 1}}
methods: [finetune, greedyot]
grid: {lr: [0.1, -0.01]}
trainning: {epochs: 3}
"""
    )
    faults = faults_of(path)
    assert len(faults) == 4
    text = "\n".join(faults)
    assert "source.folder" in text
    assert "the folder must exist" in text
    assert "methods.1 = 'greedyot'" in text
    assert "Did you mean 'greedy_ot'?" in text
    assert "grid.lr.1 = -0.01" in text
    assert "greater than 0" in text
    assert "trainning: no such field" in text
    assert "Did you mean 'training'?" in text


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("training.epoch=3", "training.epoch: no such field.*Did you mean 'epochs'"),
        ("training.optimizer=sdg", r"training\.optimizer = 'sdg': an optimizer must be known.*Did you mean 'sgd'"),
        (
            "training.optimizer_settings={layer_dacay: 0.7}",
            r"training\.optimizer_settings: a setting of 'sgd' must be known.*Did you mean 'layer_decay'",
        ),
        (
            "training.optimizer_settings={layer_decay: 1.5}",
            r"training\.optimizer_settings: .* layer_decay must be > 0 and <= 1, but is 1\.5",
        ),
        ("training.schedule=cosine", r"training\.schedule = 'cosine': a schedule must be.*Did you mean 'cosine_decay'"),
        ("training.schedule_settings={warmup: 0.1}", r"training\.schedule_settings: a setting of 'step' must be"),
        (
            "training.learns=99",
            r"^training\.learns: must be at most the number of the backbone's blocks, 5, but is 99; 'all' trains",
        ),
        ("training.batch_norm=freeze", r"training\.batch_norm = 'freeze'"),
        ("training.weight_average=1.0", r"training\.weight_average = 1\.0"),
        ("training.max_gradient_norm=0", r"training\.max_gradient_norm = 0"),
        ("training={gradient_gap: true, learns: head}", "'gradient_gap' must be false where 'learns' is 'head'"),
        ("selection.topk=3", "selection.topk: no such field.*Did you mean 'top_k'"),
        ("selection.cost_scale=-1", r"^selection\.cost_scale must be"),
        ("grid.lr=[.inf]", r"grid\.lr\.0 = inf"),
        ("grid.lr=0.1", r"grid\.lr = 0\.1: must be a list, such as"),
        ("targets=[{folder: target, name: 'a:b'}]", "a name must have only letters, digits"),
        ("targets.0=3", "targets"),
        ("backbone=resnet19", "resnet19.*Did you mean 'resnet1?8?"),
        ("backbone=small_resnet", "'weights' or 'pretrain' must be given"),
        ("backbone.weights=study.yaml", "at most one of 'weights' and 'pretrain'"),
        ("backbone={name: resnet18, weights: none.pt}", "the file must exist"),
        ("name=../escape", "name"),
        ("methods=[uot, uot]", "uot stands more than once"),
        ("source={folder: source, registered: digits}", "exactly one of folder, .* but folder and registered is"),
        ("audit={drop_leaks: true, enabled: false}", "'drop_leaks: true' needs the audit, but 'enabled' is false"),
        ("audit={drop_leak: true}", "audit.drop_leak: no such field.*Did you mean 'drop_leaks'"),
        ("audit={features: true}", "audit.features: no such field"),
        ("training.batch_size=1", "training.batch_size = 1"),
        ("compute.workers_per_trial=3", r"training\.batch_size: must be a multiple of compute\.workers_per_trial, 3"),
    ],
)
def test_a_fault_names_field_value_and_remedy(write, override: str, fault: str) -> None:  # type: ignore[no-untyped-def]
    (found,) = faults_of(write(GOOD), override)
    import re

    assert re.search(fault, found), found


def test_a_missing_required_field_is_named(write) -> None:  # type: ignore[no-untyped-def]
    assert faults_of(write("name: x\nbackbone: resnet18")) == ["targets: must be given"]
    (fault,) = faults_of(write("name: x\nbackbone: resnet18\ntargets: [digits]"))
    assert fault.startswith("source: must be given where the row 'random', the row 'uot' reads it")


def test_overrides_replace_and_add_settings(write) -> None:  # type: ignore[no-untyped-def]
    settings = load_study_file(write(GOOD), overrides=["grid.lr=[0.5]", "training.augmentation.flip=false", "seed=3"])
    assert settings.grid.lr == (0.5,)
    assert not settings.training.augmentation.flip
    assert settings.seed == 3


@pytest.mark.parametrize("override", ["grid.lr", "=3"])
def test_an_override_without_a_name_or_value_is_refused(write, override: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"--set must read field\.path=value"):
        load_study_file(write(GOOD), overrides=[override])


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "must be YAML"), ("- 1", "must hold a mapping"), ("", "must hold a mapping")]
)
def test_a_file_that_is_no_mapping_is_refused(write, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        load_study_file(write(text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must exist"):
        load_study_file(tmp_path / "none.yaml")


def test_the_demo_has_few_labels_probes_and_enough_repeats_for_a_verdict() -> None:
    settings = load_study_file(STUDY_FILE)
    assert settings.recipe == "standard"
    assert {target.regime.images_per_class for target in settings.targets} == {5}
    assert {"linear_probe", "finetune", "random", "uot"} <= set(settings.method_names)
    assert settings.repeats.draws >= 5
    assert settings.named_contrasts


def test_storage_is_absolute_wherever_it_comes_from(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert load_study_file(write(GOOD)).storage == tmp_path / "pretrieve-runs"
    assert load_study_file(write(GOOD), overrides=["storage=here"]).folder == tmp_path / "here" / "birds"


def test_every_fault_of_the_selection_is_told(write) -> None:  # type: ignore[no-untyped-def]
    faults = faults_of(write(GOOD), "selection={top_k: ten, cost: cosin, cost_scale: -1, topk: 3}")
    assert len(faults) == 4
    assert all(fault.startswith("selection.") for fault in faults)
    assert "__pydantic_config__" not in "".join(faults)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("true", (True, False)), ("false", (False, False)), ("{drop_leaks: true}", (True, True)), ("{}", (False, False))],
)
def test_the_audit_is_asked_for_in_a_word_and_dropping_leaks_asks_for_it(
    write,  # type: ignore[no-untyped-def]
    word: str,
    expected: tuple[bool, bool],
) -> None:
    audit = load_study_file(write(GOOD), overrides=[f"audit={word}"]).audit
    assert (audit.enabled, audit.drop_leaks) == expected


def test_half_a_character_is_a_fault_that_any_terminal_can_show(make_settings: Callable[..., StudySettings]) -> None:
    with pytest.raises(StudyFileError, match=r"of whole characters, but '\\ud800' of .* is half of one") as caught:
        make_settings(selection={"\ud800": 1})
    str(caught.value).encode("utf-8")


def test_a_star_in_an_override_stands_for_every_item_of_a_list(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    changed = ["targets=[{registered: greek}, {registered: symbols}]", "targets.*.regime={fraction: 0.5}"]
    settings = load_study_file(write(GOOD), overrides=changed)
    assert [(target.registered, target.regime.fraction) for target in settings.targets] == [
        ("greek", 0.5),
        ("symbols", 0.5),
    ]


@pytest.mark.parametrize("override", ["targets.*.regime={}", "name.*=1", "*.name=1", "grid.lr.*.x=1", "targets.*=1"])
def test_a_star_that_stands_for_no_mappings_is_refused(write, override: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"\* in a --set must stand for the items of a list that have fields"):
        load_study_file(write(GOOD), overrides=["targets=[greek, symbols]", override])


@pytest.mark.parametrize(
    ("family", "member", "override"),
    [
        (SELECTORS, "nearest", "methods=[{name: mine, selector: '__main__:mine'}]"),
        (OBJECTIVES, "joint", "methods=[{name: mine, selector: uot, objective: '__main__:mine'}]"),
        (HEAD_STARTS, "gaussian", "methods=[{name: mine, head_start: '__main__:mine'}]"),
        (OPTIMIZERS, "adamw", "methods=[{name: mine, optimizer: '__main__:mine'}]"),
        (OPTIMIZERS, "adamw", "training.optimizer='__main__:mine'"),
        (SCHEDULES, "cosine_decay", "methods=[{name: mine, schedule: '__main__:mine'}]"),
        (SCHEDULES, "cosine_decay", "training.schedule='__main__:mine'"),
        (STRATEGIES, "asha", "search='__main__:mine'"),
        (METRICS, "macro_f1", "targets.*.metric=[top1, '__main__:mine']"),
        (VIEWS, "scores", "report.views=['__main__:mine']"),
    ],
)
def test_a_member_that_only_the_running_script_knows_is_refused_when_the_study_is_read(  # type: ignore[no-untyped-def]
    write, monkeypatch: pytest.MonkeyPatch, family: Family, member: str, override: str
) -> None:
    """The workers of a study, and later commands, could not find it."""
    script = ModuleType("__main__")
    script.mine = family.find(member)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", script)
    path = write(GOOD)
    (fault,) = faults_of(path, override)
    assert f"{family.noun} of a study must be known to all its processes, but '__main__:mine' is known to" in fault
    assert f"put it into a module of its own and name it as my_module:my_{family.singular}" in fault
    monkeypatch.setattr(family, "_registered", {"mine": family.find(member)})
    (fault,) = faults_of(path, override.replace("__main__:", ""))
    assert "but 'mine' is known to the running script alone; put it into a module" in fault


def test_a_target_may_be_known_to_the_running_script_alone(write) -> None:  # type: ignore[no-untyped-def]
    """The driver makes it, and other processes read what it made."""
    assert load_study_file(write(GOOD), overrides=["targets=['__main__:mine']"]).targets[0].display_name == "mine"


@pytest.mark.parametrize(
    ("added", "override", "fault"),
    [
        ("seed: 1\nmargin: 2\nseed: 3", "", r"'seed' stands in line 7 and again in line 9"),
        ("grid: {lr: [0.1], 'lr': [0.2]}", "", r"'lr' stands in line 7 and again in line 7"),
        ("", "targets=[{folder: target, class_names: {1: a, true: b}}]", r"'true' stands in line 1 \(written '1'\)"),
        ("seed: 010", "", r"line 7: a number must be decimal, but 010 is to YAML a number in base 8, 8"),
        ("training: {epochs: 1:30}", "", r"1:30 is to YAML a number in base 60, 90"),
        ("margin: 1:30.5", "", r"1:30\.5 is to YAML a number in base 60, 90\.5"),
        ("", "name=010", r"or '010' in quotes for a name"),
        ("seed: yes", "", r"seed = True: must hold no true or false, as which YAML reads yes, no"),
        ("", "grid.lr=[on]", r"grid\.lr: must hold no true or false"),
        ("", "selection.top_k=yes", r"selection\.top_k must be an integer >= 1, but is True"),
        ("", "training.optimizer_settings={layer_decay: yes}", r"'sgd' must be given a number as 'layer_decay'"),
        ("", "search={strategy: optuna, num_trials: yes}", r"must be given a number as 'num_trials'"),
        ("", "name=2024", r"name = 2024: .* YAML read the int 2024 here: put a name into quotes"),
        ("", "name=no", r"YAML read the bool False here"),
        ("", "name=2024-01-01", r"YAML read the date 2024-01-01 here"),
        ("", "storage=/tmp/x #1", r"YAML takes '#1' for a comment and cuts it off; put the value into quotes"),
    ],
)
def test_yaml_that_is_not_what_it_looks_like_is_refused(write, added: str, override: str, fault: str) -> None:  # type: ignore[no-untyped-def]
    import re

    (found,) = faults_of(write(GOOD + added), *[override][: bool(override)])
    assert re.search(fault, found), found


def test_yaml_that_is_what_it_looks_like_is_taken(write) -> None:  # type: ignore[no-untyped-def]
    settings = load_study_file(write(GOOD + "seed: 1_000\nmargin: 1e0\naudit: yes"), overrides=["storage='/tmp/a #b'"])
    assert (settings.seed, settings.margin, settings.audit.enabled) == (1000, 1.0, True)
    assert settings.storage == Path("/tmp/a #b")


@pytest.mark.parametrize("storage", ["a b", "a #b", "a: b", "a:b", "#a", "[a]", "{a}", "'a", "-", "&a", "!a", "@", "é"])
def test_a_storage_given_as_an_argument_is_no_yaml(write, tmp_path: Path, storage: str) -> None:  # type: ignore[no-untyped-def]
    assert load_study_file(write(GOOD), storage=tmp_path / storage).storage == tmp_path / storage


def test_variables_in_paths_are_replaced_and_folders_named_like_them_are_found(
    write,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    (tmp_path / "$target").mkdir()
    path = write(
        GOOD.replace("folder: target", "name: pets, folder: $target").replace(
            "folder: source", "folder: '${SCRATCH}/source'"
        )
    )
    settings = load_study_file(path, storage=Path("$SCRATCH/runs"))
    assert settings.storage == tmp_path / "runs"
    assert settings.source.folder == tmp_path / "source"
    assert settings.targets[0].folder == tmp_path / "$target"


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("storage=s3://bucket/runs", r"s3:/bucket/runs is an address \(s3://\)"),
        ("source.folder=gs://bucket/images", r"gs:/bucket/images is an address"),
        ("storage=$UNSET/runs", r"variables of the environment that are set, but \$UNSET is not"),
        ("source.folder=${UNSET}/x", r"but \$\{UNSET\} is not"),
        ("storage='/tmp/why?'", r"without \? and %"),
        ("storage=/tmp/100%", r"without \? and %"),
        ("name=cache", "must be another name than cache and default"),
        ("name=Default", "must be another name than cache and default"),
        ("targets=[{folder: target, name: average}]", "must be another than 'average'"),
        ("targets=[{folder: target, name: 'pets '}]", "no space at an end"),
        (f"targets=[{{folder: target, name: {101 * 'x'}}}]", "at most 100 and"),
        ("targets=[{folder: target, name: b}, {folder: target, name: B}]", "more than case, .* b and B do not"),
        (f"storage={300 * 'x'}", "must be the path of a folder, but"),
        ("compute.image_scratch=scratch", "must be an absolute path"),
        ("compute.image_scratch=s3://bucket", "is an address"),
        ("selection.label_groups={target: [no, 3]}", "YAML read False here"),
        ("selection.expected_groups={target: [1.0]}", r"YAML read 1\.0 here"),
    ],
)
def test_names_and_paths_that_would_be_taken_for_others_are_refused(write, override: str, fault: str) -> None:  # type: ignore[no-untyped-def]
    import re

    (found,) = faults_of(write(GOOD), override)
    assert re.search(fault, found), found


def test_a_password_on_a_command_line_is_refused_with_advice(write) -> None:  # type: ignore[no-untyped-def]
    for address in ("http://me:s3cret@host/", "postgresql+psycopg://db/mlflow?password=s3cret"):
        with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD in the environment") as refused:
            load_study_file(write(GOOD), overrides=[f"tracking_uri={address}"])
        assert "s3cret" not in str(refused.value)


def test_a_record_is_read_where_the_images_are_not(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write(GOOD)
    for folder in ("source", "target"):
        (tmp_path / folder).rmdir()
    assert len(faults_of(path)) == 2
    assert load_study_file(path, needs_files=False).targets[0].display_name == "target"
