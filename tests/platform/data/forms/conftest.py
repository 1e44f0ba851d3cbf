import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image


def encoded(number: int, image_format: str = "PNG") -> bytes:
    """Encode a small picture that differs for each number."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 6), (number * 37 % 256, number % 256, 99)).save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture
def png() -> Callable[[int], bytes]:
    """Make the bytes of picture number n."""
    return encoded


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., Path]:
    """Write pictures under relative paths; return the folder."""

    def write(*paths: str, folder: str = "data") -> Path:
        for number, path in enumerate(paths):
            file = tmp_path / folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(number))
        return tmp_path / folder

    return write


@pytest.fixture
def struct_table() -> Callable[..., pa.Table]:
    """Make a table as Hugging Face publishes it: structs {bytes, path} and labels, with names where they are given."""

    def make(contents: list[bytes | None], labels: list[Any], names: list[str] | None = None, **more: Any) -> pa.Table:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        images = pa.array([{"bytes": content, "path": f"{k}.png"} for k, content in enumerate(contents)], kind)
        table = pa.table({"image": images, "label": labels, **more})
        if names is None:
            return table
        quoted = ", ".join(f'"{name}"' for name in names)
        feature = f'{{"names": [{quoted}], "_type": "ClassLabel"}}'
        return table.replace_schema_metadata({"huggingface": f'{{"info": {{"features": {{"label": {feature}}}}}}}'})

    return make


@pytest.fixture(scope="session")
def photographs(shared: Path) -> list[tuple[bytes, str]]:
    """Forty real photographs of two classes of ImageNet as JPEG, each with its class, "n01443537 goldfish"."""
    loader = importlib.util.spec_from_file_location("photos", shared / "photos" / "photos.py")
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    packed = np.load(shared / "photos" / "px64" / "source_tinyimagenet200.npz", allow_pickle=False)
    first = {key: packed[key] for key in packed.files}
    first["offset"], first["layout"] = first["offset"][:2], first["layout"].copy()
    first["layout"][3] = min(int(first["layout"][2]), int(first["layout"][3]))  # one mosaic is enough
    buffer = io.BytesIO()
    np.savez(buffer, **first)
    buffer.seek(0)
    loaded = module.load(buffer)
    found = []
    for label in (0, 1):
        for row in np.flatnonzero(loaded["labels"][: len(loaded["images"])] == label)[:20]:
            jpeg = io.BytesIO()
            Image.fromarray(loaded["images"][row]).save(jpeg, "JPEG", quality=95)
            found.append((jpeg.getvalue(), loaded["class_names"][label]))
    return found
