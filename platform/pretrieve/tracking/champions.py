"""Registering the best model of each target, with its preprocessing and class names."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mlflow import pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.backbones import find_architecture
from pretrieve.tracking import schema
from pretrieve.tracking.run_tree import RunTree

ALIAS = "champion"
MODEL_FOLDER = "model"
MODEL_CODE = Path(__file__).with_name("classifier_model.py")

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", "image")]),
    outputs=Schema([ColSpec("string", "class_name"), ColSpec("double", "probability"), ColSpec("long", "class_index")]),
)


@dataclass(frozen=True)
class Champion:
    """The model of a target's winner.

    Attributes:
      model_name: of the registry.
      key: key of the refit whose weights it has.
      run_id: MLflow run of that refit.
      weights_path: state dict of its network.
      architecture_name: of its backbone.
      class_names: K names.
      description: how it came about, for people.
    """

    model_name: str
    key: str
    run_id: str
    weights_path: Path
    architecture_name: str
    class_names: Sequence[str]
    description: str


def is_champion(model_name: str, key: str, tree: RunTree) -> bool:
    """Tell whether the registry holds the refit of this key as the champion, with a copy of its weights."""
    return _current_key(model_name, tree) == key


def register_champion(champion: Champion, tree: RunTree) -> str:
    """Register a model version with the alias `champion`, unless the alias has this refit already.

    Args:
      champion: which refit, and what a prediction needs besides its weights.
      tree: the study's runs; their store is the registry too.

    Returns:
      The URI `models:/<name>@champion`, for `mlflow.pyfunc.load_model`.

    Raises:
      MlflowException: the store does not answer.
    """
    uri = f"models:/{champion.model_name}@{ALIAS}"
    if is_champion(champion.model_name, champion.key, tree):
        return uri
    with tempfile.TemporaryDirectory() as folder:
        model = _save_model(champion, Path(folder))
        # Copied into the refit's artifacts by hand: MLflow's own `log_model` would open the finished run again.
        tree.client.log_artifacts(champion.run_id, str(model), MODEL_FOLDER)
    artifacts = tree.client.get_run(champion.run_id).info.artifact_uri
    _register(champion, f"{artifacts}/{MODEL_FOLDER}", tree)
    return uri


def _save_model(champion: Champion, folder: Path) -> Path:
    card = folder / "card.json"
    write_json(
        card,
        {
            "architecture": champion.architecture_name,
            "preprocessing": find_architecture(champion.architecture_name).preprocessing.to_dict(),
            "class_names": list(champion.class_names),
        },
    )
    with warnings.catch_warnings():
        # The signature is given; an example would only be a picture more to store.
        warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
        pyfunc.save_model(
            folder / MODEL_FOLDER,
            python_model=str(MODEL_CODE),
            artifacts={"weights": str(champion.weights_path), "card": str(card)},
            signature=SIGNATURE,
            pip_requirements=[f"pretrieve=={version('pretrieve')}"],
        )
    return folder / MODEL_FOLDER


def _current_key(name: str, tree: RunTree) -> str | None:
    try:
        current = tree.client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        return None
    key = current.tags.get(schema.TAG_KEY)
    return None if key is None else str(key)


def _register(champion: Champion, model_uri: str, tree: RunTree) -> None:
    name = champion.model_name
    try:
        tree.client.get_registered_model(name)
    except MlflowException:
        tree.client.create_registered_model(name)
    made = tree.client.create_model_version(
        name,
        source=model_uri,
        run_id=champion.run_id,
        tags={schema.TAG_KEY: champion.key},
        description=champion.description,
    )
    tree.client.set_registered_model_alias(name, ALIAS, made.version)
