"""A registered model on this disk: its files, what it says of image files, and its network in other formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrieve.data.decode import read_content
from pretrieve.errors import ImageSetError, UserError, in_words
from pretrieve.tracking.address import database_file, for_client, without_password
from pretrieve.tracking.model_files import CARD_FILE, NETWORK_FILE

if TYPE_CHECKING:
    import torch

FILES_AT_ONCE = 64
"""Image files that are held in memory together."""


@dataclass(frozen=True)
class RegisteredModel:
    """The folder of a model, with the fields of its card.

    Raises:
      UserError: it is no model, or one that an earlier version registered.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / "MLmodel").is_file():
            raise UserError(f"the folder of a model must hold a file MLmodel, but {self.folder} does not; name another")
        if not (self._artifact(NETWORK_FILE).is_file() and self._artifact(CARD_FILE).is_file()):
            raise UserError(
                f"a model must hold artifacts/{NETWORK_FILE} and artifacts/{CARD_FILE}, but {self.folder} lacks one: "
                "an earlier version of Pretrieve registered it, or it is no model of Pretrieve; run its study again, "
                "which registers it anew"
            )

    @property
    def card(self) -> dict[str, Any]:
        """The fields `architecture`, `preprocessing`, `class_names` and `temperature`."""
        card: dict[str, Any] = json.loads(self._artifact(CARD_FILE).read_text(encoding="utf-8"))
        return card

    def program(self) -> torch.export.ExportedProgram:
        """Load the network: (N, R, R, 3) uint8 squares → (N, K) float32 class scores."""
        import torch

        return torch.export.load(self._artifact(NETWORK_FILE))

    def _artifact(self, name: str) -> Path:
        return self.folder / "artifacts" / name


def fetch_model(address: str, tracking_uri: str) -> RegisteredModel:
    """Bring a model `models:/…` or `runs:/…` of a store onto this disk, unless its files are here.

    Raises:
      UserError: the store does not have it, or does not answer; or as for `RegisteredModel`.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    database = database_file(tracking_uri)
    if database is not None and not database.exists():  # MLflow would make an empty one
        raise UserError(
            f"a model must be in MLflow's store, but there is no {database}; run its study first, or name the "
            "--storage that it ran in"
        )
    mlflow.set_tracking_uri(for_client(tracking_uri))
    try:
        return RegisteredModel(Path(mlflow.artifacts.download_artifacts(artifact_uri=address)))
    except (MlflowException, OSError) as error:
        raise UserError(
            f"a model must be in MLflow's store, but of {address} {without_password(tracking_uri)} says: "
            f"{without_password(str(error))}; run its study until it registers the model, or name another store"
        ) from None


@dataclass(frozen=True)
class FilePrediction:
    """What a model says of an image file.

    Attributes:
      class_name: None where the file is no image, or the probability too low.
      probability: of the likeliest class, in [0, 1]; None where the file is no image.
      class_scores: of the K classes, before the softmax; None where the file is no image.
      error: why the file is no image; else empty.
    """

    path: Path
    class_name: str | None = None
    probability: float | None = None
    class_scores: tuple[float, ...] | None = None
    error: str = ""


def predict_files(
    model: RegisteredModel, paths: Sequence[Path], *, abstain_below: float = 0.0
) -> Iterator[FilePrediction]:
    """Yield a prediction for each file, in their order; one that cannot be read or decoded has an error.

    Raises:
      UserError: the model is to abstain below a probability, but has no temperature, or it is not in [0, 1].
    """
    import mlflow
    import pandas as pd

    loaded = mlflow.pyfunc.load_model(str(model.folder))
    params = {"broken_images": "skip", "class_scores": True, "abstain_below": abstain_below}
    for begin in range(0, len(paths), FILES_AT_ONCE):
        contents = [_read(path) for path in paths[begin : begin + FILES_AT_ONCE]]
        images = pd.Series([each for each in contents if isinstance(each, bytes)], dtype=object)
        try:
            found = iter(loaded.predict(pd.DataFrame({"image": images}), params).itertuples(index=False))
        except ValueError as error:  # of the model's own copy of our errors
            raise UserError(str(error)) from error
        for path, content in zip(paths[begin:], contents, strict=False):
            if isinstance(content, str):
                yield FilePrediction(path, error=content)
                continue
            row = next(found)
            if row.error:
                yield FilePrediction(path, error=row.error)
            else:
                yield FilePrediction(path, row.class_name, row.probability, tuple(row.class_scores))


def _read(path: Path) -> bytes | str:
    """Return the content of a file, or why it cannot be read."""
    try:
        return read_content(str(path), None)
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ImageSetError) as error:
        return in_words(error)
