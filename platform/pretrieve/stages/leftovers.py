"""Removes from a study's folder what is not needed once its trials have ended."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path


def remove_leftovers(folder: Path, unfinished: Collection[str]) -> str | None:
    """Remove checkpoints that no planned trial resumes from, half-written files and Tune's own folders.

    Only the study's single driver may call it, while no trial runs. Results, weights of refits and spools stay, and
    so do the checkpoints of `unfinished`: the keys of planned trials and refits without a result.

    Returns:
      A sentence that names what was removed; None where nothing was.
    """
    checkpoints = [path for path in (folder / "checkpoints").glob("*.pt") if path.stem not in unfinished]
    halves = [path for kind in ("checkpoints", "refits") for path in (folder / kind).glob(".*.tmp")]
    halves += [path for kind in ("alive", "stack") for path in (folder / "spool").glob(f"*.{kind}")]
    scratch = [path for path in folder.glob("tune-*") if path.is_dir() and not path.is_symlink()]
    for path in (*checkpoints, *halves):
        path.unlink(missing_ok=True)
    for path in scratch:
        shutil.rmtree(path, ignore_errors=True)
    counts = {"checkpoints": len(checkpoints), "half-written files": len(halves), "scratch folders": len(scratch)}
    removed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"removed what trials of earlier runs had left: {removed}" if removed else None
