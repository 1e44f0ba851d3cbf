"""What a study names before its first trial, its contrasts and its looks, and the looks that were taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pretrieve.errors import UserError
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings


def name_before_the_first_trial(settings: StudySettings, ledger: Ledger) -> None:
    """Record the contrasts of a study, and the draws of one that is looked at once, where none are on record.

    Contrasts that are named later are exploratory. One look has the whole level, so neither its time nor that it is the
    only one may follow from what was seen.

    Raises:
      UserError: the study is looked at once, and its settings differ from those before its first trial.
    """
    tags, repeats = ledger.study_tags(), settings.repeats
    if schema.TAG_CONTRASTS not in tags:
        named = {schema.TAG_CONTRASTS: json.dumps(settings.named_contrasts)}
        one_look = {schema.TAG_ONE_LOOK: str(repeats.draws)} if repeats.looks == "one" else {}
        ledger.record_study(metrics={}, tags=named | one_look, artifacts=[])
        return
    promised = tags.get(schema.TAG_ONE_LOOK, "")
    if repeats.looks == "one" and promised != str(repeats.draws):
        began = f"repeats.draws {promised} and one look" if promised else "repeats.looks 'many'"
        raise UserError(
            f"a study that is looked at once must say so, and with how many draws, before its first trial, but study "
            f"{settings.name!r} began with {began} and now has repeats.draws {repeats.draws}; give what it began with, "
            "or another name"
        )
    if repeats.looks == "many" and promised and looks_of(tags.get(schema.TAG_LOOKS)):
        raise UserError(
            f"a study that was looked at once has no level left for another look, but study {settings.name!r} had its "
            f"verdict at {promised} repeats, and repeats.looks is now 'many'; set repeats.looks to 'one' and "
            f"repeats.draws to {promised}, or give the study another name"
        )
    if repeats.looks == "many" and promised:  # no verdict was given yet
        ledger.record_study(metrics={}, tags={schema.TAG_ONE_LOOK: ""}, artifacts=[])


def looks_of(tag: str | None) -> list[int]:
    """Read the numbers of repeats that a study was looked at with from its tag."""
    looks: list[int] = json.loads(tag or "[]")
    return looks


def take_look(ledger: Ledger, num_repeats: int) -> list[int]:
    """Add a look to those on record, and return the looks at up to so many repeats."""
    on_record = sorted({*looks_of(ledger.study_tags().get(schema.TAG_LOOKS)), num_repeats})
    ledger.record_study(metrics={}, tags={schema.TAG_LOOKS: json.dumps(on_record)}, artifacts=[])
    return [look for look in on_record if look <= num_repeats]
