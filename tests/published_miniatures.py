"""Miniatures of the published data sets: the official layouts and formats, with a few tiny images.

`write_miniature(name, root)` writes what the publisher's archives unpack to below `root`, and says what a reader must
find in it. Every image has a colour of its own, so that two readers can be compared by what they decode.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

Listed = list[tuple[str, int]]


@dataclass(frozen=True)
class Miniature:
    """What is in a miniature.

    Attributes:
      class_names: in the order of the labels.
      splits: images of each split, relative to the root, with their labels from 0, in the order of the lists. Where
        the protocol draws the split, all images are in `all`.
      metric: how the paper scores the set.
      lists: the list files that the reader needs, relative to the root.
    """

    class_names: tuple[str, ...]
    splits: dict[str, Listed]
    metric: str
    lists: tuple[str, ...] = ()


def write_miniature(name: str, root: Path) -> Miniature:
    """Write the miniature of a published set below a folder, which is made."""
    root.mkdir(parents=True, exist_ok=True)
    miniature = _WRITERS[name](root)
    images = [path for listed in miniature.splits.values() for path, _ in listed]
    for number, path in enumerate(images):
        write_image(root / path, number)
    if name == "caltech101":
        _pack_within_archive(root)
    return miniature


def write_image(path: Path, number: int) -> None:
    """Write an 8 × 8 JPEG of one colour, another for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((8, 8, 3), (number % 13 * 19, number // 13 % 13 * 19, number // 169 * 19), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=95, subsampling=0)


def cells(values: Sequence[object], *, column: bool = True) -> np.ndarray:
    """Make what MATLAB calls a cell array, a column or a row."""
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array if column else array.T


def _write_text(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_dogs(root: Path) -> Miniature:
    breeds = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02105505-komondor")
    splits = {
        "train": [(breeds[k], k, 10 * k + n) for k in range(3) for n in range(3)],
        "test": [(breeds[k], k, 500 + 10 * k + n) for k in range(3) for n in range(2)],
    }
    listed: dict[str, Listed] = {}
    for split, rows in splits.items():
        files = [f"{breed}/{breed.partition('-')[0]}_{number}.jpg" for breed, _, number in rows]
        labels = np.array([[label + 1] for _, label, _ in rows], dtype=np.uint8)
        annotations = cells([file.removesuffix(".jpg") for file in files])
        contents = {"file_list": cells(files), "annotation_list": annotations, "labels": labels}
        savemat(root / f"{split}_list.mat", contents, do_compression=True)
        listed[split] = [(f"Images/{file}", row[1]) for file, row in zip(files, rows, strict=True)]
    return Miniature(breeds, listed, "top1", ("train_list.mat", "test_list.mat"))


def _write_cars(root: Path) -> Miniature:
    names = ("AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012")
    (root / "devkit").mkdir()
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": cells(names, column=False)})
    labels = {"train": [2, 0, 1, 0, 2], "test": [1, 1, 0, 2]}
    origins = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for split, origin in origins.items():
        savemat(root / origin, {"annotations": car_annotations([label + 1 for label in labels[split]])})
    listed = {
        split: [(f"cars_{split}/{n + 1:05d}.jpg", label) for n, label in enumerate(labels[split])] for split in labels
    }
    return Miniature(names, listed, "top1", ("devkit/cars_meta.mat", *origins.values()))


def car_annotations(labels: Sequence[int]) -> np.ndarray:
    """Make the structure array of Stanford Cars: a box, a class from 1 and a file name for each image."""
    box = [(f"bbox_{corner}", object) for corner in ("x1", "y1", "x2", "y2")]
    rows = [(1, 2, 30, 40, np.uint8(label), f"{n + 1:05d}.jpg") for n, label in enumerate(labels)]
    return np.array([rows], dtype=[*box, ("class", object), ("fname", object)])


def _write_cub(root: Path) -> Miniature:
    folder = root / "CUB_200_2011"
    names = ("Black_footed_Albatross", "Laysan_Albatross", "Sooty_Albatross")
    folders = [f"{k + 1:03d}.{bird}" for k, bird in enumerate(names)]
    images = [(f"{folders[k]}/{names[k]}_{n:04d}_{796000 + n}.jpg", k, n % 2) for k in range(3) for n in range(1, 6)]
    _write_text(folder / "classes.txt", [f"{k + 1} {each}" for k, each in enumerate(folders)])
    _write_text(folder / "images.txt", [f"{i + 1} {file}" for i, (file, _, _) in enumerate(images)])
    _write_text(folder / "image_class_labels.txt", [f"{i + 1} {label + 1}" for i, (_, label, _) in enumerate(images)])
    _write_text(folder / "train_test_split.txt", [f"{i + 1} {is_train}" for i, (_, _, is_train) in enumerate(images)])
    listed = {
        split: [(f"CUB_200_2011/images/{file}", label) for file, label, is_train in images if is_train == flag]
        for split, flag in (("train", 1), ("test", 0))
    }
    files = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt")
    return Miniature(names, listed, "top1", tuple(f"CUB_200_2011/{file}" for file in files))


def _write_pets(root: Path) -> Miniature:
    names = ("Abyssinian", "american_bulldog", "Egyptian_Mau")
    species = (1, 2, 1)
    numbers = {"train": (100, 101, 102), "test": (1, 10)}
    files = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}
    listed: dict[str, Listed] = {}
    for split, file in files.items():
        rows = [(f"{names[k]}_{number}", k) for k in range(3) for number in numbers[split]]
        _write_text(root / file, [f"{image} {k + 1} {species[k]} 1" for image, k in rows])
        listed[split] = [(f"images/{image}.jpg", k) for image, k in rows]
    return Miniature(names, listed, "mean_per_class", tuple(files.values()))


def _write_sun397(root: Path) -> Miniature:
    folders = ("/a/abbey", "/a/apartment_building/outdoor", "/y/youth_hostel")
    files = {"train": "Training_01.txt", "test": "Testing_01.txt"}
    _write_text(root / "ClassName.txt", folders)
    listed: dict[str, Listed] = {}
    for split, file in files.items():
        rows = [(f"{folder}/sun_{split}{n}.jpg", k) for k, folder in enumerate(folders) for n in range(3)]
        _write_text(root / file, [image for image, _ in rows])
        listed[split] = [(f"SUN397{image}", k) for image, k in rows]
    _write_text(root / "SUN397" / "ClassName.txt", folders)  # the archive of the images has a copy
    names = ("abbey", "apartment_building/outdoor", "youth_hostel")
    return Miniature(names, listed, "top1", ("ClassName.txt", *files.values()))


def _write_aircraft(root: Path) -> Miniature:
    names = ("707-320", "Challenger 600", "F/A-18")
    data = "fgvc-aircraft-2013b/data"
    _write_text(root / data / "variants.txt", names)
    listed: dict[str, Listed] = {}
    for place, split in enumerate(("train", "val", "test")):
        rows = [(f"{1025794 + 100 * place + 10 * n + k:07d}", k) for n in range(2) for k in range(3)]
        _write_text(root / data / f"images_variant_{split}.txt", [f"{image} {names[k]}" for image, k in rows])
        listed[split] = [(f"{data}/images/{image}.jpg", k) for image, k in rows]
    files = ("variants.txt", *(f"images_variant_{split}.txt" for split in listed))
    return Miniature(names, listed, "mean_per_class", tuple(f"{data}/{file}" for file in files))


def _write_dtd(root: Path) -> Miniature:
    names = ("banded", "blotchy", "zigzagged")
    listed: dict[str, Listed] = {}
    for place, split in enumerate(("train", "val", "test")):
        rows = [(f"{names[k]}/{names[k]}_{10 * place + n:04d}.jpg", k) for k in range(3) for n in range(2)]
        _write_text(root / "dtd" / "labels" / f"{split}1.txt", [image for image, _ in rows])
        _write_text(root / "dtd" / "labels" / f"{split}2.txt", [image for image, _ in reversed(rows)])
        listed[split] = [(f"dtd/images/{image}", k) for image, k in rows]
    return Miniature(names, listed, "top1", tuple(f"dtd/labels/{split}1.txt" for split in listed))


def _write_caltech101(root: Path) -> Miniature:
    # Capitals come first in the order of names; one class has two images more than are drawn, one is too small.
    counts = {"Faces": 33, "accordion": 32, "yin_yang": 4}
    folder = "101_ObjectCategories"
    listed = [
        (f"{folder}/{each}/image_{n + 1:04d}.jpg", k) for k, each in enumerate(counts) for n in range(counts[each])
    ]
    for number, clutter in enumerate(("image_0001.jpg", "image_0002.jpg")):
        write_image(root / folder / "BACKGROUND_Google" / clutter, 2000 + number)
    (root / folder / "BACKGROUND_Google" / "tmp").touch()
    return Miniature(tuple(counts), {"all": listed}, "mean_per_class")


def _pack_within_archive(root: Path) -> None:
    """Write what Caltech-101's archive holds: another archive."""
    (root / "caltech-101").mkdir()
    with tarfile.open(root / "caltech-101" / "101_ObjectCategories.tar.gz", "w:gz") as archive:
        archive.add(root / "101_ObjectCategories", "101_ObjectCategories")


_WRITERS: dict[str, Callable[[Path], Miniature]] = {
    "stanford_dogs": _write_dogs,
    "stanford_cars": _write_cars,
    "cub": _write_cub,
    "pets": _write_pets,
    "sun397": _write_sun397,
    "aircraft": _write_aircraft,
    "dtd": _write_dtd,
    "caltech101": _write_caltech101,
}
