"""The artifacts that each stage of a study keeps in the store, listed in a file: counting them needs no images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.stages import walk_order
from pretrieve.stages.context import Context

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

INVENTORY_FILE = "artifacts.json"


@dataclass(frozen=True)
class StageInventory:
    """How many artifacts (files and folders) the study needs of a stage, and how many of them are in the store."""

    stage: str
    num_artifacts: int
    num_there: int


def write_inventory(context: Context) -> None:
    """Write into the study's folder where each stage's artifacts lie, relative to the store."""
    stages, root = [stage() for stage in walk_order()], context.store.root
    kept: dict[str, list[str]] = {}
    for walk in context.top.repeats()[: context.repeat + 1]:  # those that have their inputs
        for part in (walk, *walk.folds()):
            for stage in stages:
                is_own = part.above is None or not stage.is_shared
                if is_own and stage.applies(part) and (found := stage.artifacts(part)):
                    names = [path.relative_to(root).as_posix() for path in found]
                    kept[stage.name] = list(dict.fromkeys([*kept.get(stage.name, []), *names]))
    write_json(context.settings.folder / INVENTORY_FILE, kept)


def read_inventory(settings: StudySettings) -> list[StageInventory]:
    """Count the artifacts of each stage that are in the store; an empty list where no inventory was written yet."""
    path: Path = settings.folder / INVENTORY_FILE
    if not path.exists():
        return []
    kept: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        StageInventory(name, len(paths), sum((settings.cache / path).exists() for path in paths))
        for name, paths in kept.items()
    ]
