import os
import sys

import numpy as np
import pytest

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.decode import encode_png
from pretrieve.data.registry import find_image_set, register_target, registered_names
from pretrieve.errors import ImageSetError

DEMO_NAMES = {"characters", "digits", "greek", "symbols"}

MODULE = """
import numpy as np
import pretrieve as pt
from pretrieve import image_set_from_arrays

def squares() -> pt.ImageSet:
    return image_set_from_arrays("squares", ["a"], {"train": (np.zeros((2, 8, 8), np.uint8), np.array([0, 0]))})

not_a_function = 3
"""

NEWCOMERS_MODULE = """
from __future__ import annotations
from pathlib import Path
from pretrieve import ImageSet, register_target
from pretrieve.data.forms.csv_table import load_csv

def shades() -> ImageSet:
    return load_csv(Path(__file__).parent / "labels.csv", name="shades", test_fraction=0.3, seed=1)
"""

pytestmark = pytest.mark.usefixtures("no_registered_sets")


@pytest.fixture
def user_module(tmp_path, monkeypatch, request):
    name = f"targets_of_{request.node.name.split('[')[0]}"  # a module is imported once: each test has its own
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


class Maker:
    """A function that makes an image set and counts how often."""

    def __init__(self, value=0):
        self.calls = 0
        self.value = value

    def __call__(self):
        self.calls += 1
        return image_set_from_arrays(
            "made", ["a"], {"train": (np.full((2, 8, 8), self.value, np.uint8), np.array([0, 0]))}
        )


def test_a_registered_function_is_found_by_its_name_and_left_as_it_is(tmp_path):
    maker = Maker()
    assert register_target("mine")(maker) is maker
    assert "mine" in registered_names()
    assert find_image_set("mine", cache=tmp_path).name == "made"


def test_the_sets_of_installed_packages_are_listed_and_sorted():
    register_target("aardvarks")(Maker())
    names = registered_names()
    assert {*DEMO_NAMES, "aardvarks"} <= set(names)
    assert names == sorted(names)


def test_a_set_of_this_package_is_found_by_its_entry_point(tmp_path):
    digits = find_image_set("digits", cache=tmp_path)
    assert digits.num_classes == 10
    assert digits.num_images("train") + digits.num_images("test") == 1797


def test_a_set_of_another_installed_package_is_found_by_its_entry_point(tmp_path, monkeypatch, user_module):
    metadata = tmp_path / "squares-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: squares\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[pretrieve.targets]\nplugged-in = {user_module}:squares\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "plugged-in" in registered_names()
    assert find_image_set("plugged-in", cache=tmp_path).name == "squares"


