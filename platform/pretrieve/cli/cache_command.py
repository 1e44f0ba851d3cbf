"""`pretrieve cache`: list and prune the caches that studies share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer, answering_json
from pretrieve.cli.terminal import make_table
from pretrieve.errors import UserError
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.artifacts.store import CacheItem

BYTES_PER_GB = 1e9

cache = typer.Typer(
    no_args_is_help=True,
    help="List and prune what studies share: features, decoded images, selections, … What is removed is made again.",
)

Folder = Annotated[Path | None, typer.Option(help="Folder of studies and caches. Default: `pretrieve-runs` here.")]


@cache.command("list")
@answering_json
def list_(storage: Folder = None) -> Answer:
    """Show what each cache holds, how much disk it takes and when it was last used.

    `pretrieve cache list --storage /shared/runs`
    """
    from pretrieve.artifacts.store import cache_items

    folder = _storage(storage)
    items = cache_items(folder / "cache")
    _print(items, f"Caches of {folder}")
    return {"entries": list(map(asdict, items))}


@cache.command()
@answering_json
def prune(
    storage: Folder = None,
    unused_days: Annotated[
        float | None, typer.Option(min=0.0, help="Remove what was not used for so many days.")
    ] = None,
    max_gb: Annotated[
        float | None, typer.Option(min=0.0, help="Remove the least recently used until all caches take at most this.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this cache, such as `images`; may be given again. Default: all but "
            "`backbones`, whose weights a GPU would not make again to the bit."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
) -> Answer:
    """Free disk space: remove from the caches what was not used for long, what is too much, and unfinished files.

    `pretrieve cache prune --unused-days 30`, `pretrieve cache prune --max-gb 200 --kind images --dry-run`

    Results, weights of refits and MLflow's record are no part of the caches. While a study of the storage runs, nothing
    is removed.
    """
    from pretrieve.artifacts.store import cache_items, removable_items, remove_items

    if unused_days is None and max_gb is None:
        raise UserError("pruning needs a rule of what may go: give --unused-days, --max-gb or both")
    folder = _storage(storage)
    max_bytes = None if max_gb is None else round(max_gb * BYTES_PER_GB)
    items = cache_items(folder / "cache")
    going = removable_items(items, now_s=time.time(), kinds=kind or (), unused_days=unused_days, max_bytes=max_bytes)
    if not dry_run:
        remove_items(folder, going)
    _print(going, "Would be removed" if dry_run else "Removed")
    left_gb = _gb(items) - _gb(going)
    if max_gb is not None and left_gb > max_gb:
        echo(f"{left_gb:.3g} GB stay, more than {max_gb:g}: they are of kinds that were not named")
    return {"removed": list(map(asdict, going)), "is_dry_run": dry_run}


def _storage(storage: Path | None) -> Path:
    from pretrieve.study.settings import DEFAULT_STORAGE

    folder = (storage or DEFAULT_STORAGE).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(
            f"storage must be a folder where studies ran, but {folder} does not exist; name it by --storage"
        )
    return folder


def _print(items: Sequence[CacheItem], title: str) -> None:
    headings = ("Cache", ">Entries", ">GB", ">Last used, oldest entry", ">Last used, newest entry")
    table = make_table(headings, title=title, title_justify="left")
    for kind in sorted({item.kind for item in items}):
        chosen = [item for item in items if item.kind == kind]
        days = [time.strftime("%Y-%m-%d", time.localtime(item.used_s)) for item in chosen]
        table.add_row(kind, str(len(chosen)), f"{_gb(chosen):.3f}", min(days), max(days))
    table.add_section()
    table.add_row("all", str(len(items)), f"{_gb(items):.3f}")
    make_console().print(table)


def _gb(items: Sequence[CacheItem]) -> float:
    return sum(item.num_bytes for item in items) / BYTES_PER_GB
