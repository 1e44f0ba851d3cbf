"""Registering the best model of each target, with its preprocessing and class names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from pretrieve.backbones import find_architecture
from pretrieve.errors import UserError
from pretrieve.tracking import schema
from pretrieve.tracking.model_files import NETWORK_FILE, export_network, save_model
from pretrieve.tracking.run_tree import RunTree

ALIAS = "champion"
CELL_ALIAS = "model"
"""Of the model of a cell that was asked for by name."""

MODEL_FOLDER = "model"

NOT_THERE = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)}
"""MLflow's error codes for a model or alias that does not exist."""


@dataclass(frozen=True)
class Champion:
    """The model of a target, or of a cell; `key` and `run_id` are those of the refit that trained it."""

    model_name: str  # in the registry
    key: str
    run_id: str
    weights_path: Path  # state dict of its network
    architecture_name: str  # of its backbone
    class_names: Sequence[str]
    description: str  # its origin, for people
    temperature: float | None = None  # of its calibrated probabilities; None where no folds were held out
    alias: str = ALIAS


def is_champion(model_name: str, key: str, tree: RunTree, alias: str = ALIAS) -> bool:
    """Return whether the registry holds the refit of this key under the alias, with its network.

    A model of an earlier version has none, so it is registered again.

    Raises:
      MlflowException: the store does not answer.
    """
    try:
        current = tree.client.get_model_version_by_alias(model_name, alias)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return False
    return bool(current.tags.get(schema.TAG_KEY) == key) and _has_network(tree, str(current.run_id))


def _has_network(tree: RunTree, run_id: str) -> bool:
    """Return whether the network of a registered model is there: its card may have been left alone."""
    try:
        files = tree.client.list_artifacts(run_id, f"{MODEL_FOLDER}/artifacts")
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return False
    return any(file.path.endswith(NETWORK_FILE) and file.file_size for file in files)


def register_champion(champion: Champion, tree: RunTree) -> str:
    """Register a model version with its alias in the store of `tree`, unless the alias has this refit.

    Carried out twice, also in part, it adds nothing.

    Returns:
      The URI `models:/<name>@<alias>`, for `mlflow.pyfunc.load_model`.

    Raises:
      BackboneError: its network cannot be exported.
      MlflowException: the store does not answer.
    """
    name, client = champion.model_name, tree.client
    uri = f"models:/{name}@{champion.alias}"
    if is_champion(name, champion.key, tree, champion.alias):
        return uri
    with tempfile.TemporaryDirectory() as folder:
        architecture = find_architecture(champion.architecture_name)
        save_model(
            Path(folder) / MODEL_FOLDER,
            export_network(architecture, champion.weights_path, num_classes=len(champion.class_names)),
            architecture=architecture,
            class_names=champion.class_names,
            temperature=champion.temperature,
        )
        # MLflow's own `log_model` would open the finished run again.
        client.log_artifacts(champion.run_id, str(Path(folder) / MODEL_FOLDER), MODEL_FOLDER)
    source = f"{client.get_run(champion.run_id).info.artifact_uri}/{MODEL_FOLDER}"
    take_model(name, tree)
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
    client.set_registered_model_alias(name, champion.alias, version.version)
    return uri


def take_model(name: str, tree: RunTree) -> None:
    """Make a registered model for this study's experiment, or make sure that the one of the name is no other study's.

    Names of studies and targets are joined by a point, so those of two studies may come to one.

    Raises:
      UserError: it is another study's.
    """
    client, own = tree.client, tree.experiment_id
    try:
        owner = client.get_registered_model(name).tags.get(schema.TAG_EXPERIMENT, own)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        client.create_registered_model(name, tags={schema.TAG_EXPERIMENT: own})
        return
    if owner != own and (other := _experiment_name(tree, owner)) is not None:
        raise UserError(
            f"a registered model must be of one study, but {name!r} is that of experiment {other!r} in MLflow's store; "
            "give this study or its target another name"
        )
    client.set_registered_model_tag(name, schema.TAG_EXPERIMENT, own)


def _experiment_name(tree: RunTree, experiment_id: str) -> str | None:
    """Return the name of an experiment; None where it is gone for good."""
    try:
        return str(tree.client.get_experiment(experiment_id).name)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return None
