import itertools
import subprocess
import sys

import pytest
import torch
from torch import nn

import pretrieve
from pretrieve.backbones import Preprocessing, architecture_names, find_architecture
from pretrieve.components import BACKBONES
from pretrieve.errors import BackboneError, StudyFileError
from pretrieve.study.study_file import validate_study

NUMBERS = itertools.count()

PREPROCESSING = Preprocessing(resize_size=8, image_size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

MODULE = """
import pretrieve as pt
from torch import nn

GREY = pt.Preprocessing(resize_size=8, image_size=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 7))

pt.register_backbone("mine", build=build, feature_dim=7, preprocessing=GREY, version="3")
plain = pt.Architecture("a word", 7, GREY, build)

def made() -> pt.Architecture:
    return plain

def wrong() -> "pt.Architecture":
    return build()

def silent():
    raise AssertionError("called")

number = 3
"""


@pytest.fixture(autouse=True)
def _registry_of_this_test(monkeypatch):
    monkeypatch.setattr(BACKBONES, "_registered", {})


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    name = f"nets_{next(NUMBERS)}"  # a module is imported once: each test has its own
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("word", ["mine", "plain", "made"])
def test_a_network_of_a_module_is_found_by_reference(user_module, word):
    reference = f"{user_module}:{word}"
    architecture = find_architecture(reference)
    assert (architecture.name, architecture.feature_dim, architecture.selection_dim) == (reference, 7, 7)
    assert architecture.build()(torch.zeros(2, 3, 8, 8)).shape == (2, 7)


def test_another_process_finds_it_by_the_same_name(user_module, tmp_path):
    names = [f"{user_module}:{word}" for word in ("mine@6", "plain", "made")]
    code = f"from pretrieve.backbones import find_architecture as find; print(*(find(n).name for n in {names}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert out.stdout.split() == names


def test_a_registered_networks_word_leads_to_the_name_that_other_processes_know(user_module):
    __import__(user_module)
    assert "mine" in architecture_names()
    assert find_architecture("mine").name == f"{user_module}:mine"
    assert find_architecture("mine@6").name == f"{user_module}:mine@6"
    assert find_architecture(f"{user_module}:mine@6").preprocessing.image_size == 6
    assert find_architecture(f"{user_module}:mine").version == "3"


def test_a_network_is_imported_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "nets_that_lie_here.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    assert find_architecture("nets_that_lie_here:mine").feature_dim == 7


def test_a_network_of_an_installed_package_is_found_by_its_entry_point(tmp_path, monkeypatch, user_module):
    metadata = tmp_path / "nets-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nets\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[pretrieve.backbones]\nplugged_in = {user_module}:plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_architecture("plugged_in").name == "plugged_in"
    assert find_architecture("plugged_in@4").preprocessing.image_size == 4
    with pytest.raises(BackboneError, match=r"but is 'plugged_on'\. Did you mean 'plugged_in'"):
        find_architecture("plugged_on")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("mein", r"must have a backbone 'mein', but has none\. Did you mean 'mine'|'made'"),
        ("number", "must be a pretrieve Architecture, .* but is of type int and does neither, and was not called"),
        ("silent", "must be a pretrieve Architecture, .* but is of type function and does neither, and was not called"),
        ("build", "and was not called; annotate it `-> pt.Architecture`, or register it"),
        (
            "wrong",
            "must be a pretrieve Architecture or return one, but is a Sequential; see pretrieve.register_backbone",
        ),
    ],
)
def test_what_is_no_backbone_is_refused(user_module, word, reason):
    with pytest.raises(BackboneError, match=reason):
        find_architecture(f"{user_module}:{word}")


def test_study_file_calls_no_function_that_makes_no_network(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr("os.system", lambda *arguments: called.append(arguments))
    fields = {"name": "x", "source": "characters", "targets": ["digits"], "backbone": "os:system"}
    with pytest.raises(StudyFileError, match=r"backbone.*'os:system' must be a pretrieve Architecture.*not called"):
        validate_study(fields, origin="the study", base=tmp_path)
    assert not called


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("no_such:net", r"the module of backbone 'no_such:net' must be importable, but No module .* working directory"),
        (":net", "a backbone in a module must be named as my_module:my_object with a full module name"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(reference, reason):
    with pytest.raises(BackboneError, match=reason):
        find_architecture(reference)


def test_a_missing_import_inside_the_module_is_told_as_such(tmp_path, monkeypatch):
    (tmp_path / "nets_that_need_more.py").write_text("import no_such_thing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackboneError, match="must be importable, but No module named 'no_such_thing'"):
        find_architecture("nets_that_need_more:net")


def _register(name="mine_too", **changes):
    fields = {"build": nn.Flatten, "feature_dim": 192, "preprocessing": PREPROCESSING, **changes}
    return pretrieve.register_backbone(name, **fields)


def test_registering_again_replaces_ones_own():
    assert _register().name == f"{__name__}:mine_too"
    _register(feature_dim=3)
    assert find_architecture("mine_too").feature_dim == 3


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("resnet18", {}, "name must be free, but 'resnet18' is 'resnet18'; choose another"),
        ("a:b", {}, "must be letters, digits and underscores, but is 'a:b'"),
        ("a@96", {}, "must be letters, digits and underscores, but is 'a@96'"),
        ("a", {"feature_dim": 0}, "feature_dim must be at least 1, but that of 'a' is 0"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(name, changes, reason):
    with pytest.raises(BackboneError, match=reason):
        _register(name, **changes)
