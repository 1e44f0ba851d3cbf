"""What the image cache costs a crop, and what gathering a batch from it costs.

    python benchmarks/image_cache.py

Crops: two photographs, cut to 4:3 and 2:1, and random crops of them as the paper draws them (area 0.08 to 1, aspect
3/4 to 4/3, enlarged or reduced to 224 pixels). The reference is torchvision's `resized_crop` of the original. Beside
it the same crop of the cached `whole` square, and of the cached centre `square`, where that holds the crop at all.
Mean absolute error in grey levels of 255, and PSNR.

Gathering: microseconds an image for batches of random rows, of memory maps that are in memory already, over one, 20
and 100 entries; beside it the loop over the batch's files that the cache had before.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as torchvision_functional

from pretrieve.data.decode import decode_square, decode_whole, encode_png
from pretrieve.data.image_table import table_of_contents
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.entries import CacheEntry, write_entry

RESIZE_SIZE, CROP_SIZE, NUM_CROPS = 256, 224, 300
SHAPES = {"4:3": (427, 569), "2:1": (320, 640)}


def main() -> None:
    measure_crops()
    measure_gathering()


def measure_crops() -> None:
    for name, (height, width) in SHAPES.items():
        errors: dict[str, list[tuple[float, float]]] = {"whole": [], "whole, inside": [], "square, inside": []}
        for photograph in load_sample_images().images:
            image = Image.fromarray(photograph[:height, :width])
            compare_crops(image, errors)
        drawn, inside = len(errors["whole"]), len(errors["square, inside"])
        print(f"{name}: {inside / drawn:.0%} of the crops lie inside the centre square")
        for kind, squares in errors.items():
            absolute = statistics.mean(error[0] for error in squares)
            psnr = statistics.mean(error[1] for error in squares)
            print(f"  {kind:15} {absolute:5.2f} grey levels, {psnr:5.1f} dB ({len(squares)} crops)")


def compare_crops(image: Image.Image, errors: dict[str, list[tuple[float, float]]]) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    whole, _ = decode_whole(buffer.getvalue(), RESIZE_SIZE)
    square = decode_square(buffer.getvalue(), RESIZE_SIZE)
    side = min(image.size)
    # The cached square begins at a whole pixel of the resized image.
    scale = RESIZE_SIZE / side
    margin_top, margin_left = (
        (round(length * scale) - RESIZE_SIZE) // 2 / scale for length in (image.height, image.width)
    )
    torch.manual_seed(0)
    for _ in range(NUM_CROPS):
        top, left, height, width = RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
        reference = np.asarray(
            torchvision_functional.resized_crop(
                image, top, left, height, width, [CROP_SIZE, CROP_SIZE], InterpolationMode.BILINEAR
            )
        )
        through_whole = difference(crop(whole, top, left, height, width, image.height, image.width), reference)
        errors["whole"].append(through_whole)
        top_inside, left_inside = top - margin_top, left - margin_left
        if min(top_inside, left_inside) >= 0 and max(top_inside + height, left_inside + width) <= side:
            through_square = difference(crop(square, top_inside, left_inside, height, width, side, side), reference)
            errors["whole, inside"].append(through_whole)
            errors["square, inside"].append(through_square)


def crop(
    square: NDArray[np.uint8], top: float, left: float, height: float, width: float, of_height: float, of_width: float
) -> NDArray[np.float32]:
    """Sample a box, in pixels of a picture of `of_height` × `of_width`, from the square that holds the picture."""
    transform = torch.tensor(
        [
            [width / of_width, 0, (2 * left + width) / of_width - 1],
            [0, height / of_height, (2 * top + height) / of_height - 1],
        ],
        dtype=torch.float32,
    )
    pixels = torch.from_numpy(square.copy()).permute(2, 0, 1)[None].float()
    grid = F.affine_grid(transform[None], [1, 3, CROP_SIZE, CROP_SIZE], align_corners=False)
    sampled: Tensor = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return sampled[0].permute(1, 2, 0).numpy()


def difference(made: NDArray[np.float32], reference: NDArray[np.uint8]) -> tuple[float, float]:
    errors = made - reference
    return float(np.abs(errors).mean()), float(10 * np.log10(255**2 / np.square(errors).mean()))


def measure_gathering() -> None:
    print("microseconds an image, now (before):")
    for size in (64, 96, RESIZE_SIZE):
        for num_entries, images_per_entry in ((1, 2000), (20, 100), (100, 20)):
            with tempfile.TemporaryDirectory() as folder:
                entries = make_entries(Path(folder), size, num_entries, images_per_entry)
                images = CachedImages(entries)
                maps = [np.load(next(entry.glob("*/images.npy")), mmap_mode="r") for entry in entries]
                images.gather(torch.arange(len(images)))
                cells = []
                for batch_size in (32, 96, 256):
                    now = microseconds(images.gather, len(images), batch_size)
                    before = microseconds(lambda rows, maps=maps: gather_by_file(maps, rows), len(images), batch_size)
                    cells.append(f"batch {batch_size}: {now:6.1f} ({before:6.1f})")
                print(f"  {size:3} px, {num_entries:3} entries  " + "   ".join(cells), flush=True)


def make_entries(cache: Path, size: int, num_entries: int, images_per_entry: int) -> list[Path]:
    content = encode_png(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))
    names, labels = [str(row) for row in range(images_per_entry)], [0] * images_per_entry
    table = table_of_contents(names, [content] * images_per_entry, labels)
    folders = [cache / str(number) for number in range(num_entries)]
    for folder in folders:
        write_entry(CacheEntry(folder.name, table, size, "whole"), folder)
    return folders


def microseconds(gather: Callable[[Tensor], object], num_images: int, batch_size: int) -> float:
    generator = torch.Generator().manual_seed(0)
    times = []
    for _ in range(60):
        rows = torch.randint(num_images, (batch_size,), generator=generator)
        started = time.perf_counter()
        gather(rows)
        times.append(time.perf_counter() - started)
    return statistics.median(times) / batch_size * 1e6


def gather_by_file(maps: list[NDArray[np.uint8]], indices: Tensor) -> Tensor:
    """Gather as the cache did at first: one fancy index a file."""
    starts = np.cumsum([0, *(len(images) for images in maps)])
    rows = indices.numpy()
    files = np.searchsorted(starts, rows, side="right") - 1
    out = np.empty((len(rows), *maps[0].shape[1:]), dtype=np.uint8)
    for file in np.unique(files):
        wanted = files == file
        out[wanted] = maps[file][rows[wanted] - starts[file]]
    return torch.from_numpy(out)


if __name__ == "__main__":
    main()
