"""Names of ImageNet's classes, "n01440764 tench", from the files that lie beside the data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

WNID = re.compile(r"n\d{8}")

_WNIDS_OF_ILSVRC = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
"""SHA-256 of the 1000 WordNet ids of ILSVRC 2012, sorted, one a line."""


def names_of_classes(wnids: Sequence[str], folders: Iterable[Path]) -> list[str]:
    """Name classes by WordNet id and first synonym.

    Names come from `LOC_synset_mapping.txt`, `imagenet_class_index.json` or `words.txt` where one lies in a folder; for
    exactly the 1000 classes of ILSVRC else from torchvision. A class that none of them names keeps its bare id.

    Args:
      wnids: K WordNet ids, sorted.
      folders: where to look, the nearest first.
    """
    known = find_names(folders)
    if known is None and hashlib.sha256("\n".join(wnids).encode()).hexdigest() == _WNIDS_OF_ILSVRC:
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        known = dict(zip(wnids, _IMAGENET_CATEGORIES, strict=True))
    return [f"{wnid} {known[wnid]}" if known and wnid in known else wnid for wnid in wnids]


def find_names(folders: Iterable[Path]) -> dict[str, str] | None:
    """Read the first list of names in some folders: the first synonym of each WordNet id; None where there is none."""
    for folder in folders:
        for file, read in (
            ("LOC_synset_mapping.txt", _read_lines),
            ("imagenet_class_index.json", _read_class_index),
            ("words.txt", _read_lines),
        ):
            if (folder / file).is_file():
                return read(folder / file)
    return None


def _read_lines(file: Path) -> dict[str, str]:
    names = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        wnid, _, synonyms = line.replace("\t", " ", 1).partition(" ")
        if WNID.fullmatch(wnid) and synonyms.strip():
            names[wnid] = synonyms.split(",")[0].strip()
    return names


def _read_class_index(file: Path) -> dict[str, str]:
    pairs = json.loads(file.read_text(encoding="utf-8")).values()
    return {wnid: name.replace("_", " ") for wnid, name in pairs}
