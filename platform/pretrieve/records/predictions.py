"""Kept predictions: the class scores of a refit on its test images, in a file that names each image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.artifacts.sealed_files import read_sealed, sealing
from pretrieve.records.codec import check_version

PREDICTIONS = "predictions"
"""The folder of the files, in a study's folder and among the artifacts of a refit's run."""

SUFFIX = ".arrows"
"""Of an Arrow stream, whose readers stop at its end: any of them reads the file in spite of the seal behind it."""

FIELDS = ("key", "target", "method", "seed", "class_names", "made_with")


@dataclass(frozen=True, eq=False)
class KeptPredictions:
    """The outputs of a refit for N test images and K classes.

    Attributes:
      key: of the refit.
      seed: of the refit.
      class_names: K names.
      made_with: machine, device, threads and versions that computed the scores.
      images: (N,) str, the identity of each image (`pretrieve.data.scored_images.image_identity`), in the order of the
        test split. An image that the split lists twice has one identity.
      labels: (N,) int32 in [0, K).
      scores: (N, K) float32, the outputs of the target's head before the softmax. They are not finite where the network
        overflowed.

    Raises:
      ValueError: the shapes do not fit each other.
    """

    RECORD: ClassVar = "predictions"
    VERSION: ClassVar = 1

    key: str
    target: str
    method: str
    seed: int
    class_names: tuple[str, ...]
    made_with: Mapping[str, str]
    images: NDArray[np.str_]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        num_images, num_classes = len(self.images), len(self.class_names)
        found = (self.labels.shape, self.scores.shape)
        if found != ((num_images,), (num_images, num_classes)):
            raise ValueError(
                f"predictions of {num_images} images and {num_classes} classes must have labels (N,) and scores (N, K),"
                f" but they are {found[0]} and {found[1]}; give each image a label, and each class a score"
            )

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) int64: the class of the largest score, the first of equal ones."""
        predicted: NDArray[np.int64] = self.scores.argmax(axis=1)
        return predicted


def predictions_path(folder: Path, key: str) -> Path:
    """Return the file of a refit's predictions in a study's folder; it may be absent."""
    return folder / PREDICTIONS / predictions_name(key)


def predictions_name(key: str) -> str:
    """Return the name of the file of a refit's predictions, in its folder and among the artifacts of its run."""
    return f"{key}{SUFFIX}"


def write_predictions(path: Path, predictions: KeptPredictions) -> None:
    """Write a sealed Arrow stream: equal predictions are equal bytes.

    Columns: `image` (string), `label` (int32) and `scores` (fixed-size list of K float32), one row for each image. The
    other fields are JSON in the metadata of the schema.
    """
    fields = {"record": predictions.RECORD, "version": predictions.VERSION}
    fields |= {name: getattr(predictions, name) for name in FIELDS}
    num_classes = len(predictions.class_names)
    scores = pa.FixedSizeListArray.from_arrays(pa.array(predictions.scores.reshape(-1), pa.float32()), num_classes)
    columns = [pa.array(predictions.images.tolist(), pa.string()), pa.array(predictions.labels, pa.int32()), scores]
    schema = pa.schema(
        [("image", pa.string()), ("label", pa.int32()), ("scores", pa.list_(pa.float32(), num_classes))],
        metadata={name: json.dumps(value) for name, value in fields.items()},
    )
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    with sealing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read_predictions(path: str | Path) -> KeptPredictions:
    """Read what `write_predictions` wrote, also a copy that was downloaded from MLflow; the arrays are read-only.

    Raises:
      FileNotFoundError: there is no such file.
      DamagedArtifactError: its bytes are not those that were written.
      UserError: another version of Pretrieve wrote it.
    """
    table = pa.ipc.open_stream(pa.BufferReader(read_sealed(Path(path)))).read_all().combine_chunks()
    fields: dict[str, Any] = {name.decode(): json.loads(text) for name, text in table.schema.metadata.items()}
    check_version(KeptPredictions, fields, str(path))
    scores = table["scores"].combine_chunks()
    return KeptPredictions(
        **{name: fields[name] for name in FIELDS if name != "class_names"},
        class_names=tuple(fields["class_names"]),
        images=np.array(table["image"].to_pylist(), dtype=np.str_),
        labels=table["label"].to_numpy(),
        scores=scores.flatten().to_numpy().reshape(-1, scores.type.list_size),
    )
