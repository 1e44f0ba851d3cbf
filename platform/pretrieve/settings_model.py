"""The base class of all settings, which are typed, frozen and strict, and the error with faults of several fields."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class SettingsModel(BaseModel):
    """Base class of all settings: an unknown field is an error, and an object does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _takes_no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number belongs: Python counts them as 1 and 0, and YAML reads `yes` as true."""
        kinds = set(_leaves(cls.model_fields[str(info.field_name)].annotation))
        if kinds & {int, float} and bool not in kinds and any(isinstance(each, bool) for each in _items(value)):
            raise ValueError(
                "must hold no true or false, as which YAML reads yes, no, on and off too; write the number, or put the "
                "name into quotes"
            )
        return value


class FieldFaultsError(ValueError):
    """Faults of several fields of settings that check themselves: "field: rule, value, remedy" each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def _leaves(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of; those of literals are no numbers of a user's own."""
    if typing.get_origin(annotation) is Literal:
        return
    yield annotation
    for inner in typing.get_args(annotation):
        yield from _leaves(inner)


def _items(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, Mapping):
        yield from value
        yield from value.values()


def existing_path(path: Path, info: ValidationInfo, kind: Literal["folder", "file", "file or folder"]) -> Path:
    """Return the absolute path of a folder or file that a study names relative to the study file's folder.

    Args:
      path: as written in the study; see `followed_path`.
      info: from pydantic; its context holds the study file's folder as `base`.
      kind: what must exist at the path.

    Raises:
      ValueError: there is no such folder or file.
    """
    base = Path((info.context or {}).get("base", "."))
    try:
        is_literal = (base / path).exists()
        resolved = (base / path if is_literal else base / followed_path(path)).resolve()
        exists = {"folder": resolved.is_dir, "file": resolved.is_file, "file or folder": resolved.exists}[kind]()
    except (OSError, RuntimeError) as error:  # too long a name, a circle of links, a user without a home
        raise ValueError(f"the {kind} must have a path that can be followed, but: {error}") from error
    if not exists and (info.context or {}).get("needs_files", True):
        raise ValueError(f"the {kind} must exist, but {resolved} does not")
    return resolved


def followed_path(path: Path) -> Path:
    """Return a path with its `~`, `~user` and `$VARIABLE`s replaced.

    Raises:
      ValueError: it is an address, or names a user or a variable that this machine does not know.
    """
    text = os.path.expandvars(path)
    if address := re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):  # a Path has one slash of two
        raise ValueError(
            f"must be a path on a disk, but {text} is an address ({address[0]}/); copy or mount what is "
            "there, and name that folder"
        )
    if unknown := re.search(r"\$(\w+|\{[^}]*\})", text):
        raise ValueError(
            f"must name variables of the environment that are set, but {unknown[0]} is not; set it, or write its value"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"must be a path that can be followed, but: {error} Write it without ~") from error
