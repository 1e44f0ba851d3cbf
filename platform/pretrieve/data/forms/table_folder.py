"""Which files of a folder are the tables of one data set, and which split each is of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from pretrieve.data.folder_walk import visible_files
from pretrieve.data.split_words import split_of_name
from pretrieve.errors import ImageSetError

TABLE_SUFFIXES = (".parquet", ".arrow", ".feather")

STATE = "state.json"
"""`save_to_disk` of Hugging Face lists the tables of a folder in this file; `map` leaves others beside them."""

_SHARD = re.compile(r"(?P<prefix>.*)-(?P<number>\d+)-of-(?P<total>\d+)(?!\d)")


def tables_of_folder(root: Path, name: str) -> list[tuple[Path, str | None]]:
    """List the tables below a folder in order, each with the split that its name, or else its folder's, gives.

    Raises:
      ImageSetError: a table that `state.json` lists or that other shards (`-00000-of-00002`) expect is missing, there
        are two of one shard, or two folders hold tables of one split.
    """
    files = sorted(map(Path, visible_files(root)))
    of_folder: dict[Path, list[Path]] = {}
    for file in files:
        if file.suffix.lower() in TABLE_SUFFIXES and file.is_file():
            of_folder.setdefault(file.parent, []).append(file)
    with_state, kept = {file.parent for file in files if file.name == STATE}, set[Path]()
    for folder, there in of_folder.items():
        kept.update(_listed(folder, there) if folder in with_state else _without_caches(there))
    tables = [file for file in files if file in kept]
    _check_shards(tables, name)
    found = [(file, *_split_of(file.relative_to(root))) for file in tables]
    _check_configs(((file, split, config) for file, split, config in found), root, name)
    return [(file, split) for file, split, _ in found]


def _listed(folder: Path, tables: list[Path]) -> list[Path]:
    try:
        names = [entry["filename"] for entry in json.loads((folder / STATE).read_text("utf-8"))["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ImageSetError(
            f"{folder / STATE} must list the tables of its folder as save_to_disk does, but: {error!r}; save the data "
            "set again, or remove the file"
        ) from error
    there = set(tables)
    missing = [name for name in names if folder / name not in there]
    if missing:
        raise ImageSetError(
            f"all tables that {folder / STATE} lists must exist, but {len(missing)} do not, the first {missing[0]!r}; "
            "copy the folder again"
        )
    return [folder / name for name in names]


def _without_caches(tables: list[Path]) -> list[Path]:
    """Leave out what `map` keeps for itself beside tables."""
    return [file for file in tables if not file.name.startswith("cache-") or file.suffix != ".arrow"] or tables


def _check_shards(tables: Iterable[Path], name: str) -> None:
    shards: dict[tuple[Path, str], list[tuple[int, int, Path]]] = {}
    for file in tables:
        if found := _SHARD.match(file.name):
            place = shards.setdefault((file.parent, found["prefix"]), [])
            place.append((int(found["total"]), int(found["number"]), file))
    for (folder, prefix), parts in shards.items():
        total, numbers = parts[0][0], [number for _, number, _ in parts]
        if len({each for each, _, _ in parts}) > 1 or len(set(numbers)) < len(numbers):
            raise ImageSetError(
                f"each shard of {name!r} must be there once, but {folder} holds two versions of {prefix!r}, such as "
                f"{parts[0][2].name} and {parts[-1][2].name}; remove one version"
            )
        if len(numbers) != total:
            missing = next(k for k in range(total + 1) if k not in numbers)
            raise ImageSetError(
                f"shards of {name!r} must be complete, but {folder} holds {len(numbers)} of {total} of {prefix!r}, not "
                f"number {missing}; fetch the others, or rename the files without '-of-{total:05d}' to use a part"
            )


def _split_of(file: Path) -> tuple[str | None, str]:
    """Return the split of a table by the nearest name that has one, and the folders above that name.

    Where no name has one, the folder of a table counts only if it may be a config: not `key=value`.
    """
    for depth in range(len(file.parts) - 1, -1, -1):
        split = split_of_name(file.parts[depth])
        if split is not None:
            return split, "/".join(part for part in file.parts[:depth] if "=" not in part)
    return None, "/".join(part for part in file.parts[:-1] if "=" not in part)


def _check_configs(found: Iterable[tuple[Path, str | None, str]], root: Path, name: str) -> None:
    configs: dict[str | None, dict[str, set[str]]] = {}
    for file, split, config in found:
        configs.setdefault(split, {}).setdefault(config, set()).add(file.name)
    for split, folders in configs.items():
        if len(folders) < 2 or (split is None and not set.intersection(*folders.values())):
            continue
        one, other, *_ = (folder or "." for folder in folders)
        raise ImageSetError(
            f"tables of {name!r} must be of one config, but {root} holds {split or 'tables'} in {one!r} and "
            f"{other!r}, perhaps the same images twice; name one, config: {other}, or give its folder {root / other}"
        )
