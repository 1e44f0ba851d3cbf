"""Studies of one name on one store, storages that are moved, experiments in the trash, databases of other programs."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage

from pretrieve.errors import UserError
from pretrieve.tracking import ownership, schema
from pretrieve.tracking.address import sqlite_store
from pretrieve.tracking.champions import take_model
from pretrieve.tracking.ownership import IDENTITY_FILE, refuse_record_of_another
from pretrieve.tracking.run_tree import RunTree


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that two people share: setting up SQLite takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'mlflow.db'}"


def open_tree(store: str, folder: Path, notices: list[str] | None = None) -> RunTree:
    folder.mkdir(parents=True, exist_ok=True)
    notice = (notices if notices is not None else []).append
    return RunTree(
        tracking_uri=store, experiment=folder.name, artifact_root=folder / "artifacts", folder=folder, notice=notice
    )


def new_study(tree: RunTree) -> str:
    return tree.create("study", kind=schema.KIND_STUDY, parent=None, tags={})


def test_a_second_study_of_one_name_is_told_whose_it_is_and_how_to_take_it(store: str, tmp_path: Path) -> None:
    first, second = tmp_path / "anna" / "birds", tmp_path / "ben" / "birds"
    new_study(open_tree(store, first))
    with pytest.raises(UserError, match=r"study of .* in .*anna/birds; give this study another name") as no:
        open_tree(store, second)
    identity = (first / IDENTITY_FILE).read_text().strip()
    assert f"write its identity, {identity}, into {second / IDENTITY_FILE}" in str(no.value)
    (second / IDENTITY_FILE).write_text(identity)
    assert open_tree(store, second).experiment_id == open_tree(store, first).experiment_id


def test_the_record_of_another_study_of_the_name_is_not_read_as_ones_own(store: str, tmp_path: Path) -> None:
    first, second, never_ran = (tmp_path / name / "shared" for name in ("anna", "ben", "carla"))
    new_study(open_tree(store, first))
    refuse_record_of_another(store, "shared", first)
    refuse_record_of_another(store, "shared", never_ran)
    assert not never_ran.exists()
    open_tree(f"sqlite:///{tmp_path / 'own.db'}", second)
    with pytest.raises(
        UserError, match=r"'shared' of MLflow's store is the study of .* in .*anna/shared; give .* remove"
    ):
        refuse_record_of_another(store, "shared", second)
    refuse_record_of_another(store, "nobodys", second)


def test_a_study_whose_folder_was_deleted_goes_on_in_the_same_place(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    made = open_tree(store, folder).experiment_id
    identity = (folder / IDENTITY_FILE).read_text()
    shutil.rmtree(folder)
    assert open_tree(store, folder).experiment_id == made
    assert (folder / IDENTITY_FILE).read_text() == identity


def test_an_experiment_without_an_identity_is_taken_where_it_is_nobodys(store: str, tmp_path: Path) -> None:
    client = MlflowClient(store)
    by_hand = client.create_experiment("by-hand")
    assert open_tree(store, tmp_path / "by-hand").experiment_id == by_hand, "made by hand, and empty"
    earlier = client.create_experiment("earlier")
    client.create_run(earlier, tags={schema.TAG_KIND: schema.KIND_STUDY})
    with pytest.raises(UserError, match="is the study of somebody"):
        open_tree(store, tmp_path / "elsewhere" / "earlier")
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / schema.PLAN_ARTIFACT).touch()
    assert open_tree(store, tmp_path / "earlier").experiment_id == earlier, "its folder has run it"


def test_an_experiment_in_the_trash_is_restored_with_its_runs(store: str, tmp_path: Path) -> None:
    tree, notices = open_tree(store, tmp_path / "trashed"), []
    run = new_study(tree)
    tree.client.delete_experiment(tree.experiment_id)
    with pytest.raises(UserError, match="is the study of"):
        open_tree(store, tmp_path / "another" / "trashed")
    assert tree.client.get_experiment(tree.experiment_id).lifecycle_stage == LifecycleStage.DELETED, "it was not theirs"
    again = open_tree(store, tmp_path / "trashed", notices)
    assert [found.info.run_id for found in again.runs(schema.KIND_STUDY)] == [run]
    assert "in its trash, and is restored" in notices[0]


@pytest.mark.parametrize("new_name", ["moved", "with space #1"])
def test_artifacts_are_found_where_a_storage_was_moved_to(tmp_path: Path, new_name: str) -> None:
    before, after = tmp_path / "before" / "birds", tmp_path / new_name / "birds"
    tree = open_tree(sqlite_store(before), before)
    run = new_study(tree)
    tree.client.log_text(run, "old", "old.txt")
    tree.client.create_registered_model("birds.a")
    tree.client.create_model_version("birds.a", f"{tree.client.get_run(run).info.artifact_uri}/model", run)
    shutil.copytree(before, after)
    moved = open_tree(sqlite_store(after), after)
    moved.client.log_text(new_study(moved), "new", "new.txt")
    assert len(list(after.rglob("new.txt"))) == 1
    assert not list(before.rglob("new.txt")), "the copy wrote into the original"
    address = moved.client.get_run(run).info.artifact_uri
    assert address == f"{(after / 'artifacts').as_uri()}/{run}/artifacts"
    assert moved.client.get_model_version("birds.a", "1").source == f"{address}/model"


@pytest.mark.parametrize("content", ["tables", "text"])
def test_the_file_of_another_program_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "birds" / "mlflow.db"
    path.parent.mkdir()
    if content == "text":
        path.write_text("these are my notes " * 100)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE trials (number INTEGER)")
        connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"another program's .* and is left alone"):
        open_tree(sqlite_store(path.parent), path.parent)
    assert path.read_bytes() == before


def test_twins_of_a_run_are_deleted_and_what_holds_something_stays(store: str, tmp_path: Path) -> None:
    tree = open_tree(store, tmp_path / "twins")
    tags = {schema.TAG_KEY: "k1", schema.TAG_TARGET: "a", schema.TAG_METHOD: "uot"}
    empty, used, full = (tree.create("trial", kind=schema.KIND_TRIAL, parent=None, tags=tags) for _ in range(3))
    other = tree.create("trial", kind=schema.KIND_TRIAL, parent=None, tags={**tags, schema.TAG_KEY: "k2"})
    tree.log(full, metrics={"val/score": 0.5}, tags={})
    tree.remove_twins({used})
    assert {run.info.run_id for run in tree.runs(schema.KIND_TRIAL)} == {used, full, other}
    assert empty not in {run.info.run_id for run in tree.runs(schema.KIND_TRIAL)}


def test_an_owner_without_a_name_has_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert ownership.owner_of(tmp_path).place.startswith("somebody on ")


def test_a_registered_model_is_of_one_study_alone(store: str, tmp_path: Path) -> None:
    """The models of study `photos` with target `birds.v2`, and of `photos.birds` with `v2`, have one name."""
    first, second = (open_tree(store, tmp_path / name) for name in ("photos", "photos.birds"))
    take_model("photos.birds.v2", first)
    take_model("photos.birds.v2", first)
    with pytest.raises(UserError, match=r"'photos.birds.v2' is that of experiment 'photos' .* another name"):
        take_model("photos.birds.v2", second)
    first.client.set_registered_model_tag("photos.birds.v2", schema.TAG_EXPERIMENT, "987654")
    take_model("photos.birds.v2", second)
    found = first.client.get_registered_model("photos.birds.v2")
    assert found.tags[schema.TAG_EXPERIMENT] == second.experiment_id, "the experiment that it was of is gone"
