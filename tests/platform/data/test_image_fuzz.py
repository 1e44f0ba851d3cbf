"""Damaged files of every format that is decoded: an ImageSetError or pixels, and nothing else happens."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from fuzzing import harmless, num_cases
from PIL import Image

from pretrieve.data.decode import FORMATS, decode_square, decode_whole
from pretrieve.data.image_scan import scan_images
from pretrieve.data.image_table import table_of_contents
from pretrieve.errors import ImageSetError

NUM_FILES = num_cases(300)
NUM_STRIPS = 300 if NUM_FILES >= 2_000 else 30
WIDTH, HEIGHT = 61, 47
SIDES = (0, 1, 4_000, 13_000, 16_383, 65_535)

OPTIONS: dict[str, tuple[dict[str, object], ...]] = {
    "JPEG": ({}, {"progressive": True}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "jpeg"}),
    "WEBP": ({}, {"lossless": True}),
}


def whole_files(rng: np.random.Generator) -> list[tuple[str, bytes]]:
    found = []
    for image_format in FORMATS:
        for options in OPTIONS.get(image_format, ({},)):
            for channels in (3, 4) if image_format in ("AVIF", "PNG", "TIFF", "WEBP") and not options else (3,):
                buffer = io.BytesIO()
                picture = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8))
                picture.save(buffer, image_format, **options)
                found.append((image_format, buffer.getvalue()))
    return found


def of_another_size(image_format: str, content: bytes, width: int, height: int) -> bytes:
    """Write other sides into the header of an image, wherever the format has them."""
    if image_format == "PPM":
        return content.replace(b"%d %d" % (WIDTH, HEIGHT), b"%d %d" % (width, height), 1)
    if image_format == "TIFF":
        for tag, old, new in (
            (256, WIDTH, width),
            (257, HEIGHT, height),
            (278, HEIGHT, height),
        ):  # 278: rows of a strip
            for kind, form in ((3, "<HHIHxx"), (4, "<HHII")):
                content = content.replace(struct.pack(form, tag, kind, 1, old), struct.pack(form, tag, kind, 1, new))
        return content
    form = {"PNG": ">II", "AVIF": ">II", "BMP": "<II", "JPEG": ">HH"}.get(image_format, "<HH")
    sides, others = (WIDTH, HEIGHT), (width, height)
    if image_format == "JPEG":
        sides, others = sides[::-1], others[::-1]
    changed = content.replace(struct.pack(form, *sides), struct.pack(form, *others))
    if image_format == "PNG":  # its header has a checksum
        changed = changed[:29] + struct.pack(">I", zlib.crc32(changed[12:29])) + changed[33:]
    return changed


def damaged(rng: np.random.Generator) -> Iterator[bytes]:
    whole = whole_files(rng)
    for number in range(NUM_FILES):
        image_format, content = whole[number % len(whole)]
        cut = int(rng.integers(0, len(content)))
        kind = number // len(whole) % 4
        if kind == 0:
            yield content[:cut]
        elif kind == 1:
            yield content[:cut] + bytes(len(content) - cut)
        elif kind == 2:
            yield of_another_size(image_format, content, *map(int, rng.choice(SIDES, 2)))
        else:
            spoilt = bytearray(content)
            for place in rng.integers(0, min(200, len(spoilt)), 3):
                spoilt[place] = int(rng.integers(0, 256))
            yield bytes(spoilt)


def strips(rng: np.random.Generator) -> Iterator[bytes]:
    for number in range(NUM_STRIPS):
        long, short = int(10 ** rng.uniform(2.5, 5)), int(rng.integers(1, 12))
        buffer = io.BytesIO()
        Image.new("RGB", (long, short) if number % 2 else (short, long), "red").save(buffer, "PNG")
        yield buffer.getvalue()


@pytest.mark.parametrize("make", [damaged, strips])
def test_whatever_the_bytes_an_image_is_decoded_or_refused(make) -> None:
    contents = list(make(np.random.default_rng(0)))
    table = table_of_contents([f"{k}.png" for k in range(len(contents))], contents, [0] * len(contents))
    scan_images({"train": table}, {"train": [0]})  # imports what is imported late
    num_decoded = 0
    with harmless():
        for content in contents:
            for decode in (decode_square, decode_whole):
                with suppress(ImageSetError):
                    decode(content, 64)
                    num_decoded += 1
        facts = scan_images({"train": table}, {"train": range(len(contents))}, num_threads=2)
    assert sum(image.error is None for image in facts) * 2 == num_decoded
    assert 0 < num_decoded <= 2 * len(contents)


def test_every_whole_file_of_the_fuzz_is_decoded() -> None:
    for image_format, content in whole_files(np.random.default_rng(1)):
        assert decode_square(content, 64).shape == (64, 64, 3), image_format


def test_the_fuzz_changes_the_sides_of_every_format() -> None:
    for image_format, content in whole_files(np.random.default_rng(1)):
        if image_format != "WEBP":  # Pillow opens none of wrong sides
            changed = of_another_size(image_format, content, 60, 46)
            assert Image.open(io.BytesIO(changed)).size == (60, 46), image_format
