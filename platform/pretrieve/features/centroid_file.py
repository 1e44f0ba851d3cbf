"""Centroids and lists of groups in files, as other tools write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import UserError, nearest_word
from pretrieve_selection import IMAGENET_BIRD_CLASSES, IMAGENET_DOG_CLASSES

KNOWN_LISTS = {"imagenet-birds": IMAGENET_BIRD_CLASSES, "imagenet-dogs": IMAGENET_DOG_CLASSES}
"""Lists of ImageNet-1k's classes, by the order of their WordNet ids, that come along."""


@dataclass(frozen=True)
class CentroidFile:
    """Mean features of the groups of a source, or of the classes of a target.

    Attributes:
      means: (K, D) float64.
      names: K names; "group 0" and so on where the file has none.
    """

    means: NDArray[np.float64]
    names: tuple[str, ...]


def read_centroid_file(path: Path) -> CentroidFile:
    """Read a NumPy archive with the array `means` (K, D) and perhaps `names` (K,).

    Args:
      path: an .npz file; nothing in it is unpickled.

    Raises:
      UserError: the file is missing or no such archive, or shapes do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("means", "names") if name in archive}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"centroids must be a NumPy archive (.npz), but {path}: {error}") from error
    if "means" not in arrays:
        raise UserError(f"{path} must hold an array 'means' of shape (K, D), but holds none; write it with np.savez")
    means = np.asarray(arrays["means"])
    if means.ndim != 2 or means.dtype.kind not in "fiu":
        raise UserError(f"'means' of {path} must be numbers of shape (K, D), but is {means.dtype} {means.shape}")
    names = tuple(str(name) for name in arrays.get("names", [f"group {k}" for k in range(len(means))]))
    if len(names) != len(means):
        raise UserError(f"{path} must have one name a row of 'means', but has {len(names)} for {len(means)}")
    return CentroidFile(means.astype(np.float64), names)


def read_expected_ids(reference: str, names: tuple[str, ...]) -> list[int]:
    """Read the groups that a selection should find, for its recall.

    Args:
      reference: a known list (`imagenet-birds`, `imagenet-dogs`), or a file: a JSON list, or one id a line. An id is an
        index, a name, or the first word of a name, as WordNet ids are.
      names: of the source's groups.

    Returns:
      Indices of groups.

    Raises:
      UserError: there is no such list or file, or an id is of no group.
    """
    if reference in KNOWN_LISTS:
        return list(KNOWN_LISTS[reference])
    path = Path(reference)
    if not path.is_file():
        raise UserError(
            f"expected ids must be a file or one of {', '.join(KNOWN_LISTS)}, but {reference!r} is neither."
            f"{nearest_word(reference, KNOWN_LISTS)}"
        )
    text = path.read_text(encoding="utf-8")
    try:
        ids = (
            json.loads(text) if text.lstrip().startswith("[") else [line for line in text.splitlines() if line.strip()]
        )
    except json.JSONDecodeError as error:
        raise UserError(f"{path} must be a JSON list or one id a line, but: {error}") from error
    index_of = {name.split()[0]: k for k, name in enumerate(names) if name.split()}
    index_of |= {name: k for k, name in enumerate(names)}
    return [_index_of(str(id_).strip(), index_of, len(names), path) for id_ in ids]


def _index_of(id_: str, index_of: dict[str, int], num_groups: int, path: Path) -> int:
    if id_ in index_of:
        return index_of[id_]
    if id_.isdigit() and int(id_) < num_groups:
        return int(id_)
    raise UserError(
        f"an id of {path} must be an index from 0 to {num_groups - 1} or a name of the source, but is {id_!r}."
        f"{nearest_word(id_, index_of)}"
    )
