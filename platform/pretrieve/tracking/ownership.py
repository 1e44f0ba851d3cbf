"""Whose experiment it is: a study is known by an identity in its folder, and its MLflow experiment has the same one."""

from __future__ import annotations

import getpass
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage
from sqlalchemy import create_engine, inspect, text

from pretrieve.artifacts.atomic_files import replacing
from pretrieve.errors import UserError
from pretrieve.tracking import schema
from pretrieve.tracking.address import database_file, for_client, is_database, sqlite_store, without_password

IDENTITY_FILE = "study_identity.txt"

_TABLES = {"experiments", "runs", "alembic_version"}
"""Some of MLflow's tables in a database."""

_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow's tables hold paths of artifacts."""


@dataclass(frozen=True)
class Owner:
    """A study as the owner of its experiment: `place` says, for people, who runs it where."""

    identity: str
    place: str

    def tags(self) -> Mapping[str, str]:
        """Return the tags of the owner's experiment."""
        return {schema.TAG_IDENTITY: self.identity, schema.TAG_OWNER: self.place}


def owner_of(folder: Path) -> Owner:
    """Return the owner that a study's folder holds, made where there is none."""
    path = folder / IDENTITY_FILE
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(uuid.uuid4().hex + "\n", encoding="utf-8")
    return Owner(path.read_text(encoding="utf-8").strip(), f"{_user()} on {gethostname()} in {folder.absolute()}")


def _user() -> str:
    with suppress(KeyError, OSError, ImportError):  # a user without a name, as in containers
        return getpass.getuser()
    return "somebody"


def take_experiment(client: MlflowClient, found: Experiment, folder: Path, *, is_own_store: bool) -> bool:
    """Make sure that an experiment is that of the study in `folder`, and take it where it is nobody's.

    It is the study's if both have one identity; if the store lies in the study's folder; or if the same user ran it in
    the same folder, which lost its identity. An experiment without an identity is of an earlier version, or was made by
    hand: it is taken if it holds no study, or if the folder holds the plan of one. One in MLflow's trash is restored;
    returns whether it was.

    Raises:
      UserError: it is another study's.
    """
    owner, tags = owner_of(folder), found.tags
    identity, place = tags.get(schema.TAG_IDENTITY), tags.get(schema.TAG_OWNER, "somebody")
    is_ours = is_own_store or identity == owner.identity or place == owner.place
    if identity is None:
        is_ours = is_ours or (folder / schema.PLAN_ARTIFACT).exists() or not _holds_study(client, found)
    if not is_ours:
        again = (
            "put its folder back"
            if identity is None
            else f"put its folder back, or write its identity, {identity}, into {folder / IDENTITY_FILE}"
        )
        raise UserError(
            f"a study must have a name of its own in MLflow's store, but experiment {found.name!r} is the study of "
            f"{place}; give this study another name. If it is the same study, {again}, and run it again"
        )
    was_deleted: bool = found.lifecycle_stage == LifecycleStage.DELETED
    if was_deleted:
        client.restore_experiment(found.experiment_id)
    if identity is not None and place == owner.place:
        with replacing(folder / IDENTITY_FILE) as temporary:
            temporary.write_text(identity + "\n", encoding="utf-8")
    for name, value in owner_of(folder).tags().items():
        if tags.get(name) != value:
            client.set_experiment_tag(found.experiment_id, name, value)
    return was_deleted


def refuse_record_of_another(tracking_uri: str, name: str, folder: Path) -> None:
    """Make sure that the record of an experiment is that of the study in `folder`, which may read no other by its name.

    A folder that holds no identity, as on a machine where the study never ran, reads any.

    Raises:
      UserError: it is another study's.
      MlflowException: the store does not answer.
    """
    path = folder / IDENTITY_FILE
    if tracking_uri == sqlite_store(folder) or not path.exists():
        return
    found, owner = MlflowClient(tracking_uri=for_client(tracking_uri)).get_experiment_by_name(name), owner_of(folder)
    if found is None or found.tags.get(schema.TAG_IDENTITY, owner.identity) == owner.identity:
        return
    place = found.tags.get(schema.TAG_OWNER, "somebody")
    if place != owner.place:
        raise UserError(
            f"a study reads its own record alone, but experiment {name!r} of MLflow's store is the study of {place}; "
            f"give this study another name, or remove {path} to read what that study recorded"
        )


def _holds_study(client: MlflowClient, found: Experiment) -> bool:
    filter_string = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_STUDY}'"
    return bool(client.search_runs([found.experiment_id], filter_string, max_results=1))


def move_artifacts(tracking_uri: str, found: Experiment, root: str) -> None:
    """Let a database name the artifacts of a study where they are now, if its storage was moved.

    `root` is the address of the study's artifacts. MLflow keeps whole paths and cannot change them itself.
    """
    old = found.artifact_location
    if not is_database(tracking_uri) or old == root:
        return
    engine = create_engine(tracking_uri)
    try:
        columns = {table: {each["name"] for each in inspect(engine).get_columns(table)} for table in _tables(engine)}
        with engine.begin() as connection:
            for table, column in _LOCATIONS:
                if column in columns.get(table, ()):
                    statement = (
                        f"UPDATE {table} SET {column} = :new || SUBSTR({column}, :length) "  # own names
                        f"WHERE {column} = :old OR SUBSTR({column}, 1, :length) = :folder"
                    )
                    values = {"new": root, "old": old, "folder": f"{old}/", "length": len(old) + 1}
                    connection.execute(text(statement), values)
    finally:
        engine.dispose()


def _tables(engine: object) -> set[str]:
    return set(inspect(engine).get_table_names()) & {table for table, _ in _LOCATIONS}


def check_database(tracking_uri: str) -> None:
    """Refuse an SQLite file that is another program's, before MLflow writes its tables into it.

    Raises:
      UserError: the file is no database, or one with other tables.
    """
    path = database_file(tracking_uri)
    if path is None or not path.exists() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            return
        names, fault = set(), str(error)
    else:
        fault = f"it has the tables {', '.join(sorted(names)[:5])}"
        if not names:
            return
    if not names >= _TABLES:
        raise UserError(
            f"MLflow's store must be a database of MLflow's, or a new file, but {without_password(tracking_uri)} is "
            f"another program's ({fault}), and is left alone; name another file as tracking_uri"
        )
