from pathlib import Path

import numpy as np
import pytest

from pretrieve.artifacts.sealed_files import seal
from pretrieve.errors import DamagedArtifactError
from pretrieve.image_cache.cached_images import MappedImages
from pretrieve.image_cache.entries import write_images


def _write(path, images, shape=None):
    write_images(path, images, shape or images[0].shape)
    seal(path)


def _pixels(mapped):
    return np.stack([mapped[row] for row in range(len(mapped))]) if len(mapped) else np.empty((0, *mapped.image_shape))


@pytest.mark.parametrize("num_images", [0, 1, 9, 10, 1001])
def test_a_file_written_image_by_image_is_numpys(rng, tmp_path, num_images):
    images = rng.integers(0, 256, (num_images, 2, 3, 3), dtype=np.uint8)
    _write(tmp_path / "written.npy", images, (2, 3, 3))
    np.save(tmp_path / "saved.npy", images)
    seal(tmp_path / "saved.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "written.npy"), images)
    assert (tmp_path / "written.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
    np.testing.assert_array_equal(_pixels(MappedImages(tmp_path / "written.npy")), images)


def test_a_file_whose_writing_failed_has_no_image(rng, tmp_path):
    def images():
        yield from rng.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
        raise OSError("the third image cannot be read")

    with pytest.raises(OSError, match="the third image cannot be read"):
        _write(tmp_path / "a.npy", images(), (4, 4, 3))
    seal(tmp_path / "a.npy")
    assert len(MappedImages(tmp_path / "a.npy")) == 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux alone lists a process's mappings there")
def test_mapped_pixels_are_read_only_and_shared_with_other_processes(rng, tmp_path):
    images = rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    _write(tmp_path / "a.npy", images)
    mapped = MappedImages(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="read-only"):
        mapped[0][:] = 0
    mappings = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    (mapping,) = [line.split() for line in mappings if str(tmp_path / "a.npy") in line]
    assert mapping[1] == "r--s"


def test_every_image_can_be_read_ahead(rng, tmp_path):
    images = rng.integers(0, 256, (5, 50, 50, 3), dtype=np.uint8)
    _write(tmp_path / "a.npy", images)
    mapped = MappedImages(tmp_path / "a.npy")
    for row in range(5):
        mapped.read_ahead(row)
    np.testing.assert_array_equal(_pixels(mapped), images)


def test_a_file_that_is_shorter_than_its_header_says_is_refused(rng, tmp_path):
    _write(tmp_path / "a.npy", rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(DamagedArtifactError, match=r"a\.npy was cut or changed"):
        MappedImages(tmp_path / "a.npy")


def test_a_changed_pixel_is_found_when_its_image_is_read(rng, tmp_path):
    _write(tmp_path / "a.npy", rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8))
    content = bytearray((tmp_path / "a.npy").read_bytes())
    content[200] ^= 1
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DamagedArtifactError, match=r"a\.npy was changed between"):
        _pixels(MappedImages(tmp_path / "a.npy"))
