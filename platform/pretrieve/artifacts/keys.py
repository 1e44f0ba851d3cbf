"""Content keys: artifacts made from the same inputs have the same key, so each is made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

STORE_VERSION = 2
"""Part of every key; raise it when the format of the store's files changes."""

KEY_LENGTH = 20
"""Hexadecimal digits of a key: 80 bits, so a billion artifacts collide with probability below 1e-6."""


def content_key(**parts: Any) -> str:
    """Hash everything that decides a result into KEY_LENGTH hexadecimal digits, the same on every machine.

    Args:
      **parts: JSON values; mappings are sorted by name, floats have full precision. Of settings, pass only the values
        that differ from their defaults (`exclude_defaults`, `changed_fields`), so that a new setting does not change
        old keys. For the same reason a default never changes; a recipe gives another value instead.

    Raises:
      TypeError: a part is not a JSON value, so its identity would depend on the process.
      ValueError: a part is NaN or infinite.

    >>> content_key(lr=0.1, seed=0) == content_key(seed=0, lr=0.1)
    True
    """
    whole = {"store": STORE_VERSION, **_without_signed_zeros(parts)}
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]


def changed_fields(settings: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, for a key; TypeError for another object."""
    values = {each.name: (getattr(settings, each.name), each.default) for each in fields(settings)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _without_signed_zeros(value: Any) -> Any:
    """Replace −0.0 by 0.0: the sign of a zero changes no result."""
    if isinstance(value, Mapping):
        return {name: _without_signed_zeros(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_signed_zeros(part) for part in value]
    return value + 0.0 if isinstance(value, float) else value


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Derive an independent seed in [0, 2**63) for one purpose, so that no two draws of a study share a stream.

    A purpose is, for example, ("source_pass", 3). The seed fits torch and NumPy generators.

    >>> derived_seed(0, "epoch", 1) != derived_seed(0, "epoch", 2)
    True
    """
    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