def test_a_newcomers_package_brings_its_own_pictures_by_installing_it(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    package, metadata = site / "newcomer_targets", site / "newcomer_targets-0.1.dist-info"
    (package / "pictures").mkdir(parents=True)
    metadata.mkdir()
    for number in range(6):
        pixels = np.full((8, 8, 3), 40 * number, np.uint8)
        (package / "pictures" / f"{number}.png").write_bytes(encode_png(pixels))
    kinds = "".join(f"pictures/{k}.png,{'dark' if k < 3 else 'light'}\n" for k in range(6))
    (package / "labels.csv").write_text(f"path,label\n{kinds}")
    (package / "__init__.py").write_text(NEWCOMERS_MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer-targets\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[pretrieve.targets]\nshades = newcomer_targets:shades\n")
    monkeypatch.syspath_prepend(site)
    shades = find_image_set("shades", cache=tmp_path / "cache")
    assert shades.class_names == ("dark", "light")
    assert (shades.num_images("train"), shades.num_images("test")) == (4, 2)
    assert all(str(package) in path for path in shades.splits["test"]["path"].to_pylist())
    with pytest.raises(ImageSetError, match=r"but 'shade' is not; known: .*shades.* Did you mean 'shades'\?"):
        find_image_set("shade", cache=tmp_path / "cache")


def test_what_this_process_registers_goes_before_an_installed_set(tmp_path):
    register_target("digits")(Maker())
    assert find_image_set("digits", cache=tmp_path).name == "made"


def test_a_function_of_a_module_is_found_without_registering(tmp_path, user_module):
    assert find_image_set(f"{user_module}:squares", cache=tmp_path).num_images("train") == 2


def test_without_a_version_the_set_is_made_at_every_call(tmp_path):
    maker = register_target("mine")(Maker())
    for _ in range(2):
        find_image_set("mine", cache=tmp_path / "cache")
    assert maker.calls == 2
    assert not (tmp_path / "cache").exists()


def test_with_a_version_the_set_is_made_once_and_read_from_the_cache(tmp_path):
    maker = register_target("mine", version="1")(Maker())
    first, second = (find_image_set("mine", cache=tmp_path) for _ in range(2))
    assert maker.calls == 1
    assert first == second


def test_another_version_or_name_is_made_anew(tmp_path):
    register_target("mine", version="1")(Maker(value=1))
    old = find_image_set("mine", cache=tmp_path)
    register_target("mine", version="2")(Maker(value=2))
    new = find_image_set("mine", cache=tmp_path)
    register_target("other", version="1")(Maker(value=3))
    other = find_image_set("other", cache=tmp_path)
    assert len({made.fingerprints["train"] for made in (old, new, other)}) == 3


def test_an_unknown_name_is_refused_with_those_known_and_the_nearest(tmp_path):
    with pytest.raises(ImageSetError, match=r"but 'digit' is not; known: .*greek.* Did you mean 'digits'\?"):
        find_image_set("digit", cache=tmp_path)


@pytest.mark.parametrize("version", [None, "1"])
def test_a_function_that_returns_another_thing_is_refused(tmp_path, version):
    register_target("mine", version=version)(lambda: {"images": []})
    with pytest.raises(ImageSetError, match=r"'mine' must return a pretrieve ImageSet, but returned dict; see pretr"):
        find_image_set("mine", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_cannot_be_imported_is_refused_with_where_to_put_it(tmp_path):
    with pytest.raises(ImageSetError, match=r"'no_such:birds' must be importable, but No module .* working directory"):
        find_image_set("no_such:birds", cache=tmp_path)


@pytest.mark.parametrize("reference", [":birds", ".sibling:birds"])
def test_a_reference_without_a_full_module_name_is_refused(tmp_path, reference):
    with pytest.raises(ImageSetError, match=rf"my_module:my_object with a full module name, but is '{reference}'"):
        find_image_set(reference, cache=tmp_path)


def test_a_missing_function_is_refused_with_the_nearest_word(tmp_path, user_module):
    with pytest.raises(
        ImageSetError, match=r"must have an image set 'square', but has none\. Did you mean 'squares'\?"
    ):
        find_image_set(f"{user_module}:square", cache=tmp_path)
    with pytest.raises(ImageSetError, match=r"not_a_function' must be a function that is regist.* is of type int"):
        find_image_set(f"{user_module}:not_a_function", cache=tmp_path)


CALLED = """
import os
import pretrieve as pt

def leave_a_trace():
    os.environ["{name}"] = "called"

@pt.register_target("{name}")
def registered():
    return leave_a_trace()
"""


def test_what_does_not_say_that_it_makes_an_image_set_is_not_called(tmp_path, monkeypatch):
    name = "targets_that_leave_a_trace"
    (tmp_path / f"{name}.py").write_text(CALLED.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(ImageSetError, match=r"leave_a_trace' must be .* was not called; annotate it `-> pt.ImageSet`"):
        find_image_set(f"{name}:leave_a_trace", cache=tmp_path)
    assert name not in os.environ
    with pytest.raises(
        ImageSetError, match=r"'os:getcwd' must be .* of type builtin_function_or_method and does neither"
    ):
        find_image_set("os:getcwd", cache=tmp_path)
    with pytest.raises(ImageSetError, match="must return a pretrieve ImageSet, but returned NoneType"):
        find_image_set(f"{name}:registered", cache=tmp_path)
    assert os.environ.pop(name) == "called"


def test_a_function_of_one_name_in_another_project_makes_its_own_set(tmp_path, monkeypatch):
    """Both projects have the same file, which reads what lies beside it."""
    source = """
import numpy as np
from pathlib import Path
import pretrieve as pt

@pt.register_target("own", version="1")
def own() -> pt.ImageSet:
    value = int(Path(__file__).with_name("value.txt").read_text())
    images = np.full((4, 8, 8, 3), value, dtype=np.uint8)
    splits = {"train": (images, np.array([0, 0, 1, 1])), "test": (images[:2], np.array([0, 1]))}
    return pt.image_set_from_arrays("own", ["a", "b"], splits)
"""
    found = []
    for project, value in (("one", "10"), ("two", "20"), ("one", "30")):
        folder = tmp_path / project
        folder.mkdir(exist_ok=True)
        (folder / "value.txt").write_text(value)
        (folder / "same_name.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        sys.modules.pop("same_name", None)
        found.append(find_image_set("same_name:own", cache=tmp_path / "cache").fingerprints["train"])
        sys.modules.pop("same_name", None)
    assert found[0] != found[1]
    assert found[0] == found[2], "it is stored under its version"
