"""Selections by Ray tasks: what is kept, what is told, what a key depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pretrieve.artifacts.sealed_files import sealing, write_sealed_arrays
from pretrieve.stages.selection_requests import (
    SelectionRequest,
    find_selection,
    keep_selection,
    select_groups,
    select_groups_on_cluster,
    select_images_on_cluster,
)
from pretrieve_selection import Selection, SelectionInputError, SelectionSettings

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
    label_groups=None,
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
        {"label_groups": (1,)},
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
