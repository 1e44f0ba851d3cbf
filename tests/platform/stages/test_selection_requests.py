"""Selections by Ray tasks: what is kept, what is told, what a key depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pretrieve.artifacts.sealed_files import sealing, write_sealed_arrays
from pretrieve.components import SELECTORS
from pretrieve.errors import ComponentError
from pretrieve.stages.selection_requests import (
    GroupsOfImages,
    SelectionRequest,
    find_selection,
    keep_selection,
    select_groups,
    select_groups_on_cluster,
    select_images_on_cluster,
)
from pretrieve.stages.selection_settings import split_selector_settings
from pretrieve_selection import GroupedFeatures, Selection, SelectionInputError, SelectionSettings

REQUEST = SelectionRequest(
    target="t",
    selector="uot",
    settings=SelectionSettings(top_k=1),
    seed=0,
    unit="class",
    units_key="classes",
    source_features="s",
    target_features="t",
    max_images_per_class=None,
    source_names=("dark", "light"),
    target_names=("x",),
)


def quiet(done: int, total: int) -> None:
    pass


@pytest.mark.usefixtures("ray_cluster")
def test_an_error_of_a_selection_names_the_group_and_has_no_foreign_traceback() -> None:
    source = np.array([[0.0, 0.0], [1.0, 0.0]])
    with pytest.raises(SelectionInputError, match="dark") as caught:
        select_groups_on_cluster([REQUEST], source, {"t": np.ones((1, 2))}, Path("unused"), on_progress=quiet)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("margin", [None, 0.25])
def test_a_kept_selection_is_read_back_to_the_bit(tmp_path: Path, margin: float | None) -> None:
    selection = Selection("uot", (2, 0), np.array([0.1, -1e-300, 1 / 3]), margin, False, 7)
    assert find_selection(REQUEST, tmp_path) is None
    keep_selection(REQUEST, selection, tmp_path)
    found = find_selection(REQUEST, tmp_path)
    assert found is not None
    np.testing.assert_equal(vars(found), vars(selection))


@pytest.mark.parametrize(
    "change",
    [
        {"target": "u"},
        {"selector": "random"},
        {"settings": SelectionSettings(top_k=1, cost_scale=0.02)},
        {"seed": 1},
        {"unit": "image"},
        {"units_key": "other"},
        {"source_features": "s2"},
        {"target_features": "t2"},
        {"max_images_per_class": 3},
        {"selector_settings": {"label_groups": (1,)}},
        {"selector_settings": {"power": 2}},
        {"rank_from": 1},
    ],
)
def test_what_decides_a_selection_changes_its_key(change: dict[str, Any]) -> None:
    assert replace(REQUEST, **change).key != REQUEST.key


def test_a_setting_at_its_default_is_not_part_of_the_key() -> None:
    assert replace(REQUEST, settings=SelectionSettings(top_k=1, cost_scale=0.01)).key == REQUEST.key


def test_the_deciles_of_a_ranking_are_its_parts_and_keep_scores_and_margins() -> None:
    source, target = np.random.default_rng(0).normal(size=(20, 4)), np.ones((1, 4))
    whole = select_groups(replace(REQUEST, settings=SelectionSettings(top_k=20), source_names=()), source, target)
    two = replace(REQUEST, settings=SelectionSettings(top_k=2), source_names=())
    deciles = [select_groups(replace(two, rank_from=2 * number), source, target) for number in range(10)]
    assert sum((decile.groups for decile in deciles), ()) == whole.groups
    for number, decile in enumerate(deciles[:-1]):
        np.testing.assert_array_equal(decile.scores, whole.scores)
        following = deciles[number + 1].groups[0]
        assert decile.margin == whole.scores[decile.groups[-1]] - whole.scores[following]
    assert deciles[-1].margin is None


def test_names_do_not_change_the_key() -> None:
    assert replace(REQUEST, source_names=("a", "b"), target_names=("y",)).key == REQUEST.key


@pytest.mark.usefixtures("ray_cluster")
def test_single_images_are_chosen_with_the_cap_and_without_the_broken_ones(tmp_path: Path) -> None:
    features = tmp_path / "features"
    source = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1]], dtype=np.float32)
    # Row 1 of the table does not decode, so the units 0 … 3 are its rows 0, 2, 3, 4.
    write_matrix(features / "s", source, rows=[0, 2, 3, 4])
    write_matrix(features / "t", np.array([[1, 0]], dtype=np.float32), rows=[0])
    labels = np.array([0, 0, 0, 1, 1])
    request = replace(
        REQUEST, unit="image", selector="nearest", settings=SelectionSettings(top_k=2), max_images_per_class=1
    )
    select_images_on_cluster([request], features, labels, tmp_path / "kept", on_progress=quiet)
    found = find_selection(request, tmp_path / "kept")
    assert found is not None
    assert found.groups == (0, 2)
    assert found.margin is None
    second = replace(request, settings=SelectionSettings(top_k=1), rank_from=1)
    select_images_on_cluster([second], features, labels, tmp_path / "kept", on_progress=quiet)
    found = find_selection(second, tmp_path / "kept")
    assert found is not None
    assert found.groups == (2,)


def write_matrix(folder: Path, features: Any, rows: list[int]) -> None:
    with sealing(folder / "matrix.npy") as temporary, temporary.open("wb") as file:
        np.save(file, features)
    write_sealed_arrays(folder / "matrix.rows.npz", rows=np.array(rows), broken=np.array("[]"))


@pytest.fixture
def images(tmp_path: Path) -> GroupsOfImages:
    """Twelve images of three classes and four of one; the first image of either table does not decode."""
    rng = np.random.default_rng(4)
    for name, number in (("s", 12), ("t", 4)):
        features = rng.normal(size=(number, 3)).astype(np.float32)
        write_matrix(tmp_path / "features" / name, features, rows=list(range(1, number + 1)))
    source, target = np.array([-1, *range(3)] + [0, 1, 2] * 3), np.zeros(5, dtype=np.int64)
    return GroupsOfImages(tmp_path / "features", source, {"t": target})


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("name", ["OfMoments", "OfFeatures"])
def test_a_task_finds_a_users_selector_and_gives_it_the_features_it_needs(
    images: GroupsOfImages, tmp_path: Path, name: str
) -> None:
    request = own_request(f"own_selectors:{name}")
    given = images.read(request)
    assert isinstance(given["source_features"].features.base, np.memmap)
    assert not given["source_features"].features.flags.writeable
    centroids = {side: each.moments(number).means for (side, each), number in zip(given.items(), (3, 1), strict=True)}
    source, target = centroids["source_features"], centroids["target_features"]
    select_groups_on_cluster([request], source, {"t": target}, tmp_path, images=images, on_progress=quiet)
    found = find_selection(request, tmp_path)
    in_memory = {side: GroupedFeatures(np.array(each.features), each.groups) for side, each in given.items()}
    expected = request.build_selector().select(
        source, target, top_k=1, settings=request.settings, rng=request.rng, **in_memory
    )
    assert found is not None
    np.testing.assert_equal(vars(found), vars(expected))


def test_features_are_not_opened_for_a_selector_of_centroids() -> None:
    nowhere = GroupsOfImages(Path("no such folder"), np.zeros(1, dtype=np.int64), {"t": np.zeros(1, dtype=np.int64)})
    arrays = np.eye(2), np.ones((1, 2))
    assert select_groups(REQUEST, *arrays, nowhere).groups == select_groups(REQUEST, *arrays).groups
    with pytest.raises(FileNotFoundError):
        select_groups(own_request("own_selectors:OfMoments"), *arrays, nowhere)


def test_a_selector_that_needs_features_and_gets_none_is_an_error() -> None:
    with pytest.raises(SelectionInputError, match="'of_features' must be given what it needs, but lacks features"):
        select_groups(own_request("own_selectors:OfFeatures"), np.eye(2), np.ones((1, 2)))


def test_a_selector_of_a_registered_word_gets_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SELECTORS._registered, "second_column", SELECTORS.find("own_selectors:Sound"))
    request = own_request("second_column", selector_settings={"column": 1})
    assert select_groups(request, np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones((1, 2))).groups == (1,)
    with pytest.raises(ComponentError, match=r"'colum' is not; known: column\. Did you mean 'column'"):
        select_groups(replace(request, selector_settings={"colum": 1}), np.eye(2), np.ones((1, 2)))


def test_the_key_of_a_users_selector_holds_its_source_and_that_of_a_built_in_one_its_word() -> None:
    keys = {own_request(f"own_selectors:{name}").key for name in ("Sound", "OfMoments", "OfFeatures")}
    assert len(keys) == 3
    assert REQUEST.key == "751b2b626f5622030fa6"


def test_names_change_the_key_of_a_selector_that_needs_them() -> None:
    request = own_request("own_selectors:OfNames", source_names=("dark 1", "light 2"))
    assert request.key != replace(request, source_names=("dark 2", "light 1")).key
    assert request.key != replace(request, target_names=("y",)).key
    assert select_groups(request, np.eye(2), np.ones((1, 2))).groups == (0,)


def test_settings_of_a_row_are_fields_of_the_selection_or_the_selectors_own() -> None:
    settings, own = split_selector_settings(REQUEST.settings, {"cost": "l2", "column": 1, "top_k": 7})
    assert settings == SelectionSettings(cost="l2", top_k=7)
    assert own == {"column": 1}
    assert split_selector_settings(REQUEST.settings, {}) == (REQUEST.settings, {})
    with pytest.raises(SelectionInputError, match="cost_scale must be a finite number > 0, but is 0"):
        split_selector_settings(REQUEST.settings, {"cost_scale": 0})


def own_request(selector: str, **changes: Any) -> SelectionRequest:
    return replace(REQUEST, **{"selector": selector, "source_names": (), "target_names": ("x",), **changes})
