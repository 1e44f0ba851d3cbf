"""Files whose end was lost, by format: refused where a decoder would smear the picture, and never where it is whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pretrieve.data.decode import decode_square
from pretrieve.errors import ImageSetError

ROWS, COLUMNS = np.mgrid[:120, :160]
NOISE = np.random.default_rng(0).normal(0, 20, (120, 160))
PHOTO = np.stack([COLUMNS + NOISE, 2 * ROWS + NOISE, (ROWS * COLUMNS) % 256], axis=-1).clip(0, 255).astype(np.uint8)
CUT_OUT = np.dstack([PHOTO, COLUMNS.astype(np.uint8)])


def encoded(pixels: np.ndarray, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def with_zeros_from(content: bytes, share: float) -> bytes:
    kept = int(len(content) * share)
    return content[:kept] + bytes(len(content) - kept)


FILES = {
    "WebP": encoded(PHOTO, "WEBP"),
    "WebP of low quality": encoded(PHOTO, "WEBP", quality=5),
    "lossless WebP": encoded(PHOTO, "WEBP", lossless=True),
    "WebP with transparency": encoded(CUT_OUT, "WEBP"),
    "AVIF": encoded(PHOTO, "AVIF"),
    "AVIF with transparency": encoded(CUT_OUT, "AVIF"),
    "PNG": encoded(PHOTO, "PNG"),
    "progressive JPEG": encoded(PHOTO, "JPEG", progressive=True),
}


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("kind", FILES)
def test_an_image_that_ends_in_zeros_is_refused(kind: str, share: float) -> None:
    with pytest.raises(ImageSetError, match="an image must decode, but"):
        decode_square(with_zeros_from(FILES[kind], share), 32)


@pytest.mark.parametrize("kind", ["WebP", "AVIF", "PNG"])
def test_the_reason_names_the_zeros(kind: str) -> None:
    message = rf"this {kind.upper()} is truncated: zeros stand in place of its end.*; copy it again"
    with pytest.raises(ImageSetError, match=message):
        decode_square(with_zeros_from(FILES[kind], 0.95), 32)


PLAIN = {
    "black": np.zeros((2000, 1000, 3), np.uint8),
    "white": np.full((2000, 1000, 3), 255, np.uint8),
    "black below a photo": np.concatenate([PHOTO, np.zeros((1800, 160, 3), np.uint8)]),
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("options", [{}, {"quality": 10}, {"lossless": True}], ids=str)
def test_a_plain_area_that_webp_codes_as_zeros_is_whole(kind: str, options: dict[str, object]) -> None:
    content = encoded(PLAIN[kind], "WEBP", **options)
    decoded = Image.open(io.BytesIO(content)).convert("RGB")
    side, top = min(decoded.size), (decoded.height - decoded.width) // 2
    np.testing.assert_array_equal(decode_square(content, side), np.asarray(decoded)[top : top + side])


def test_a_plain_webp_does_end_in_zeros() -> None:
    """Otherwise the test above would try nothing."""
    assert encoded(PLAIN["black"], "WEBP").endswith(bytes(64))


@pytest.mark.parametrize("kind", ["WebP", "lossless WebP", "AVIF", "PNG", "progressive JPEG"])
def test_zeros_behind_the_end_do_no_harm(kind: str) -> None:
    expected = decode_square(FILES[kind], 32)
    np.testing.assert_array_equal(decode_square(FILES[kind] + bytes(512), 32), expected)


@pytest.mark.parametrize("image_format", ["WEBP", "AVIF", "PNG"])
def test_zeros_of_metadata_do_no_harm(image_format: str) -> None:
    content = encoded(PHOTO, image_format, exif=b"Exif\0\0MM\0*\0\0\0\x08" + bytes(300))
    expected = decode_square(encoded(PHOTO, image_format), 32)
    np.testing.assert_array_equal(decode_square(content, 32), expected)
