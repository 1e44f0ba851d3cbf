"""Registering the best model of each target, with its preprocessing and class names."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from mlflow import pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.backbones import find_architecture
from pretrieve.tracking import schema
from pretrieve.tracking.run_tree import RunTree

ALIAS = "champion"
MODEL_FOLDER = "model"
WEIGHTS_SUFFIX = ".pt"
MODEL_CODE = Path(__file__).with_name("classifier_model.py")

NOT_THERE = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)}
"""MLflow's error codes for a model or alias that does not exist."""

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", "image")]),
    outputs=Schema([ColSpec("string", "class_name"), ColSpec("double", "probability"), ColSpec("long", "class_index")]),
    params=ParamSchema([ParamSpec("broken_images", DataType.string, "raise")]),
)


@dataclass(frozen=True)
class Champion:
    """The best model of a target; `key` and `run_id` are those of the refit that trained it."""

    model_name: str  # in the registry
    key: str
    run_id: str
    weights_path: Path  # state dict of its network
    architecture_name: str  # of its backbone
    class_names: Sequence[str]
    description: str  # its origin, for people


def is_champion(model_name: str, key: str, tree: RunTree) -> bool:
    """Return whether the registry holds the refit of this key as the champion, with a copy of its weights.

    Raises:
      MlflowException: the store does not answer.
    """
    try:
        current = tree.client.get_model_version_by_alias(model_name, ALIAS)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return False
    return bool(current.tags.get(schema.TAG_KEY) == key) and _has_weights(tree, str(current.run_id))


def _has_weights(tree: RunTree, run_id: str) -> bool:
    """Return whether the weights of a registered model are there: its card may have been left alone."""
    try:
        files = tree.client.list_artifacts(run_id, f"{MODEL_FOLDER}/artifacts")
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return False
    return any(file.path.endswith(WEIGHTS_SUFFIX) and file.file_size for file in files)


def register_champion(champion: Champion, tree: RunTree) -> str:
    """Register a model version with the alias `champion` in the store of `tree`, unless the alias has this refit.

    Carried out twice, also in part, it adds nothing.

    Returns:
      The URI `models:/<name>@champion`, for `mlflow.pyfunc.load_model`.

    Raises:
      MlflowException: the store does not answer.
    """
    name, client = champion.model_name, tree.client
    uri = f"models:/{name}@{ALIAS}"
    if is_champion(name, champion.key, tree):
        return uri
    with tempfile.TemporaryDirectory() as folder:
        _save_model(champion, Path(folder))
        # MLflow's own `log_model` would open the finished run again.
        client.log_artifacts(champion.run_id, str(Path(folder) / MODEL_FOLDER), MODEL_FOLDER)
    source = f"{client.get_run(champion.run_id).info.artifact_uri}/{MODEL_FOLDER}"
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        client.create_registered_model(name)
    # One that was made though its request was not answered is taken.
    versions = client.search_model_versions(f"name = '{name}'")
    made = [
        each for each in versions if each.run_id == champion.run_id and each.tags.get(schema.TAG_KEY) == champion.key
    ]
    version = (
        made[0]
        if made
        else client.create_model_version(
            name,
            source=source,
            run_id=champion.run_id,
            tags={schema.TAG_KEY: champion.key},
            description=champion.description,
        )
    )
    client.set_registered_model_alias(name, ALIAS, version.version)
    return uri


def _save_model(champion: Champion, folder: Path) -> None:
    card, name = folder / "card.json", champion.architecture_name
    preprocessing = find_architecture(name).preprocessing.to_dict()
    names = list(champion.class_names)
    write_json(card, {"architecture": name, "preprocessing": preprocessing, "class_names": names})
    with warnings.catch_warnings():
        # The signature is given, so an example image is not needed.
        warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
        pyfunc.save_model(
            folder / MODEL_FOLDER,
            python_model=str(MODEL_CODE),
            # As addresses, because in a path MLflow takes what follows # or ? for no part of it.
            artifacts={"weights": champion.weights_path.absolute().as_uri(), "card": card.as_uri()},
            signature=SIGNATURE,
            pip_requirements=[f"pretrieve=={version_of('pretrieve')}"],
        )
