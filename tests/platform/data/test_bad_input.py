"""What bad images and folders end in: one clear error, or a counted and named quarantine; never a wrong label."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from pretrieve.backbones import find_architecture
from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.decode import decode_square, decode_whole, encode_png
from pretrieve.data.folder_tree import load_folder_tree, passed_over_files
from pretrieve.data.image_table import table_of_contents, table_of_files
from pretrieve.errors import ImageSetError
from pretrieve.features.forward import decode_rows
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import read_card
from pretrieve.image_cache.entries import CacheEntry, write_entry

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def encoded(picture: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(side: int, depth: int, pixels: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


JPEG = encoded(Image.fromarray(PICTURE), "JPEG", quality=90)
HALF = len(JPEG) // 2
BROKEN = {
    "empty": (b"", "an image must decode, but its file is empty; copy it again"),
    "a page": (b"<html>404 not found</html>", "but Pillow says: cannot identify image file"),
    "half a JPEG": (JPEG[:HALF], "but Pillow says: image file is truncated"),
    "a JPEG with zeros": (JPEG[:HALF] + bytes(HALF), "this JPEG is truncated: it has no end marker"),
    "half a PNG": (encode_png(PICTURE)[:5_000], "truncated"),
    "a bomb": (png_of(30_000, 8, b""), "an image must have at most 178,956,970 pixels, but Pillow says: Image size"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_is_an_error_of_its_own_in_features_and_named_in_the_cache(kind: str, tmp_path: Path) -> None:
    content, reason = BROKEN[kind]
    table = table_of_contents(["good", "bad", "last"], [encode_png(PICTURE), content, JPEG], [0, 1, 2])
    decoded = decode_rows(table, preprocessing=find_architecture("small_resnet").preprocessing)
    assert [error is None for error in decoded["error"].to_pylist()] == [True, False, True]
    assert reason in decoded["error"][1].as_py()
    write_entry(CacheEntry("key", table, 32), tmp_path / "entry")
    card = read_card(tmp_path / "entry")
    assert card is not None
    assert card.num_images == 2
    assert len(card.broken) == 1
    assert card.broken[0].startswith("bad: ")
    assert reason in card.broken[0]
    assert CachedImages([tmp_path / "entry"]).labels.tolist() == [0, 2]


def test_a_truncated_jpeg_is_refused_also_where_other_code_asks_pillow_to_fill_it(monkeypatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageSetError, match="truncated"):
        decode_square(JPEG[:HALF], 64)


def test_an_end_marker_of_a_thumbnail_is_not_that_of_the_picture() -> None:
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(JPEG)) + JPEG
    whole = JPEG[:2] + thumbnail + JPEG[2:]
    np.testing.assert_array_equal(decode_square(whole, 64), decode_square(JPEG, 64))
    with pytest.raises(ImageSetError, match="no end marker"):
        decode_square(whole[:-HALF] + bytes(HALF), 64)


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm() -> None:
    np.testing.assert_array_equal(decode_square(JPEG + b"trailer", 64), decode_square(JPEG, 64))


def test_the_limit_of_pixels_is_the_same_whatever_other_code_sets(monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageSetError, match=r"at most 178,956,970 pixels, but is 30000 × 30000; save it smaller"):
        decode_square(png_of(30_000, 8, b""), 8)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_the_image(file_format: str) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 100, 200)]
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode_square(content, 8), np.full((8, 8, 3), 10))


def test_sixteen_bit_colour_keeps_its_upper_eight_bits() -> None:
    row = b"\0" + struct.pack(">3H", 0x1234, 0x80FF, 0xFFFF) * 8
    np.testing.assert_array_equal(decode_square(png_of(8, 16, row * 8), 8)[0, 0], [0x12, 0x80, 0xFF])


def test_exif_orientation_is_left_aside_as_torchvision_does() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.zeros((16, 32, 3), np.uint8)
    lying[:, :16] = 255
    content = encoded(Image.fromarray(lying), "JPEG", exif=exif.tobytes(), quality=100)
    pixels, aspect = decode_whole(content, 16)
    assert aspect == 2
    assert pixels[:, 0].min() > 250
    assert pixels[:, -1].max() < 5


def test_an_image_is_known_by_its_content_and_not_by_its_suffix(make_tree, tmp_path: Path) -> None:
    root = make_tree("train/cat/1.jpg", "train/dog/1.png")  # both hold PNG
    table = load_folder_tree(root, name="x").splits["train"]
    decoded = decode_rows(table, preprocessing=find_architecture("small_resnet").preprocessing)
    assert decoded["error"].null_count == 2


def test_an_image_of_one_pixel_is_an_image() -> None:
    np.testing.assert_array_equal(decode_square(encode_png(np.full((1, 1, 3), 7, np.uint8)), 8), np.full((8, 8, 3), 7))


def test_a_file_that_is_gone_ends_the_work_and_says_what_to_do(tmp_path: Path) -> None:
    table = table_of_files([tmp_path / "gone.png"], [0])
    message = r"an image must stay where it is until the study is done, but is gone; put it back.*gone\.png"
    with pytest.raises(FileNotFoundError, match=message):
        decode_rows(table, preprocessing=find_architecture("small_resnet").preprocessing)
    with pytest.raises(FileNotFoundError, match=message):
        write_entry(CacheEntry("key", table, 8), tmp_path / "entry")
    assert not (tmp_path / "entry").exists()


@pytest.mark.parametrize("leads_to", ["nowhere.png", "2.png"])
def test_a_link_to_a_file_that_is_gone_or_to_itself_is_refused_by_name(make_tree, leads_to: str) -> None:
    root = make_tree("train/cat/1.png")
    (root / "train/cat/2.png").symlink_to(leads_to)
    with pytest.raises(
        ImageSetError, match=r"images of .*cat must exist, but 1 are links .* the first '2\.png'; repair or"
    ):
        load_folder_tree(root, name="x")


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("caf\u00e9", "cafe\u0301"), ("STRASSE", "straße")])
def test_class_folders_that_differ_in_case_or_composition_alone_are_refused(make_tree, one: str, other: str) -> None:
    with pytest.raises(
        ImageSetError, match=r"class folders of .*train must differ in more than case, but .* do not; a disk"
    ):
        load_folder_tree(make_tree(f"train/{one}/1.png", f"train/{other}/1.png"), name="x")


def test_a_test_class_in_another_case_is_told_its_name(make_tree) -> None:
    with pytest.raises(ImageSetError, match=r"must also be in train, but 1 are not: Cats\. Did you mean 'cats'\?"):
        load_folder_tree(make_tree("train/cats/1.png", "test/Cats/1.png"), name="x")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("training/a/1.png", "validation/a/1.png"), "holds 'training'; rename it to 'train'"),
        (("Train/a/1.png", "Test/a/1.png"), "holds 'Train'; rename it to 'train'"),
        (("train/a/1.png", "validation/a/1.png"), "holds 'validation'; rename it to 'val'"),
        (("train/a/1.png", "Test/a/1.png"), "holds 'Test'; rename it to 'test'"),
        (("birds/train/a/1.png", "birds/test/a/1.png"), r"must be the one that holds 'train', .* inside 'birds'; give"),
    ],
    ids=["other words", "capitals", "validation", "one capital", "a folder too high"],
)
def test_splits_of_other_names_are_not_taken_for_classes(make_tree, paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(ImageSetError, match=message):
        load_folder_tree(make_tree(*paths), name="x")


def test_a_class_may_be_called_like_a_split(make_tree) -> None:
    assert load_folder_tree(make_tree("dev/1.png", "ops/1.png"), name="x").class_names == ("dev", "ops")


def test_a_file_whose_name_is_no_unicode_is_refused(make_tree) -> None:
    root = make_tree("train/cat/1.png")
    shutil.copy(root / "train/cat/1.png", os.fsencode(root / "train/cat") + b"/\xff.png")
    with pytest.raises(ImageSetError, match=r"names of files must be UTF-8, but .*\\udcff\.png is not; rename it"):
        load_folder_tree(root, name="x")


def test_files_that_no_split_holds_are_listed(make_tree) -> None:
    root = make_tree("train/cat/1.png", "train/loose.png", "test/cat/2.png")
    (root / "train/cat/3.heic").write_bytes(b"x")
    assert [path.name for path in passed_over_files(root)] == ["3.heic", "loose.png"]


IMAGES, LABELS = np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1])


@pytest.mark.parametrize(
    ("names", "split", "images", "labels", "message"),
    [
        (
            "abc",
            "train",
            IMAGES,
            np.array([0, 2]),
            "every class of 'x' must have a training image, but 1 have none: b;",
        ),
        ("ab", "train", IMAGES, np.array([1, 2]), "must lie in 0 … 1, but 2 was found"),
        ("ab", "train", list(IMAGES), LABELS, "images of 'x', split 'train', must be a NumPy array, but are a list"),
        ("ab", "train", IMAGES, [0, 1], "labels of 'x', split 'train', must be a NumPy array, but are a list"),
        ("ab", "train", IMAGES[:, :0], LABELS, "must have 1 to 178,956,970 pixels, but are 0 × 4"),
        ("ab", "train", IMAGES / 255, LABELS, "but are float64 .*; scale them to 0 … 255 and round"),
        ("aa", "train", IMAGES, LABELS, "class names of 'x' must differ, but 'a' stands 2 times"),
        ("ab", "tests", IMAGES, LABELS, "must be one of train, val, test, but is 'tests', .* Did you mean 'test'"),
    ],
    ids=["a gap", "from one", "a list", "a list of labels", "no pixel", "floats", "one name twice", "a split"],
)
def test_arrays_that_would_be_misread_are_refused(
    names: str, split: str, images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ImageSetError, match=message):
        image_set_from_arrays("x", list(names), {split: (images, labels)})
