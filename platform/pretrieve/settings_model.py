"""The base of all settings: typed, frozen, and refusing what they do not know."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo


class SettingsModel(BaseModel):
    """Base of every settings class; an unknown field is an error, a built object does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def existing_path(path: Path, info: ValidationInfo, kind: Literal["folder", "file", "file or folder"]) -> Path:
    """Resolve a path of a study, relative to the study file's own folder, and refuse one that is not there.

    Args:
      path: as the study has it; `~` is the user's home.
      info: pydantic's; its context names the folder to start from as `base`.
      kind: what must be there.

    Returns:
      An absolute path.

    Raises:
      ValueError: there is no such folder or file.
    """
    base = Path((info.context or {}).get("base", "."))
    try:
        resolved = (base / path.expanduser()).resolve()
        is_there = {"folder": resolved.is_dir, "file": resolved.is_file, "file or folder": resolved.exists}
        exists = is_there[kind]()
    except (OSError, RuntimeError) as error:  # a name too long, a circle of links, the home of a user who has none
        raise ValueError(f"the {kind} must have a path that can be followed, but: {error}") from error
    if not exists:
        raise ValueError(f"the {kind} must exist, but {resolved} does not")
    return resolved
