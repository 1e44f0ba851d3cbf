"""One .npy file of equally large images: written image by image, read through a memory map."""

from __future__ import annotations

import mmap
from io import BytesIO
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pretrieve.artifacts.sealed_files import SealedFile

HEADER_BYTES = 4096
"""Upper bound on the length of a file's header."""


class ImageFileWriter:
    """Appends (H, W, 3) images of `image_shape` to a new .npy file, with one image in memory at a time.

    The file is written, not mapped: on a full disk a write raises an error, while a mapped page would end the process.
    Raises OSError if the disk is full or not writable.
    """

    def __init__(self, path: Path, image_shape: tuple[int, ...]) -> None:
        self._image_shape = image_shape
        self._file = path.open("wb")
        self.num_images = 0
        self._write_header()

    def append(self, image: NDArray[np.uint8]) -> None:
        """Append one image of `image_shape`."""
        assert image.shape == self._image_shape, f"{image.shape} in a file of {self._image_shape}"
        self._file.write(image.tobytes())
        self.num_images += 1

    def _write_header(self) -> None:
        # NumPy pads the header so that the first axis can grow; the header with the final count has the same length.
        fields = {"descr": "|u1", "fortran_order": False, "shape": (self.num_images, *self._image_shape)}
        npy.write_array_header_1_0(self._file, fields)

    def __enter__(self) -> ImageFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._file.seek(0)
                self._write_header()
        finally:
            self._file.close()


class MappedImages:
    """The images of a sealed file of `ImageFileWriter`, in memory that all processes of a node share (the page cache).

    Attributes:
      image_shape: (H, W, 3) of one image.
      image_bytes: size of one image.

    Raises:
      OSError: the file cannot be mapped.
      DamagedArtifactError: its seal or its header is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._file = SealedFile(path)
        self._map = self._file.unchecked()
        header = BytesIO(self._file.view(0, min(len(self._file), HEADER_BYTES)))
        npy.read_magic(header)
        shape, _, dtype = npy.read_array_header_1_0(header)
        self._first_byte = header.tell()
        count = int(np.prod(shape))
        pixels = np.frombuffer(self._map, dtype=dtype, count=count, offset=self._first_byte)
        self._pixels: NDArray[np.uint8] = pixels.reshape(shape)
        self.image_shape = shape[1:]
        self.image_bytes = int(np.prod(shape[1:]))

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8, read-only, from the memory map, after comparing it with its digest.

        Raises DamagedArtifactError if its bytes are not what was written.
        """
        start = self._first_byte + row * self.image_bytes
        self._file.check(start, start + self.image_bytes)
        image: NDArray[np.uint8] = self._pixels[row]
        return image

    def read_ahead(self, row: int) -> None:
        """Ask the system to load an image into memory in the background, unless it is there already."""
        start = self._first_byte + row * self.image_bytes
        page_start = start - start % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, page_start, start + self.image_bytes - page_start)
