"""Centroids in files of other tools: NumPy archives, read whole or refused with one message."""

from __future__ import annotations

import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import UserError, in_words

PLAUSIBLE_BYTES, BYTES_PER_BYTE = 2**24, 100
"""An array of more bytes than the first must be packed into at least a hundredth of them.

Features are not packed that tightly. Without this limit a small file, or a wrong header, takes all memory."""


@dataclass(frozen=True)
class NamedCentroids:
    """Mean features, (K, D) float64, of the groups of a source or of the classes of a target, and their K names.

    The names are "group 0" and so on if a file has none.
    """

    means: NDArray[np.float64]
    names: tuple[str, ...]


def read_centroid_file(path: Path) -> NamedCentroids:
    """Read an .npz archive with an array `means` (K, D) and optionally `names` (K,), without unpickling anything.

    Means are integers or floating-point numbers of any size and byte order. Names are text, text encoded in UTF-8, or
    integers; of shape (K, 1) or (1, K) they are taken as (K,).

    Raises:
      UserError: the file is missing, damaged, encrypted or no such archive, or shapes or kinds do not fit.
    """
    try:
        arrays = _read_arrays(Path(path))
    except Exception as error:  # the disk, zipfile, its decompressors and NumPy raise a dozen kinds
        fault = str(error) if type(error) is ValueError else in_words(error)
        raise UserError(
            f"centroids must be a NumPy archive (.npz) of numbers and text, but {path} cannot be read: {fault}; copy "
            "it again, or write it with np.savez(path, means=…, names=np.array(…, dtype=str))"
        ) from error
    if "means" not in arrays:
        raise UserError(f"{path} must hold an array 'means' of shape (K, D), but holds none; write it with np.savez")
    means = arrays["means"]
    if means.ndim != 2 or 0 in means.shape or means.dtype.kind not in "fiu":
        raise UserError(
            f"'means' of {path} must be numbers of shape (K, D), K and D above 0, but is {means.dtype} {means.shape}"
        )
    names = _text(arrays["names"], path, len(means)) if "names" in arrays else [f"group {k}" for k in range(len(means))]
    with np.errstate(over="ignore"):  # what float64 cannot hold becomes infinite, which a selection refuses by its row
        return NamedCentroids(means.astype(np.float64), tuple(names))


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("there is no such file")
    limit, found = max(PLAUSIBLE_BYTES, BYTES_PER_BYTE * path.stat().st_size), {}
    with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
        warnings.simplefilter("ignore")  # headers that Python 2 wrote
        for name in ("means", "names"):
            members = [info for info in archive.infolist() if info.filename == f"{name}.npy"]
            if len(members) > 1:
                raise ValueError(f"it holds {len(members)} arrays that are called {name!r}")
            if members:
                found[name] = _read_array(archive, members[0], limit)
    return found


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> NDArray[Any]:
    if member.file_size > limit:
        raise ValueError(f"{member.filename} has {member.file_size:,} bytes, more than the file can hold")
    stream = io.BytesIO(archive.read(member))  # all of it, so that its checksum is compared
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):
        raise ValueError(f"the header of {member.filename} says {array.shape}, but more numbers follow")
    return array


def _text(names: NDArray[Any], path: Path, num_rows: int) -> list[str]:
    if names.dtype.kind not in "USiu" or names.size != max(names.shape, default=1):
        raise UserError(f"'names' of {path} must be text of shape (K,), but is {names.dtype} {names.shape}")
    if names.size != num_rows:
        raise UserError(f"{path} must have one name a row of 'means', but has {names.size} for {num_rows}")
    try:
        found = [name.decode() if isinstance(name, bytes) else str(name) for name in names.ravel().tolist()]
        "".join(found).encode()
    except (ValueError, SystemError) as error:  # the second for code points beyond all characters
        raise UserError(f"'names' of {path} must be text, in UTF-8 where it is encoded, but: {error}") from error
    return found
