"""The base class of all settings, which are typed, frozen and strict, and the error with faults of several fields."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo


class SettingsModel(BaseModel):
    """Base class of all settings: an unknown field is an error, and an object does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FieldFaultsError(ValueError):
    """Faults of several fields of settings that check themselves: "field: rule, value, remedy" each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def existing_path(path: Path, info: ValidationInfo, kind: Literal["folder", "file", "file or folder"]) -> Path:
    """Return the absolute path of a folder or file that a study names relative to the study file's folder.

    Args:
      path: as written in the study; `~` is the user's home.
      info: from pydantic; its context holds the study file's folder as `base`.
      kind: what must exist at the path.

    Raises:
      ValueError: there is no such folder or file.
    """
    base = Path((info.context or {}).get("base", "."))
    try:
        resolved = (base / path.expanduser()).resolve()
        exists = {"folder": resolved.is_dir, "file": resolved.is_file, "file or folder": resolved.exists}[kind]()
    except (OSError, RuntimeError) as error:  # too long a name, a circle of links, a user without a home
        raise ValueError(f"the {kind} must have a path that can be followed, but: {error}") from error
    if not exists:
        raise ValueError(f"the {kind} must exist, but {resolved} does not")
    return resolved
