"""Read ImageNet as its publishers lay it out: folders of WordNet ids, or Parquet shards."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pretrieve.data.decode import IMAGE_SUFFIXES
from pretrieve.data.folder_walk import visible_files, visible_folders
from pretrieve.data.forms.parquet_tables import find_tables, load_parquet
from pretrieve.data.forms.rows import GivenRows
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import ImageSetError

WNID = re.compile(r"n\d{8}")

_WNIDS_OF_ILSVRC = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
"""SHA-256 of the 1000 WordNet ids of ILSVRC 2012, sorted, one a line."""

_INNER_FOLDERS = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC")
_SOLUTION = "LOC_val_solution.csv"
_NAME_FOLDERS_ABOVE = 4


def load_imagenet(
    root: str | Path,
    *,
    name: str = "imagenet",
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Read ImageNet, or any part of its classes, from folders of WordNet ids or from Parquet shards.

    Classes are in the order of their WordNet ids, named "n01440764 tench" where a list of names is known (see
    `names_of_classes`). Images stay where they are.

    Args:
      root: holds `train/<wnid>/*.JPEG` or `ILSVRC/Data/CLS-LOC/train/…`, or is the folder of WordNet ids itself; or
        holds Parquet files `train-…` and `validation-…` whose label i is the i-th WordNet id in sorted order.
        Validation images are read from `val/<wnid>/`, or from a flat `val/` where LOC_val_solution.csv lies beside the
        data; only classes that train has are kept. The published test images have no labels and are left out.
      name: the set's name.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test.
      seed: decides which images are held out.

    Raises:
      ImageSetError: there is neither layout, or a folder of train is not a WordNet id or holds no image.
    """
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        raise ImageSetError(f"the folder of {name!r} must exist, but {folder} does not; check the path")
    inner_folders = [folder / inner / "train" for inner in _INNER_FOLDERS if (folder / inner / "train").is_dir()]
    train = next((candidate for candidate in (*inner_folders, folder) if _has_wnids(candidate)), None)
    if train is None:
        return _load_shards(folder, name, metric, test_fraction, seed)
    wnids = visible_folders(train)
    wrong = [wnid for wnid in wnids if not WNID.fullmatch(wnid)]
    if wrong:
        raise ImageSetError(
            f"folders of {train} must be WordNet ids such as n01440764, but {len(wrong)} are not: "
            f"{', '.join(wrong[:5])}; move them away"
        )
    if archives := sorted(path.name for path in train.glob("n*.tar")):
        raise ImageSetError(
            f"archives of {train} must be unpacked, each into a folder of its name, but {len(archives)} are not: "
            f"{', '.join(archives[:5])}; unpack them, and remove them or move them away"
        )
    files = [(wnid, "train", path) for wnid in wnids for path in sorted(_images_below(train / wnid))]
    files += [(wnid, "val", path) for wnid, path in _validation_files(train, wnids)]
    rows = GivenRows(f"{train} of {name!r}")
    rows.begin(lambda row: files[row][2])
    for wnid, split, path in files:
        with rows.row():
            rows.add(split, wnid, path=path)
    names = dict(zip(wnids, names_of_classes(wnids, _folders_above(train)), strict=True))
    return rows.to_image_set(name, names, metric, test_fraction, seed, files_exist=True)


def _has_wnids(folder: Path) -> bool:
    return any(WNID.fullmatch(child.name) and child.is_dir() for child in folder.iterdir())


def _images_below(folder: str | Path) -> Iterator[str]:
    # Not Path: 1.28 million of them take a minute, text takes seconds.
    return (path for path in visible_files(folder) if "." + path.rpartition(".")[2].lower() in IMAGE_SUFFIXES)


def _validation_files(train: Path, wnids: Sequence[str]) -> Iterator[tuple[str, str]]:
    folder = train.parent / "val"
    if train.name != "train" or not folder.is_dir():
        return
    if _has_wnids(folder):
        for wnid in wnids:
            if (folder / wnid).is_dir():
                yield from ((wnid, path) for path in sorted(_images_below(folder / wnid)))
        return
    solution = next((above / _SOLUTION for above in _folders_above(train) if (above / _SOLUTION).is_file()), None)
    if solution is None:
        return
    with (
        _readable(solution, "lines with an ImageId and a PredictionString"),
        solution.open(encoding="utf-8-sig", newline="") as lines,
    ):
        wnid_of = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(lines)}
    known = set(wnids)
    for path in sorted(_images_below(folder)):
        stem = Path(path).stem
        if stem not in wnid_of:
            raise ImageSetError(
                f"{solution} must have a line for each image of {folder}, but has none for {path}; fetch it again"
            )
        if wnid_of[stem] in known:
            yield wnid_of[stem], path


def _folders_above(train: Path) -> list[Path]:
    return [train, *list(train.parents)[:_NAME_FOLDERS_ABOVE]]


def _load_shards(root: Path, name: str, metric: str, test_fraction: float | None, seed: int) -> ImageSet:
    if not any(root.rglob("*.parquet")):
        raise ImageSetError(
            f"{root} of {name!r} must hold train/<wnid>/ folders, or be a folder of them, or hold Parquet files, but "
            "does not; unpack ILSVRC2012_img_train.tar and the archives in it"
        )
    splits: dict[str, list[str | Path]] = {}
    for path, split in find_tables(root, name):
        if split != "test":
            splits.setdefault(split or "train", []).append(path)
    names = find_names((root, root.parent))
    loaded = load_parquet(splits, name=name, metric=metric, test_fraction=test_fraction, seed=seed)
    if names is None or len(names) != loaded.num_classes:
        return loaded
    class_names = [f"{wnid} {names[wnid]}" for wnid in sorted(names)]
    return replace(loaded, class_names=tuple(class_names))


def names_of_classes(wnids: Sequence[str], folders: Iterable[Path]) -> list[str]:
    """Name K classes, given as sorted WordNet ids, by id and first synonym.

    Names come from `LOC_synset_mapping.txt`, `imagenet_class_index.json` or `words.txt` in the first folder that has
    one; otherwise, for exactly the 1000 classes of ILSVRC, from torchvision. A class without a name keeps its bare id.
    """
    known = find_names(folders)
    if known is None and hashlib.sha256("\n".join(wnids).encode()).hexdigest() == _WNIDS_OF_ILSVRC:
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        known = dict(zip(wnids, _IMAGENET_CATEGORIES, strict=True))
    return [f"{wnid} {known[wnid]}" if known and wnid in known else wnid for wnid in wnids]


@contextmanager
def _readable(file: Path, content: str) -> Iterator[None]:
    """Raise an ImageSetError where a list that comes with ImageNet does not hold what it should."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ImageSetError(
            f"{file} must hold {content}, but cannot be read so: {type(error).__name__}: {error}; fetch it again, or "
            "move it away"
        ) from error


def find_names(folders: Iterable[Path]) -> dict[str, str] | None:
    """Read the first synonym of each WordNet id from the first list in some folders; None where there is no list."""
    lists = ("LOC_synset_mapping.txt", "imagenet_class_index.json", "words.txt")
    file = next((folder / file for folder in folders for file in lists if (folder / file).is_file()), None)
    if file is None:
        return None
    with _readable(file, "UTF-8 text: WordNet ids and their names"):
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json":
            return {wnid: name.replace("_", " ") for wnid, name in json.loads(text).values()}
    names = {}
    for line in text.splitlines():
        wnid, _, synonyms = line.replace("\t", " ", 1).partition(" ")
        if WNID.fullmatch(wnid) and synonyms.strip():
            names[wnid] = synonyms.split(",")[0].strip()
    return names
