import itertools
import subprocess
import sys

import pytest

from pretrieve.components import OBJECTIVES, SELECTORS, STRATEGIES, Family
from pretrieve.errors import ComponentError

NUMBERS = itertools.count()

MODULE = """
import numpy as np
from pretrieve_selection import Selection, Selector

class Last(Selector):
    \"\"\"Select the last groups.\"\"\"

    name = "last"

    def __init__(self, step: int = 1):
        if step < 1:
            raise ValueError(f"step must be at least 1, but is {step}")
        self.step = step

    def _select(self, problem, *, top_k, settings, rng):
        scores = np.arange(problem.source.num_groups) // self.step
        return Selection.from_scores(self.name, scores, top_k=top_k)

class Unfinished(Selector):
    name = "unfinished"

def function():
    raise AssertionError("called")

number = 3
"""


@pytest.fixture
def selectors():
    """A family of its own, so that what a test registers ends with it."""
    return Family("selectors", "a selector", "pretrieve_selection.selectors._base:Selector")


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"own_selectors_{next(NUMBERS)}"  # a module is imported once: each test has its own
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def install(folder, name, entry_points, version="1.0"):
    """Write what pip leaves of an installed package."""
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[pretrieve.selectors]\n{entry_points}\n")


def test_the_files_of_the_folder_are_the_built_in_members(selectors, request):
    folder = request.config.rootpath / "selection" / "pretrieve_selection" / "selectors"
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    modules = {member.__module__.rpartition(".")[2] for member in selectors.built_in().values()}
    assert modules == files
    assert all(member.name == word for word, member in selectors.built_in().items())


def test_a_member_is_found_by_module_and_name(selectors, module):
    found = selectors.find(f"{module}:Last")
    assert found.name == "last"
    assert selectors.build(f"{module}:Last", {"step": 2}).step == 2


def test_a_member_is_imported_from_the_working_directory(selectors, tmp_path, monkeypatch):
    (tmp_path / "selectors_that_lie_here.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    assert selectors.find("selectors_that_lie_here:Last").name == "last"


def test_a_member_of_an_installed_package_is_found_by_its_word(selectors, module, tmp_path, monkeypatch):
    install(tmp_path / "site", "own", f"plugged_in = {module}:Last")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert selectors.find("plugged_in").name == "last"
    assert "plugged_in" in selectors.words()
    (info,) = [each for each in selectors.members() if each.word == "plugged_in"]
    assert info.origin == "the package own 1.0"


def test_two_packages_with_one_word_are_refused_by_name(selectors, module, tmp_path, monkeypatch):
    for name, cls in (("first", "Last"), ("second", "Unfinished")):
        install(tmp_path / name, name, f"plugged_in = {module}:{cls}")
        monkeypatch.syspath_prepend(tmp_path / name)
    with pytest.raises(ComponentError, match=r"'plugged_in' is declared by the package \w+ 1\.0 and by the package"):
        selectors.find("plugged_in")


def test_a_package_that_cannot_be_imported_is_named(selectors, tmp_path, monkeypatch):
    install(tmp_path / "site", "broken", "plugged_in = no_such_module:Thing")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ComponentError, match=r"'plugged_in' of the package broken 1\.0 is not: No module named"):
        selectors.find("plugged_in")


def test_a_registered_member_is_found_by_its_word(selectors, module):
    member = selectors.find(f"{module}:Last")
    selectors.register("mine", member)
    assert selectors.find("mine") is member
    assert ("mine", "registered", "Select the last groups.") in selectors.members()


def test_a_word_that_other_processes_cannot_find_is_refused_for_a_study(selectors, module, tmp_path, monkeypatch):
    member = selectors.find(f"{module}:Last")
    assert selectors.find_for_study(f"{module}:Last") is member
    assert selectors.find_for_study("uot") is selectors.find("uot")
    selectors.register("mine", member)
    with pytest.raises(
        ComponentError, match=r"all its processes, but 'mine' is known to the running script alone; put"
    ):
        selectors.find_for_study("mine")
    install(tmp_path / "site", "own", f"mine = {module}:Last")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert selectors.find_for_study("mine") is member
    with pytest.raises(ComponentError, match="module '__main__' must have a selector 'Lost', but has none"):
        selectors.find_for_study("__main__:Lost")


def test_an_unknown_word_is_refused_with_those_that_are_known(selectors):
    first, *_, last = selectors.words()
    fault = rf"a selector must be known, but '{last}x' is not; known: {first}, .*{last}; .*\. Did you mean '{last}'\?"
    with pytest.raises(ComponentError, match=fault):
        selectors.find(f"{last}x")


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("no_such:Thing", r"the module of selector 'no_such:Thing' must be importable, but No module .* directory"),
        (":Thing", "a selector in a module must be named as my_module:my_object with a full module name"),
        ("MODULE:Lost", r"must have a selector 'Lost', but has none\. Did you mean 'Last'\?"),
        ("MODULE:number", "must be a subclass of pretrieve's Selector, but is of type int; see docs/extending.md"),
        ("MODULE:function", "must be a subclass of pretrieve's Selector, but is of type function"),
        ("MODULE:Unfinished", "must be a subclass of pretrieve's Selector, but does not define _select"),
        ("os:system", "must be a subclass of pretrieve's Selector, but is of type builtin"),
    ],
)
def test_what_is_no_member_is_refused(selectors, module, word, fault):
    with pytest.raises(ComponentError, match=fault):
        selectors.find(word.replace("MODULE", module))


@pytest.mark.parametrize(
    ("word", "settings", "fault"),
    [
        ("MODULE:Last", {"stepp": 2}, r"'stepp' is not; known: step\. Did you mean 'step'\?"),
        ("MODULE:Last", {"step": 0}, "must be built from its settings, but step must be at least 1, but is 0"),
        ("uot", {"step": 1}, "a setting of 'uot' must be known, but 'step' is not; it has none"),
        ("label", {}, "'label' must be given label_groups"),
    ],
)
def test_settings_that_a_member_does_not_take_are_refused(selectors, module, word, settings, fault):
    with pytest.raises(ComponentError, match=fault):
        selectors.build(word.replace("MODULE", module), settings)


def test_a_key_holds_the_source_of_a_members_module(selectors, tmp_path, module):
    assert selectors.identity("uot") == "uot"
    code = f"from pretrieve.components import SELECTORS; print(SELECTORS.identity('{module}:Last'))"
    before, again = (identity_in_another_process(code, tmp_path) for _ in range(2))
    (tmp_path / f"{module}.py").write_text(MODULE.replace("// self.step", "+ self.step"))
    after = identity_in_another_process(code, tmp_path)
    assert before == again != after


def identity_in_another_process(code, folder):
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return out.stdout


def test_every_built_in_member_says_what_it_does():
    for family in (SELECTORS, OBJECTIVES, STRATEGIES):
        assert all(info.summary.endswith(".") for info in family.members() if info.origin == "built in")


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "1 / 0", "def f(:", "{}['x']"])
def test_a_module_that_ends_in_an_error_is_one_message(selectors, tmp_path, monkeypatch, code):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"ends_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code + "\n")
    with pytest.raises(ComponentError, match=r"the module of .* must be importable, but ends in .*line \d+\); mend it"):
        selectors.find(f"{name}:Thing")
