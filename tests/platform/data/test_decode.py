import io
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
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


STRIPS = [(3000, 30), (30, 3000), (2, 10_000), (10_000, 2), (1, 30_000), (7, 999)]


@pytest.mark.parametrize("shape", STRIPS)
def test_the_centre_square_of_a_strip_is_that_of_the_whole_enlarged_up_to_rounding(rng, shape):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    width, height = (round(side * 32 / min(shape)) for side in shape[::-1])
    left, top = (width - 32) // 2, (height - 32) // 2
    whole = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32))).astype(int)
    np.testing.assert_allclose(decode_square(encode_png(pixels), 32).astype(int), expected, atol=1)


@pytest.mark.parametrize("shape", STRIPS)
def test_a_strip_is_squeezed_as_by_torchvision_up_to_rounding(rng, shape):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(torchvision_functional.resize(Image.fromarray(pixels), [32, 32])).astype(int)
    decoded, aspect = decode_whole(encode_png(pixels), 32)
    np.testing.assert_allclose(decoded.astype(int), expected, atol=1)
    assert aspect == pytest.approx(shape[1] / shape[0])


@pytest.mark.parametrize("shape", [(1_000_000, 2), (2, 1_000_000), (1, 3_000_000)])
@pytest.mark.parametrize("decode", [decode_square, decode_whole])
def test_a_strip_costs_what_its_pixels_cost(shape, decode):
    content = encode_png(np.zeros((*shape, 3), np.uint8))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 400 * 2**20, limits[1]))  # enlarged first, it would take 1 GB
    try:
        decode(content, 256)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("decode", [decode_square, decode_whole])
@pytest.mark.parametrize("step", ["load", "convert", "resize"])
def test_an_image_that_does_not_fit_into_memory_is_refused(monkeypatch, decode, step):
    def fail(*arguments, **options):
        raise MemoryError

    content = encode_png(np.zeros((9, 8, 3), np.uint8))
    monkeypatch.setattr(Image.Image, "load" if step == "load" else step, fail)
    if step == "load":
        monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageSetError, match="an image must fit into memory, but the machine has too little; save it"):
        decode(content, 4)


def _tiff_of_12_bits(values, photometric):
    """Write a grey TIFF of one row by hand, as Pillow writes none of 12 bits."""
    bits = "".join(f"{value:012b}" for value in values)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = [(256, len(values)), (257, 1), (258, 12), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1)]
    tags += [(279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}], ids=str)
def test_sixteen_bit_grey_whose_zero_is_white_is_shown_so(options):
    pixels = np.array([[0, 0x1234], [0xFF00, 0xFFFF]], np.uint16)
    content = _encoded(Image.fromarray(pixels), "TIFF", tiffinfo={262: 0}, **options)
    assert decode_square(content, 2)[..., 0].tolist() == [[255, 255 - 0x12], [0, 0]]


def test_twelve_bit_grey_keeps_its_upper_eight_bits():
    assert decode_square(_tiff_of_12_bits([0x123, 0xFFF], photometric=1), 1).shape == (1, 1, 3)
    decoded, _ = decode_whole(_tiff_of_12_bits([0xABC] * 2, photometric=1), 2)
    assert decoded[..., 0].tolist() == [[0xAB, 0xAB]] * 2


def test_a_grey_ppm_of_sixteen_bits_keeps_its_upper_eight_bits():
    assert decode_square(b"P5 1 1 65535\n\x12\x34", 1)[0, 0].tolist() == [0x12] * 3
    assert decode_square(b"P5 1 1 1023\n\x01\xff", 1)[0, 0].tolist() == [127] * 3  # 511 of 1023


def _drawing(mode, colour):
    """Draw a bar of one colour on a ground of the same colour, by transparency alone."""
    alpha = Image.fromarray(np.repeat(np.uint8([[0, 0, 255, 255]]), 4, axis=0))
    image = Image.new("RGB", (4, 4), colour).convert(mode[:-1])
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize(
    ("mode", "colour", "image_format", "shown"),
    [
        ("RGBA", "black", "PNG", (255, 0)),
        ("RGBA", "white", "PNG", (0, 255)),
        ("LA", "black", "PNG", (255, 0)),
        ("RGBA", "#202020", "TIFF", (255, 32)),
        ("RGBA", "black", "WEBP", (255, 0)),
    ],
)
def test_a_picture_drawn_in_transparency_alone_is_seen(mode, colour, image_format, shown):
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    content = _encoded(_drawing(mode, colour), image_format, **options)
    assert decode_square(content, 4)[0, :, 0].tolist() == [shown[0]] * 2 + [shown[1]] * 2


def test_a_palette_of_one_colour_with_transparency_is_seen():
    image = Image.fromarray(np.repeat(np.uint8([[0, 1]]), 2, axis=0))
    image.putpalette([0, 0, 0, 0, 0, 0])
    assert decode_square(_encoded(image, transparency=bytes([0, 255])), 2)[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_an_even_transparency_leaves_a_plain_colour(alpha):
    content = _encoded(Image.new("RGBA", (3, 3), (10, 20, 30, alpha)))
    np.testing.assert_array_equal(decode_square(content, 3), np.broadcast_to([10, 20, 30], (3, 3, 3)))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    "content",
    [
        POSTSCRIPT,
        b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, len(POSTSCRIPT), 0, 0, 0, 0, 0xFFFF) + POSTSCRIPT,
        *(_encoded(Image.new("RGB", (4, 4)), name) for name in ("PCX", "TGA", "ICO", "SGI", "JPEG2000", "PDF")),
    ],
    ids=["PostScript", "PostScript with a preview", "PCX", "TGA", "ICO", "SGI", "JPEG 2000", "PDF"],
)
def test_formats_that_data_sets_do_not_have_are_refused(content):
    with pytest.raises(ImageSetError, match="cannot identify image file"):
        decode_square(content, 4)


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
