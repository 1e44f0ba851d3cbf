"""Read study files: YAML, validated as a whole, with all faults in one message."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from pretrieve.errors import StudyFileError, UserError, nearest_word
from pretrieve.settings_model import FieldFaultsError
from pretrieve.study.settings import StudySettings
from pretrieve.study.written_yaml import load_yaml
from pretrieve.tracking.address import without_password

MAX_FILE_BYTES = 1024**2

MAX_FAULT = 1_000
"""Characters of a fault's description."""


def load_study_file(
    path: Path, *, overrides: Sequence[str] = (), storage: Path | None = None, needs_files: bool = True
) -> StudySettings:
    """Read and validate a study file in YAML; folders in it are relative to its own folder.

    `storage`, where given, replaces that of the file. With `needs_files=False` its images and weights may be elsewhere,
    as to read a record needs none of them.

    `overrides` are `field.path=value` words, the value in YAML, that replace what the file says; `*` in the path stands
    for each item of a list: `targets.*.regime={fraction: 0.2}`.

    Raises:
      StudyFileError: lists every fault with field, value, what is allowed and the nearest right word.
      UserError: the file is missing or no YAML, or an override is malformed.
    """
    fields = read_study_fields(path, overrides=overrides)
    if storage is not None:
        fields["storage"] = str(storage)
    return validate_study(fields, origin=str(path), base=path.parent, needs_files=needs_files)


def read_study_fields(path: Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read the fields of a study file without validating them, as its data may be on another machine.

    Overrides are as in `load_study_file`.

    Raises:
      UserError: the file is missing or no YAML, or an override is malformed.
    """
    if not path.is_file():
        raise UserError(f"a study file must exist, but {path} does not; write one, or start from `pretrieve demo`")
    num_bytes = path.stat().st_size
    if num_bytes > MAX_FILE_BYTES:
        raise UserError(f"a study file must have at most {MAX_FILE_BYTES:,} bytes, but {path} has {num_bytes:,}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be YAML, but: {error}") from error
    fields = load_yaml(text, place=str(path))
    if not isinstance(fields, dict):
        raise UserError(f"{path} must hold a mapping of settings, but holds {type(fields).__name__}")
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise UserError(f"--set must read field.path=value, but is {override!r}; for example --set grid.lr=[0.01]")
        if without_password(override) != override:
            raise UserError(
                f"--set must hold no password, as `ps` shows it to all users, but {without_password(override)!r} does; "
                "give the address without it, and name and password as MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in the environment or in ~/.mlflow/credentials; or the whole address as "
                "MLFLOW_TRACKING_URI, or in a study file that only you can read"
            )
        value = load_yaml(text, place=f"the value of --set {without_password(repr(override))}", may_comment=False)
        fields = _replaced(fields, name.split("."), value)
    return cast("dict[str, Any]", fields)


def validate_study(fields: Mapping[str, Any], *, origin: str, base: Path, needs_files: bool = True) -> StudySettings:
    """Validate the fields of a study, as a study file has them.

    `origin` names their source in the message; relative paths start from the folder `base`.

    Raises:
      StudyFileError: lists every fault.
    """
    try:
        settings = StudySettings.model_validate(dict(fields), context={"base": base, "needs_files": needs_files})
    except ValidationError as error:
        faults: list[Any] = list(error.errors())
        # Leave out faults that only follow from one inside them, such as a list emptied by its one wrong item.
        inner = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
        lines = [_shown(line) for fault in faults if fault["loc"] not in inner for line in _lines(fault)]
        raise StudyFileError(origin, lines) from None
    except UnicodeEncodeError as error:
        half = f"{error.object[error.start]!r} of {error.object[: MAX_FAULT // 4]!r}"
        fault = f"text must be of whole characters, but {half} is half of one; write it again"
        raise StudyFileError(origin, [_shown(fault)]) from None
    if "\0" in str(settings.storage):
        raise StudyFileError(origin, ["storage: must be a folder's path, but holds a NUL character"])
    return settings


def _shown(line: str) -> str:
    """Return a line that any terminal can print: half characters are escaped, the middle of a long line is cut."""
    line = without_password(line).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= MAX_FAULT else f"{line[: MAX_FAULT // 2]} … {line[-MAX_FAULT // 2 :]}"


def _lines(fault: Any) -> list[str]:
    """Describe a fault in one line; settings that check themselves give one line for each of theirs."""
    inner = (fault.get("ctx") or {}).get("error")
    if isinstance(inner, FieldFaultsError):
        field = ".".join(str(part) for part in fault["loc"])
        return [f"{field}.{line}" if field else line for line in inner.faults]
    return [_describe(fault)]


def _replaced(fields: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    head, *rest = path
    if head != "*":
        inner = fields if isinstance(fields, dict) else {}
        return {**inner, head: _replaced(inner.get(head), rest, value)}
    # A bare word has no fields, so setting one would lose the word.
    if not isinstance(fields, list) or not all(isinstance(item, dict) for item in fields):
        raise UserError(
            f"* in a --set must stand for the items of a list that have fields of their own, but stands for "
            f"{_shown(repr(fields))}; write items as mappings, such as {{registered: birds}} for birds"
        )
    return [_replaced(item, rest, value) for item in fields]


def _describe(fault: Any) -> str:
    """Turn one of pydantic's faults into field, value, rule and remedy."""
    location = fault["loc"]
    field = ".".join(str(part) for part in location) or "the study"
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_fields(location[:-1])
        allowed = f"; known here: {', '.join(known)}" if known else ""
        return f"{field}: no such field{allowed}.{nearest_word(str(location[-1]), known)}"
    if fault["type"] == "missing":
        return f"{field}: must be given"
    message = str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.replace("must be a valid tuple", "must be a list, such as [0.1]").replace("Tuple should", "must")
    value = fault["input"]
    shown = "" if isinstance(value, dict | list | BaseModel) else f" = {value!r}"
    nearest = ""
    if fault["type"] in ("string_type", "path_type") and not isinstance(value, dict | list | BaseModel):
        kind = "nothing (as all after a #)" if value is None else f"the {type(value).__name__} {value}"
        nearest = f"; YAML read {kind} here: put a name into quotes"
    if fault["type"] == "literal_error":
        words = [word.strip(" '") for word in fault["ctx"]["expected"].replace(" or ", ",").split(",")]
        nearest = "." + nearest_word(str(value), words)
    return f"{field}{shown}: {message}{nearest}"


def _known_fields(location: Sequence[Any]) -> list[str]:
    """List the fields of the settings class that a location leads to."""
    current: Any = StudySettings
    for part in location:
        if not isinstance(part, int):  # the number of a list's item
            current = _settings_class(_fields_of(current).get(part))
    return sorted(_fields_of(current))


def _fields_of(settings: Any) -> dict[str, Any]:
    if isinstance(settings, type) and issubclass(settings, BaseModel):
        return {name: field.annotation for name, field in settings.model_fields.items()}
    if isinstance(settings, type) and hasattr(settings, "__dataclass_fields__"):
        return typing.get_type_hints(settings)
    return {}


def _settings_class(annotation: Any) -> Any:
    """Look through Annotated, Optional and tuples for the settings class of a field."""
    inners = typing.get_args(annotation)
    if not inners:
        return annotation
    return next((found for found in map(_settings_class, inners) if _fields_of(found)), None)
