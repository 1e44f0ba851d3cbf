"""Content keys: what was made from the same things has the same key, so it is made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

STORE_VERSION = 2
"""Part of every key; raise it when files of the store are written in another form."""

KEY_LENGTH = 20
"""Hexadecimal digits of a key: 80 bits, so a billion artifacts collide with probability below 1e-6."""


def content_key(**parts: Any) -> str:
    """Hash everything that decides a result into one short key.

    Args:
      **parts: JSON-able values; mappings are ordered by name, floats written with full precision. Of settings give what
        differs from their defaults (`exclude_defaults`, `changed_fields`): a setting that is added later then leaves
        the keys as they were. So a default never changes; what should be another value is given by a recipe.

    Returns:
      KEY_LENGTH hexadecimal digits; equal parts give equal keys on every machine.

    Raises:
      TypeError: a part is not JSON-able, so its identity would depend on the process.
      ValueError: a part is NaN or infinite.

    >>> content_key(lr=0.1, seed=0) == content_key(seed=0, lr=0.1)
    True
    """
    whole = {"store": STORE_VERSION, **_without_signed_zeros(parts)}
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]


def changed_fields(settings: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, for a key.

    Raises:
      TypeError: `settings` is no dataclass.
    """
    return {
        each.name: getattr(settings, each.name)
        for each in fields(settings)
        if getattr(settings, each.name) != each.default
    }


def _without_signed_zeros(value: Any) -> Any:
    """Write −0.0 as 0.0: no result differs by the sign of a zero."""
    if isinstance(value, Mapping):
        return {name: _without_signed_zeros(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_signed_zeros(part) for part in value]
    return value + 0.0 if isinstance(value, float) else value


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Derive an independent seed for one purpose, so that no two draws of a study share a stream.

    Args:
      seed: the study's or the trial's seed.
      *purpose: what the draw is for, for example ("source_pass", 3).

    Returns:
      An integer in [0, 2**63), a seed for torch and NumPy generators.

    >>> derived_seed(0, "epoch", 1) != derived_seed(0, "epoch", 2)
    True
    """
    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
