"""Records as JSON with their name and version, so that a file of another version is refused and never misread."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from pretrieve.errors import UserError

REMEDY = "run the study again in a fresh folder (or under another name)"
MAX_VALUE_LENGTH = 80


class Record(Protocol):
    """A dataclass with a file of its own; VERSION is raised when older files can no longer be read."""

    RECORD: ClassVar[str]
    VERSION: ClassVar[int]


RecordT = TypeVar("RecordT", bound=Record)


def to_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON values, with its name and version."""
    values = _adapter(type(record)).dump_python(record, mode="json", warnings=False)
    return {"record": record.RECORD, "version": record.VERSION, **values}


def from_json(cls: type[RecordT], data: Any, origin: str) -> RecordT:
    """Read what `to_json` wrote; `origin` names the file in an error.

    Raises:
      UserError: another version wrote it, it is another record, or a field is missing or of another type.
    """
    check_version(cls, data, origin)
    if not isinstance(data, dict) or data.get("record") != cls.RECORD:
        raise UserError(f"{origin} must hold the record '{cls.RECORD}', but does not; {REMEDY}")
    try:
        # As text, because strict validation of Python values accepts no list for a tuple and no text for a number key.
        return cast("RecordT", _adapter(cls).validate_json(json.dumps(data), strict=True))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join(map(str, fault["loc"])) or "the record"
        value = f"{fault['input']!r:.{MAX_VALUE_LENGTH}}"
        raise UserError(
            f"{origin} must be as this version of Pretrieve writes it, but {field} is {value}: {fault['msg']}; {REMEDY}"
        ) from error


def check_version(cls: type[Record], data: Any, origin: str) -> None:
    """Raise a UserError if another version wrote `data`."""
    if not isinstance(data, dict) or data.get("version") == cls.VERSION:
        return
    if "version" in data or "record" in data:
        writer = f"another version (the record's is {data.get('version')!r}, and must be {cls.VERSION})"
    else:
        writer = "version 0.1"
    raise UserError(f"{origin} was written by {writer}, whose files are not read; {REMEDY}")


@cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
