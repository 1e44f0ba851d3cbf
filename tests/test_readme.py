"""What the README prints, run as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pretrieve.components import TARGETS


def code_block(readme: Path, marker: str) -> str:
    """Return the first Python block of the README that holds the marker."""
    blocks = [part.split("```")[0] for part in readme.read_text(encoding="utf-8").split("```python\n")[1:]]
    return next(block for block in blocks if marker in block)


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test registers."""
    monkeypatch.setattr(TARGETS, "_registered", dict(TARGETS._registered))


def write_photos(packed: Path, folder: Path, *, num_classes: int, per_class: int) -> None:
    """Write the first photographs of the first classes of a packed set as JPEG files, a folder a class."""
    images, labels = load_photos(packed)
    for label in range(num_classes):
        (folder / f"class {label}").mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(labels == label)[:per_class]):
            Image.fromarray(images[row]).save(folder / f"class {label}" / f"{number}.jpg")


def load_photos(packed: Path) -> tuple[Any, Any]:
    """Unpack images and labels by the loader that lies beside the sets."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("photos", packed.parents[1] / "photos.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = module.load(packed)
    return loaded["images"], loaded["labels"]


@pytest.mark.usefixtures("ray_cluster", "nothing_registered")
def test_folder_of_photos_becomes_a_finished_study_in_ten_lines(
    repository: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = shared / "photos" / "px64"
    write_photos(photos / "source_tinyimagenet200.npz", tmp_path / "photos" / "source", num_classes=6, per_class=12)
    write_photos(photos / "target_monkeys10.npz", tmp_path / "photos" / "birds", num_classes=3, per_class=15)
    code = code_block(repository / "README.md", 'load_folder_tree("photos/birds"')
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "first_study"})
    printed = capsys.readouterr().out
    assert all(method in printed for method in ("linear_probe", "finetune", "random", "uot"))
    assert (tmp_path / "pretrieve-runs" / "first" / "report.html").exists()
    assert (tmp_path / "pretrieve-runs" / "first" / "cards" / "birds.md").exists()
