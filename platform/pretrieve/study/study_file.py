"""Study files: YAML, validated whole, with all faults in one message."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pretrieve.errors import StudyFileError, UserError, nearest_word
from pretrieve.study.settings import FieldFaultsError, StudySettings


def load_study_file(path: Path, *, overrides: Sequence[str] = ()) -> StudySettings:
    """Read and validate a study file.

    Args:
      path: a YAML file; folders in it are relative to its own folder.
      overrides: `field.path=value` words, the value in YAML, that replace what the file says.

    Returns:
      The validated settings.

    Raises:
      StudyFileError: lists every fault with field, value, what is allowed and the nearest right word.
      UserError: the file is missing or no YAML, or an override is malformed.
    """
    if not path.is_file():
        raise UserError(f"a study file must exist, but {path} does not; write one, or start from `pretrieve demo`")
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} must be YAML, but: {error}") from error
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold a mapping of settings, but holds {type(loaded).__name__}")
    return validate_study(_with_overrides(loaded, overrides), origin=str(path), base=path.parent)


def validate_study(fields: Mapping[str, Any], *, origin: str, base: Path) -> StudySettings:
    """Validate the fields of a study.

    Args:
      fields: as a study file has them.
      origin: where they come from, named in the message.
      base: folder that relative folders start from.

    Raises:
      StudyFileError: lists every fault.
    """
    try:
        return StudySettings.model_validate(dict(fields), context={"base": base})
    except ValidationError as error:
        raise StudyFileError(origin, [line for fault in _causes(error) for line in _lines(fault)]) from None


def _lines(fault: Any) -> list[str]:
    """Describe a fault; settings that check themselves tell several, a line each."""
    inner = (fault.get("ctx") or {}).get("error")
    if isinstance(inner, FieldFaultsError):
        field = ".".join(str(part) for part in fault["loc"])
        return [f"{field}.{line}" if field else line for line in inner.faults]
    return [_describe(fault)]


def _causes(error: ValidationError) -> list[Any]:
    """Leave out faults that only follow from one inside them, such as a list left empty by its one wrong item."""
    faults: list[Any] = list(error.errors())
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if not any(len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"] for place in places)
    ]


def _with_overrides(fields: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise UserError(f"--set must read field.path=value, but is {override!r}; for example --set grid.lr=[0.01]")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"the value of --set {override!r} must be YAML, but: {error}") from error
        fields = _replaced(fields, name.split("."), value)
    return fields


def _replaced(fields: Any, path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    inner = dict(fields) if isinstance(fields, dict) else {}
    inner[head] = _replaced(inner.get(head), rest, value) if rest else value
    return inner


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
    return f"{field}{shown}: {message}{_nearest_allowed(fault)}"


def _nearest_allowed(fault: Any) -> str:
    if fault["type"] != "literal_error":
        return ""
    words = [word.strip(" '") for word in fault["ctx"]["expected"].replace(" or ", ",").split(",")]
    return "." + nearest_word(str(fault["input"]), words)


def _known_fields(location: Sequence[Any]) -> list[str]:
    """List the fields of the settings class that a location leads to."""
    current: Any = StudySettings
    for part in location:
        fields = _fields_of(current)
        if isinstance(part, int):
            continue
        if part not in fields:
            return []
        current = _settings_class(fields[part])
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
    for inner in inners:
        found = _settings_class(inner)
        if _fields_of(found):
            return found
    return None
