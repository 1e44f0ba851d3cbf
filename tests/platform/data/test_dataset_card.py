"""The card of a data set: counts, broken images, copies, and the sentences that a user must read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.dataset_card import DatasetCard, make_card
from pretrieve.data.decode import decode_whole
from pretrieve.data.folder_tree import load_folder_tree, passed_over_files
from pretrieve.errors import ImageSetError

RNG = np.random.default_rng(0)


def noise(path: Path, *, shape: tuple[int, int] = (20, 20), mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A target with a little of everything that goes wrong."""
    root = tmp_path / "animals"
    for number in range(12):
        noise(root / f"train/ant/{number}.png")
    bee = noise(root / "train/bee/0.jpg", shape=(64, 160))
    for name in ("ant", "bee"):
        noise(root / f"test/{name}/0.png", mode="L")
    shutil.copy(root / "train/ant/0.png", root / "train/ant/again.png")
    shutil.copy(root / "train/ant/0.png", root / "test/ant/copy.png")
    Image.open(root / "train/ant/1.png").save(root / "test/ant/pixels.bmp")
    (root / "test/ant/empty.png").write_bytes(b"")
    content = bee.read_bytes()
    (root / "test/bee/cut.jpg").write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    noise(root / "test/ant/ink.tif", mode="CMYK")
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(root / "test/ant/deep.png")
    frames = [Image.fromarray(np.full((9, 9), value, np.uint8)) for value in (1, 200)]
    frames[0].save(root / "test/ant/moving.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(root / "test/ant/turned.jpg", exif=exif.tobytes())
    noise(root / "test/ant/named.jpg", format="PNG")
    noise(root / "test/ant/tiny.png", shape=(1, 1))
    noise(root / "test/bee/A.png")
    noise(root / "test/bee/a.png")
    (root / "test/bee/a.heic").write_bytes(b"x")
    return root


@pytest.fixture
def card(tree: Path) -> DatasetCard:
    loaded = load_folder_tree(tree, name="animals")
    return make_card(loaded, passed_over=[path.relative_to(tree).as_posix() for path in passed_over_files(tree)])


def test_the_card_counts_what_is_there(card: DatasetCard, tree: Path) -> None:
    files = [path for path in tree.rglob("*.*") if path.suffix != ".heic"]
    assert card.num_bytes == sum(path.stat().st_size for path in files)
    assert card.counts == {"train": (13, 1), "test": (10, 4)}
    assert card.imbalance == {"train": 13, "test": 10 / 4}
    assert (card.num_images, card.num_scanned) == (28, 28)
    assert card.modes["L"] == 2
    assert (card.modes["CMYK"], card.modes["I 16-bit"]) == (1, 1)
    assert card.file_formats == {"PNG": 21, "JPEG": 3, "BMP": 1, "TIFF": 1, "GIF": 1}
    assert card.widths is not None
    assert (card.widths.smallest, card.widths.median, card.widths.largest) == (1, 20, 160)
    assert card.aspects == {"square": 25, "2:1 to 3:1": 2}


def test_the_warnings_are_the_sentences_a_user_must_read(card: DatasetCard) -> None:
    text = "\n".join(card.warnings)
    for sentence in (
        "1 test image is an exact copy of a training image",
        "1 further test image has the pixels of training images, in other files",
        "1 training image is a copy of another of the same split",
        "1 test image will be left out, and a score counts the others alone: the first is ",
        "test/ant/empty.png: an image must decode, but its file is empty",
        "class 'bee' has 1 training image",
        "the largest class has 13.0 times as many training images as the smallest; think of the metric mean_per_class",
        "the last rows of 1 JPEG image are the plain grey of missing data, as of a truncated file: the first is ",
        "1 image has a side below 8 pixels",
        "of 1 animated or many-paged image the first frame alone is used",
        "1 image has an EXIF orientation that is left aside",
        "1 CMYK image is turned into RGB without a colour profile",
        "of 1 16-bit image the upper 8 bits alone are used",
        "1 image has the suffix of another format",
        "names of 1 group of files differ in case alone",
        "1 file in the folder is in no split, for want of an image's suffix or a class: 'test/bee/a.heic'",
    ):
        assert sentence in text
    assert len(card.warnings) == 15


def test_broken_images_have_their_split_class_and_reason(card: DatasetCard) -> None:
    (broken,) = card.broken
    assert (broken.split, broken.class_name, Path(broken.path).name) == ("test", "ant", "empty.png")
    assert "its file is empty" in broken.reason


def test_the_card_reads_as_text_markdown_and_json(card: DatasetCard) -> None:
    text, markdown = card.to_text(), card.to_markdown()
    assert max(map(len, text.splitlines())) <= 120
    assert text.startswith("animals: 2 classes, 28 images (all read), scored by top1\n")
    assert "| ant | 13 | 10 |" in markdown
    told = json.loads(card.to_json())
    assert told == json.loads(json.dumps(card.to_dict()))
    assert told["warnings"] == list(card.warnings)
    assert told["copies_across"]["train/test"] == {"exact": 1, "same_pixels": 1}
    assert told["fingerprints"] == dict(card.fingerprints)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
def test_what_the_card_says_of_an_orientation_is_what_a_network_sees(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = noise(tmp_path / f"a/1.{suffix}", shape=(40, 60), exif=exif.tobytes())
    card = make_card(load_folder_tree(tmp_path, name="x"))
    _, aspect = decode_whole(path.read_bytes(), 8)
    assert card.widths is not None
    assert card.heights is not None
    assert card.widths.median / card.heights.median == aspect
    is_turned = suffix == "tif" and orientation > 4
    assert (card.widths.median, card.heights.median) == ((40, 60) if is_turned else (60, 40))
    assert card.num_turned == (suffix != "tif" and orientation > 1)


def test_transparent_pixels_are_counted_and_opaque_ones_are_not(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (9, 9, 4), dtype=np.uint8)
    colours[..., 3] = 255
    (tmp_path / "a").mkdir()
    Image.fromarray(colours).save(tmp_path / "a/opaque.png")
    colours[0, 0, 3] = 254
    Image.fromarray(colours).save(tmp_path / "a/glass.png")
    card = make_card(load_folder_tree(tmp_path, name="x"))
    assert card.num_transparent == 1
    assert any(each.startswith("1 image has transparent pixels, whose stored") for each in card.warnings)


def test_a_broken_png_is_broken_on_the_card_too(tmp_path: Path) -> None:
    """Pillow decodes a PNG when it is asked for its EXIF data, and forgets what was wrong."""
    path = noise(tmp_path / "a/1.png", shape=(40, 60))
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageSetError):
        decode_whole(bytes(content), 8)
    assert len(make_card(load_folder_tree(tmp_path, name="x")).broken) == 1


def test_a_file_that_is_gone_is_a_broken_image_of_the_card(tree: Path) -> None:
    loaded = load_folder_tree(tree, name="animals")
    (tree / "train/bee/0.jpg").unlink()
    card = make_card(loaded)
    assert "is gone" in next(image for image in card.broken if image.split == "train").reason
    assert any(sentence.startswith("1 training image will be left out: the first is ") for sentence in card.warnings)


def test_one_picture_under_two_classes_is_told(tree: Path) -> None:
    shutil.copy(tree / "train/ant/3.png", tree / "train/bee/3.png")
    card = make_card(load_folder_tree(tree, name="animals"))
    sentence = next(line for line in card.warnings if "two classes" in line)
    assert sentence.startswith("1 picture is listed under two classes, the first as 'ant' (")


def coloured(counts: list[int], *, split: str = "train") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    labels = np.repeat(np.arange(len(counts)), counts)
    return {split: (RNG.integers(0, 256, (len(labels), 9, 9, 3), dtype=np.uint8), labels)}


def test_a_good_set_has_no_warning() -> None:
    card = make_card(image_set_from_arrays("good", "ab", coloured([4, 5]) | coloured([2, 2], split="test")))
    assert card.warnings == ()
    assert "Warnings: none" in card.to_text()


def test_an_absent_test_class_is_told() -> None:
    card = make_card(image_set_from_arrays("x", "ab", coloured([4, 5]) | coloured([2, 0], split="test")))
    assert card.warnings == ("1 class has no test image, and a score leaves them out: 'b'",)


def test_a_large_set_is_sampled_by_its_seed_and_says_so() -> None:
    large = image_set_from_arrays("large", "ab", coloured([40, 50]) | coloured([10, 10], split="test"))
    seen: list[tuple[int, int]] = []
    card = make_card(large, max_images=20, seed=3, on_progress=lambda *counts: seen.append(counts))
    assert (card.num_images, card.num_scanned, card.counts["train"]) == (110, 20, (40, 50))
    assert card.warnings[0].startswith("only 20 of 110 images were read (seed 3)")
    assert "a sample of 20 read" in card.to_text()
    assert seen[-1] == (20, 20)
    assert make_card(large, max_images=20, seed=3) == card
    assert make_card(large, max_images=20, seed=4) != card


def test_one_thread_and_many_make_one_card(tree: Path) -> None:
    loaded = load_folder_tree(tree, name="animals")
    assert make_card(loaded, num_threads=1) == make_card(loaded, num_threads=8)


def test_names_cannot_change_what_a_terminal_or_markdown_shows() -> None:
    names = ["a\x1b[31m" + "w" * 300, "b | <script>"]
    card = make_card(image_set_from_arrays("x", names, coloured([2, 2])))
    assert "\x1b" not in card.to_text()
    assert "\x1b" not in card.to_markdown()
    assert max(map(len, card.to_text().splitlines())) <= 120
    assert "<script>" not in card.to_markdown()


def test_of_many_classes_the_largest_and_smallest_are_shown() -> None:
    card = make_card(image_set_from_arrays("x", [f"c{n:03d}" for n in range(60)], coloured([2] * 59 + [3])))
    assert "… 30 more, by size" in card.to_text()
    assert len(card.to_dict()["class_names"]) == 60


def test_real_photographs_have_a_card(shared: Path) -> None:
    import importlib.util

    found = importlib.util.spec_from_file_location("photos", shared / "photos" / "photos.py")
    assert found is not None
    assert found.loader is not None
    photos = importlib.util.module_from_spec(found)
    found.loader.exec_module(photos)
    loaded = photos.load(shared / "photos" / "px64" / "target_monkeys10.npz")
    splits = {
        name: (loaded["images"][loaded["split"] == number], loaded["labels"][loaded["split"] == number])
        for number, name in enumerate(("train", "test"))
    }
    card = make_card(image_set_from_arrays("monkeys", loaded["class_names"], splits, metric="top1"))
    assert (card.num_images, len(card.broken), card.copies) == (1208, 0, ())
    assert card.imbalance["train"] == pytest.approx(116 / 79)
