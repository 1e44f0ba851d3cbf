"""The base of all settings: typed, frozen, and refusing what they do not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsModel(BaseModel):
    """Base of every settings class; an unknown field is an error, a built object does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)
