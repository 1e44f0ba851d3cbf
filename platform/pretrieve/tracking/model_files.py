"""The files of a registered model: its exported network, what describes it, and the code that it runs.

The model is loaded where Pretrieve was never installed, so nothing in it refers to Pretrieve. The network is a program
of `torch.export`. The code is a copy of the files that it needs, under a package name of its own.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import torch
from mlflow import pyfunc
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from torch import Tensor, nn

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.backbones import Architecture, Preprocessing
from pretrieve.backbones.state_dicts import read_kept_weights
from pretrieve.errors import BackboneError, in_words
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.network import prediction_network

NETWORK_FILE = "network.pt2"
CARD_FILE = "card.json"

MODEL_CODE = Path(__file__).with_name("classifier_model.py")
CARRIED_CODE = ("data/decode.py", "data/missing_ends.py", "errors.py")
"""The modules of Pretrieve that the model's code needs. None of them needs another one of Pretrieve's."""

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "torch")
"""What the code of a model imports; an exported network needs torch alone."""

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", "image")]),
    outputs=Schema([ColSpec("string", "class_name"), ColSpec("double", "probability"), ColSpec("long", "class_index")]),
    params=ParamSchema(
        [
            ParamSpec("broken_images", DataType.string, "raise"),
            ParamSpec("abstain_below", DataType.double, 0.0),
            ParamSpec("class_scores", DataType.boolean, False),
        ]
    ),
)


class SquareClassifier(nn.Module):
    """From decoded squares, (N, R, R, 3) uint8 RGB, to class scores, (N, K) float32: crop, normalise, classify."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network, self._preprocessing = network, preprocessing

    def forward(self, squares: Tensor) -> Tensor:
        scores: Tensor = self.network(evaluation_view(to_unit_range(squares, squares.device), self._preprocessing))
        return scores


def export_network(architecture: Architecture, weights_path: Path, *, num_classes: int) -> torch.export.ExportedProgram:
    """Export a fine-tuned network with its preprocessing, for any number of images at a time; see `SquareClassifier`.

    Raises:
      BackboneError: the weights do not fit the network, or torch cannot export it.
      DamagedArtifactError: the file of the weights is damaged.
    """
    network = prediction_network(
        architecture.build(),
        read_kept_weights(weights_path),
        feature_dim=architecture.feature_dim,
        num_classes=num_classes,
        origin=str(weights_path),
    )
    side = architecture.preprocessing.resize_size
    # Of two images: torch takes a batch of one for a size that never changes.
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    classifier = SquareClassifier(network, architecture.preprocessing).eval()
    sizes = ({0: torch.export.Dim("images")},)
    try:
        return torch.export.export(classifier, (example,), dynamic_shapes=sizes, strict=False)
    except Exception as error:  # of torch, or of a user's network
        raise BackboneError(
            f"a network must be one that torch.export can export, so that its model needs no code of its own, but "
            f"{architecture.name!r} ends in {in_words(error)}; mend its `forward`, or take another network"
        ) from error


def save_model(
    folder: Path,
    program: torch.export.ExportedProgram,
    *,
    architecture: Architecture,
    class_names: Sequence[str],
    temperature: float | None,
) -> None:
    """Write an MLflow model into `folder`, which must not exist.

    Args:
      folder: for the model; files beside it are left for the caller to remove.
      program: see `export_network`.
      architecture: of its backbone.
      class_names: K names.
      temperature: by which class scores are divided for calibrated probabilities; None: there is none.
    """
    network, card = folder.with_name(NETWORK_FILE), folder.with_name(CARD_FILE)
    torch.export.save(program, network)
    described: dict[str, Any] = {
        "architecture": architecture.name,
        "preprocessing": architecture.preprocessing.to_dict(),
        "class_names": list(class_names),
        "temperature": temperature,
    }
    write_json(card, described)
    package = carry_code(folder.with_name("code"))
    with warnings.catch_warnings():
        # The signature is given, so an example image is not needed.
        warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
        pyfunc.save_model(
            folder,
            python_model=str(MODEL_CODE),
            code_paths=[str(package)],
            # As addresses, because in a path MLflow takes what follows # or ? for no part of it.
            artifacts={"network": network.absolute().as_uri(), "card": card.absolute().as_uri()},
            signature=SIGNATURE,
            # Without the build, such as +cpu, which package indexes lack.
            pip_requirements=[f"{name}=={version_of(name).partition('+')[0]}" for name in REQUIREMENTS],
        )
    # Only now, as MLflow runs the code when it saves it.
    code = folder / MODEL_CODE.name
    code.write_text(_renamed(code.read_text(encoding="utf-8"), package.name), encoding="utf-8")


def carry_code(folder: Path) -> Path:
    """Copy the modules that a model's code needs into a package below `folder`; return the package's folder.

    Its name holds a digest of the code: a process may load models of several versions, and Python keeps one module for
    each name.
    """
    root = Path(__file__).parents[1]
    texts = {name: (root / name).read_text(encoding="utf-8") for name in CARRIED_CODE}
    digest = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
    package = folder / f"image_classifier_{digest[:8]}"
    for name, text in texts.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_renamed(text, package.name), encoding="utf-8")
    return package


def _renamed(code: str, package: str) -> str:
    return code.replace("from pretrieve.", f"from {package}.")
