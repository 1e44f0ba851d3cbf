"""Damaging the files that a study keeps: which files of each kind there are, and what may happen to them."""

from __future__ import annotations

import random
from pathlib import Path

DAMAGES = ("deleted", "emptied", "cut", "flipped")

KINDS = {
    "image sets": "cache/image_sets/*/*",
    "cards": "cache/cards/*.json",
    "backbone weights": "cache/backbones/*/weights.pt",
    "pre-training": "cache/backbones/pretrained/*.json",
    "features": "cache/features/*/*",
    "clusters": "cache/clusters/*.npz",
    "distances": "cache/distances/*.json",
    "selections": "cache/selections/*.npz",
    "audits": "cache/audits/*.json",
    "images": "cache/images/*/*/*.npy",
    "scored images": "cache/scored_images/*.json",
    "image cards": "cache/images/**/card.json",
    "relationships": "cache/relationships/*.npy",
    "packings": "cache/packings/*.json",
    "checkpoints": "*/checkpoints/*.pt",
    "refits": "*/refits/*.pt",
    "predictions": "*/predictions/*.arrows",
    "spools": "*/spool/*.jsonl",
}
"""Files that a later run reads, by a pattern below the storage; the study's own folder is any but the cache."""


def files_of(storage: Path, kind: str) -> list[Path]:
    """List the files of a kind, in an order that does not depend on the disk."""
    return sorted(path for path in storage.glob(KINDS[kind]) if path.is_file() and not path.name.startswith("."))


def damage(path: Path, how: str, rng: random.Random) -> None:
    """Do to a file what disks, networks and people do."""
    content = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
        return
    if how == "emptied":
        content.clear()
    elif how == "cut":
        del content[len(content) // 2 :]
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
