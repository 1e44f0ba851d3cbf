"""The ten experiments: their names, their series, and the settings that a series varies."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pretrieve.cli.experiments_command import count_trials
from pretrieve.errors import UserError
from pretrieve.paper.catalogue import EXPERIMENTS, find_experiment, load_point, studies_folder
from pretrieve.paper.experiment import StudyPoint
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import read_study_fields, validate_study

NAMES = ("table1a", "table1b", "table2", "table3", "table4", "figure2b", "figure3a", "figure3b", "figure4a", "figure4b")


def test_there_are_the_ten_of_the_paper() -> None:
    assert tuple(EXPERIMENTS) == NAMES
    assert len({experiment.place for experiment in EXPERIMENTS.values()}) == 10


def test_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"an experiment must be one of table1a.*Did you mean 'figure4a'"):
        find_experiment("figure_4a")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_mini", [False, True])
def test_points_of_a_series_have_different_labels(name: str, is_mini: bool) -> None:
    series = EXPERIMENTS[name].series(is_mini=is_mini)
    for points in (series.studies, series.selections):
        assert len({point.label for point in points}) == len(points)
    assert series.points
    assert not is_mini or series.deviations


@pytest.mark.parametrize("name", NAMES)
def test_a_miniature_has_the_points_of_the_papers_size(name: str) -> None:
    full, mini = EXPERIMENTS[name].full, EXPERIMENTS[name].mini
    assert len(mini.selections) == len(full.selections)
    assert bool(mini.studies) == bool(full.studies)
    for point in mini.points:
        settings = load_point(point, None).settings
        assert (settings.name, settings.source.display_name) == ("mini", "characters")


def test_trials_of_a_series_are_counted_from_its_files() -> None:
    # 3 targets × (2 of fine-tuning, 2 of Co-Tuning, 3 × 2 that reuse), each cell refitted twice
    assert count_trials(EXPERIMENTS["table1a"].mini) == (30, 30)
    # 2 targets in 5 parts × (fine-tuning 45, which settles the head ratio, and 2 × 45 that reuse); three seeds
    assert count_trials(EXPERIMENTS["figure3a"].full) == (2 * 5 * 135, 2 * 5 * 3 * 3)
    assert count_trials(EXPERIMENTS["figure4a"].full) == (0, 0)


@pytest.fixture
def load(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Load a point of the paper's size with empty folders in the place of /data."""

    def load_one(point: StudyPoint) -> StudySettings:
        fields = read_study_fields(studies_folder() / point.file, overrides=point.overrides)
        fields = yaml.safe_load(yaml.safe_dump(fields).replace("/data/", f"{tmp_path}/"))
        for folder in (fields["source"]["imagenet"], *(target["folder"] for target in fields["targets"])):
            Path(folder).mkdir(exist_ok=True)
        if isinstance(fields["backbone"], dict):
            Path(fields["backbone"]["weights"]).touch()
        return validate_study(fields, origin=point.file, base=tmp_path)

    return load_one


def points(name: str, *, is_mini: bool = False) -> tuple[StudyPoint, ...]:
    series = EXPERIMENTS[name].series(is_mini=is_mini)
    missing = [point.file for point in series.points if not (studies_folder() / point.file).exists()]
    if missing:
        pytest.skip(f"the study file {missing[0]} is not there")
    return series.studies


@pytest.mark.parametrize("name", NAMES)
def test_every_study_of_the_papers_size_is_valid_and_has_its_protocol(load, name: str) -> None:  # type: ignore[no-untyped-def]
    for point in points(name):
        settings = load(point)
        training = settings.training
        assert (training.epochs, training.batch_size, training.source_batch_size) == (100, 256, 256)
        assert settings.refit.num_seeds == 3
        assert settings.grid.lr == (0.1, 0.03, 0.01, 0.003, 0.001)


def test_table_2_selects_a_tenth_of_either_number_of_clusters(load) -> None:  # type: ignore[no-untyped-def]
    selections = [load(point).selection for point in points("table2")]
    assert [(each.unit, each.num_clusters, each.top_k) for each in selections] == [
        ("cluster", 1000, 100),
        ("cluster", 2000, 200),
    ]


def test_table_3_has_classes_from_one_to_ten(load) -> None:  # type: ignore[no-untyped-def]
    (settings,) = map(load, points("table3"))
    assert [(target.published, target.regime.long_tail.ratio) for target in settings.targets] == [
        ("cub", 10.0),
        ("aircraft", 10.0),
        ("caltech101", 10.0),
    ]


def test_table_4_has_both_costs_for_both_methods_on_both_networks(load) -> None:  # type: ignore[no-untyped-def]
    found = [(each.backbone.name, each.selection.greedy_cost, each.selection.cost, each.selection.cost_scale)
             for each in map(load, points("table4"))]  # fmt: skip
    assert found == [
        ("resnet18", "l2", "cosine", 0.01),
        ("resnet18", "cosine", "l2", 0.1),
        ("moco_resnet50", "l2", "cosine", 0.01),
        ("moco_resnet50", "cosine", "l2", 0.1),
    ]


@pytest.mark.parametrize(("is_mini", "sets"), [(False, ("cub", "caltech101")), (True, ("greek", "symbols"))])
def test_figure_3a_takes_the_same_part_of_target_and_source(load, is_mini: bool, sets: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    (point,) = points("figure3a", is_mini=is_mini)
    settings = load_point(point, None).settings if is_mini else load(point)
    found = {(each.published or each.registered, each.display_name): each.regime.fraction for each in settings.targets}
    parts = (("-20", 0.2), ("-40", 0.4), ("-60", 0.6), ("-80", 0.8), ("", None))
    assert found == {(name, f"{name}{suffix}"): fraction for name in sets for suffix, fraction in parts}
    assert settings.selection.source_fraction == "as_target"


def test_figure_3b_goes_from_50_to_300_groups_and_to_those_that_the_labels_name(load) -> None:  # type: ignore[no-untyped-def]
    *numbers, label = map(load, points("figure3b"))
    assert [each.selection.top_k for each in numbers] == [50, 100, 150, 200, 250, 300]
    assert label.method_names == ("label",)
    assert label.selection.label_groups == {"cub": "imagenet-birds", "stanford_dogs": "imagenet-dogs"}


@pytest.mark.parametrize(("is_mini", "num_parts", "size"), [(False, 10, 100), (True, 5, 44)])
def test_figure_4b_goes_through_the_ranks_without_gap_or_overlap(  # type: ignore[no-untyped-def]
    load, is_mini: bool, num_parts: int, size: int
) -> None:
    series = points("figure4b", is_mini=is_mini)
    parts = [load_point(point, None).settings if is_mini else load(point) for point in series]
    assert [each.method_names for each in parts] == [("finetune", "uot")] + [("uot",)] * (num_parts - 1)
    assert [(each.selection.rank_from, each.selection.top_k) for each in parts] == [
        (size * number, size) for number in range(num_parts)
    ]


def test_what_two_points_share_is_in_one_study() -> None:
    names = {
        read_study_fields(studies_folder() / point.file)["name"]
        for name in ("table3", "figure3a", "figure3b", "figure4b")
        for point in EXPERIMENTS[name].full.studies
    }
    assert names == {"table1-supervised"}
