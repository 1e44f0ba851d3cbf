import io

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as torchvision_functional

from pretrieve.data.decode import decode_square, decode_whole, encode_png, read_content
from pretrieve.errors import ImageSetError


def _encoded(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)], ids=["grey", "colour"])
def test_png_keeps_every_pixel(rng, shape):
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    decoded = decode_square(encode_png(pixels), 8)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels if len(shape) == 3 else np.stack([pixels] * 3, axis=-1))


def test_transparency_leaves_the_colours(rng):
    pixels = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    np.testing.assert_array_equal(decode_square(_encoded(Image.fromarray(pixels)), 8), pixels[..., :3])


def test_a_palette_with_transparency_gives_its_colours_without_a_warning():
    colours = np.array([[255, 0, 0], [0, 128, 255], [9, 8, 7]], dtype=np.uint8)
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    image = Image.fromarray(indices)
    image.putpalette(colours.reshape(-1).tolist())
    content = _encoded(image, transparency=bytes([0, 128, 255]))
    assert Image.open(io.BytesIO(content)).mode == "P"
    np.testing.assert_array_equal(decode_square(content, 8), colours[indices])


def test_a_cmyk_jpeg_has_its_colours_and_not_their_negative():
    content = _encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    np.testing.assert_allclose(decode_square(content, 8), np.broadcast_to([255, 0, 0], (8, 8, 3)), atol=6)


def test_sixteen_bit_grey_keeps_its_upper_eight_bits(rng):
    pixels = rng.integers(0, 2**16, (8, 8), dtype=np.uint16)
    expected = np.stack([pixels // 256] * 3, axis=-1)
    np.testing.assert_array_equal(decode_square(_encoded(Image.fromarray(pixels)), 8), expected)
    np.testing.assert_array_equal(decode_square(_encoded(Image.fromarray(pixels), "TIFF"), 8), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(dtype):
    content = _encoded(Image.fromarray(np.ones((8, 8), dtype=dtype)), "TIFF")
    with pytest.raises(ImageSetError, match=r"8 or 16 bits a channel, but its mode is '[IF]', .*; save it with 8 bits"):
        decode_square(content, 8)


@pytest.mark.parametrize(("shape", "rows", "columns"), [((4, 10), (0, 4), (3, 7)), ((9, 4), (2, 6), (0, 4))])
def test_the_centre_square_of_an_image_with_a_fitting_side_is_cut_out_unchanged(rng, shape, rows, columns):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = pixels[slice(*rows), slice(*columns)]
    np.testing.assert_array_equal(decode_square(encode_png(pixels), 4), expected)


@pytest.mark.parametrize("shape", [(64, 96), (96, 64), (16, 32), (32, 8), (64, 64), (96, 160)])
def test_resizing_and_cropping_are_torchvisions(rng, shape):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    resized = torchvision_functional.resize(Image.fromarray(pixels), 32)
    expected = np.asarray(torchvision_functional.center_crop(resized, [32, 32]))
    np.testing.assert_array_equal(decode_square(encode_png(pixels), 32), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 5), (33, 31), (100, 3)])
def test_any_shape_becomes_the_square(shape):
    decoded = decode_square(encode_png(np.full((*shape, 3), 77, dtype=np.uint8)), 32)
    np.testing.assert_array_equal(decoded, np.full((32, 32, 3), 77))


@pytest.mark.parametrize("shape", [(64, 96), (96, 64), (16, 40), (100, 3), (1, 1)])
def test_squeezing_a_whole_image_is_torchvisions_resizing(rng, shape):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(torchvision_functional.resize(Image.fromarray(pixels), [32, 32]))
    decoded, aspect = decode_whole(encode_png(pixels), 32)
    np.testing.assert_array_equal(decoded, expected)
    assert decoded.dtype == np.uint8
    assert aspect == pytest.approx(shape[1] / shape[0])


def test_squeezing_averages_rather_than_skips_pixels():
    stripes = np.zeros((32, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    decoded, _ = decode_whole(encode_png(stripes), 32)
    np.testing.assert_allclose(decoded[:, 1:-1], 100, atol=2)


@pytest.mark.parametrize("side", [8, 20, 32, 75])
def test_a_square_image_is_the_same_squeezed_and_cropped(rng, side):
    content = encode_png(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    decoded, aspect = decode_whole(content, 32)
    np.testing.assert_array_equal(decoded, decode_square(content, 32))
    assert aspect == 1


def test_a_broken_image_is_refused_whole_too():
    with pytest.raises(ImageSetError, match="an image must decode, but Pillow says: cannot identify image file"):
        decode_whole(b"not an image", 8)


def test_bytes_that_are_no_image_are_refused():
    with pytest.raises(ImageSetError, match="an image must decode, but Pillow says: cannot identify image file"):
        decode_square(b"not an image", 8)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_an_image_that_breaks_off_is_refused(rng, image_format):
    content = _encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), image_format)
    with pytest.raises(ImageSetError, match=r"an image must decode, but Pillow says: .*truncated"):
        decode_square(content[: len(content) // 2], 8)


def test_content_is_read_from_its_file_only_where_the_table_holds_none(tmp_path):
    file = tmp_path / "image.png"
    file.write_bytes(b"in the file")
    assert read_content(str(file), None) == b"in the file"
    assert read_content(str(file), b"in the table") == b"in the table"
    with pytest.raises(FileNotFoundError, match="gone"):
        read_content(str(tmp_path / "gone"), None)
