"""Whether each built-in member of a family can be taken away: nothing but its own tests may need its file.

    python benchmarks/without_members.py
    python benchmarks/without_members.py --family views --member cost
    python benchmarks/without_members.py --family selectors --tests tests/platform/stages

Copies the checkout, and for each file of members takes it out of the copy, imports all modules and runs tests: those of
the registry and of the member's family; for what a row of a study names also those of methods, of the contract suites
and of keys; or what `--tests` names. A test that fails is left out if it needs this very member: its code, its
parameters, a mark, a fixture or something that it uses from the tests has a string with the member's word, or imports
its file. What was left out is printed. A file of tests that cannot be imported without the member is left out if it is
about that member alone, and else has failed. Members that build on the member go with it. Members that settings name
by default are only reported, as no study can be read without them. Exits with 1 if a module cannot be imported or a
test has failed.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import pytest

from pretrieve.components import FAMILIES, Family
from pretrieve_selection.members import own_settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("platform", "selection", "dashboards")
REGISTRY_TESTS = "tests/platform/components"
ROW_TESTS = ("tests/platform/methods", "tests/platform/testing", "tests/platform/stages/test_golden_keys.py")
"""Of the families that a row of a study names members of."""
TRAINING = "tests/platform/training"
FAMILY_TESTS = {
    "selectors": ("tests/selection/selectors", *ROW_TESTS),
    "objectives": (f"{TRAINING}/test_objectives.py", *ROW_TESTS),
    "optimizers": (f"{TRAINING}/test_optimizers.py", *ROW_TESTS),
    "schedules": (f"{TRAINING}/test_schedules.py", *ROW_TESTS),
    "head_starts": (f"{TRAINING}/test_head_starts.py", *ROW_TESTS),
    "metrics": ("tests/platform/metrics", "tests/platform/data/test_metric_words.py"),
    "strategies": ("tests/platform/search",),
    "views": ("tests/dashboards",),
}


class MemberFile(NamedTuple):
    """A file of a family's folder, with the words of the members that it defines."""

    family: str
    module: str
    words: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Relative to the root of the checkout."""
        return Path(inspect.getfile(sys.modules[self.module])).resolve().relative_to(ROOT)


class Outcome(NamedTuple):
    """What became of the imports and tests without a file."""

    verdict: str
    num_passed: int = 0
    failed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def main() -> None:
    families = {name: family for name, family in FAMILIES.items() if family.form == "class"}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", choices=sorted(families), default=list(families), help="only these")
    parser.add_argument("--member", nargs="+", default=[], help="only the files of these words")
    parser.add_argument("--tests", nargs="+", default=[], help="run these tests instead")
    arguments = parser.parse_args()
    defaults = words_of_defaults()
    has_failed = False
    print(f"{'family':12}{'member':36}{'passed':>7}{'failed':>7}{'left out':>9}{'s':>5}  verdict", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_checkout(Path(folder) / "checkout")
        for name in arguments.family:
            files = member_files(families[name])
            for each in files:
                if arguments.member and not set(arguments.member) & set(each.words):
                    continue
                tests = arguments.tests or [REGISTRY_TESTS, *FAMILY_TESTS.get(name, ())]
                started = time.perf_counter()
                default = sorted(set(each.words) & defaults.get(name, set()))
                outcome = Outcome(f"default: {', '.join(default)}") if default else without(each, files, copy, tests)
                has_failed |= bool(outcome.failed)
                print_outcome(each, outcome, time.perf_counter() - started)
    sys.exit("some members cannot be taken away" if has_failed else 0)


def words_of_defaults() -> dict[str, set[str]]:
    """Return the words that a study names without being asked to, by family: of one row with a source, and without."""
    from pretrieve.components import SELECTORS
    from pretrieve.data.image_set import ImageSet
    from pretrieve.methods import find_method
    from pretrieve.search.settings import SearchSettings
    from pretrieve.training.settings import TrainingSettings

    selector = next(word for word in SELECTORS.built_in() if not own_settings(SELECTORS.find(word)))
    rows = [find_method("finetune"), find_method(selector)]
    training = TrainingSettings()
    return {
        "objectives": {row.trained_with for row in rows},
        "head_starts": {training.head_start},
        "optimizers": {training.optimizer},
        "schedules": {training.schedule},
        "strategies": {SearchSettings().strategy},
        "metrics": {inspect.signature(ImageSet).parameters["metric"].default},
    }


def member_files(family: Family) -> list[MemberFile]:
    """List the files of a family's folder with their members."""
    words: dict[str, list[str]] = {}
    for word, member in family.built_in().items():
        words.setdefault(member.__module__, []).append(word)
    return [MemberFile(family.name, module, tuple(found)) for module, found in sorted(words.items())]


def copy_of_checkout(folder: Path) -> Path:
    """Copy all files that git knows or would add, as they are now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def without(file: MemberFile, files: Sequence[MemberFile], copy: Path, tests: Sequence[str]) -> Outcome:
    """Take a file away with those that build on it, import everything, run the tests, and put it back."""
    gone = [file, *dependents(file, files)]
    beside = copy.parent / "away"
    beside.mkdir(exist_ok=True)
    for each in gone:
        (copy / each.path).rename(beside / each.path.name)
    try:
        words = [word for each in gone for word in each.words]
        outcome = run_tests_in(copy, words, [each.module for each in gone], tests)
    finally:
        for each in gone:
            (beside / each.path.name).rename(copy / each.path)
    also = "".join(f"; {', '.join(each.words)} went with it" for each in gone[1:])
    return outcome._replace(verdict=outcome.verdict + also)


def dependents(file: MemberFile, files: Sequence[MemberFile]) -> list[MemberFile]:
    """List the other files of the folder that import this one, also through each other."""
    found: list[MemberFile] = []
    reached = [file]
    while reached:
        module = reached.pop().module
        for each in files:
            if each not in (file, *found) and module in imported_modules((ROOT / each.path).read_text("utf-8")):
                found.append(each)
                reached.append(each)
    return found


def imported_modules(source: str) -> set[str]:
    """List the modules that a file imports from."""
    return {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}


def run_tests_in(copy: Path, words: Sequence[str], modules: Sequence[str], tests: Sequence[str]) -> Outcome:
    """Import all modules and run tests of the copy, in a process of their own."""
    paths = [*(copy / package for package in PACKAGES), copy / "tests", copy / "benchmarks"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("PRETRIEVE_SHARED", str(ROOT.parent / "shared"))
    results = copy.parent / "results.json"
    results.unlink(missing_ok=True)
    code = "import json, sys, without_members; without_members.check(*json.loads(sys.argv[1]))"
    given = json.dumps([list(words), list(modules), list(tests), str(results)])
    command = [sys.executable, "-c", code, given]
    done = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not results.exists():
        return Outcome("no test was run", failed=tuple(done.stdout.decode().splitlines()[-20:]))
    verdict, num_passed, failed, left_out = json.loads(results.read_text(encoding="utf-8"))
    return Outcome(verdict, num_passed, tuple(failed), tuple(left_out))


def check(words: list[str], modules: list[str], tests: list[str], results: str) -> None:
    """Import all modules and then run tests in this process, and write what became of them as JSON."""
    found = Results(words, modules)
    outcome = Outcome("is imported", failed=tuple(broken_modules()))
    if not outcome.failed:
        options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "--continue-on-collection-errors"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what the imports above imported
        pytest.main([*tests, *options], plugins=[found])
        if not found.num_passed:
            return
        verdict = "is needed by tests" if found.failed else "can be taken away"
        outcome = Outcome(verdict, found.num_passed, tuple(found.failed), tuple(found.left_out))
    Path(results).write_text(json.dumps(outcome), encoding="utf-8")


def broken_modules() -> list[str]:
    """Import every module of the packages, and return those that cannot be imported, with the reason."""
    broken: dict[str, str] = {}
    for root in ("pretrieve_selection", "pretrieve", "pretrieve_dashboards"):
        for each in pkgutil.walk_packages(import_module(root).__path__, f"{root}.", onerror=lambda name: None):
            if not each.name.endswith("__main__"):
                try:
                    import_module(each.name)
                except Exception as fault:
                    broken[each.name] = str(fault)
    return [f"import of {name}: {fault}" for name, fault in broken.items()]


class Results:
    """Counts tests, and decides of each that fails whether it needs the member that is gone."""

    def __init__(self, words: Sequence[str], modules: Sequence[str]) -> None:
        self.modules = frozenset(modules)
        self._words = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, words))})(?!\w)")
        self.num_passed, self.failed, self.left_out = 0, list[str](), list[str]()
        self._fixtures: dict[str, Any] = {}

    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        self._fixtures[fixturedef.argname] = fixturedef.func

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, Any]:
        report = yield
        if report.failed:
            (self.left_out if self._item_names(item) else self.failed).append(item.nodeid)
        self.num_passed += report.passed and report.when == "call"
        return report

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and report.nodeid.endswith(".py"):
            is_own = self._is_about_the_member_alone(Path(report.nodeid))
            (self.left_out if is_own else self.failed).append(f"{report.nodeid} (the file)")

    def _is_about_the_member_alone(self, path: Path) -> bool:
        """Whether the file imports the member, and no other member of its family."""
        folders = {module.rpartition(".")[0] + "." for module in self.modules}
        imported = imported_modules(path.read_text(encoding="utf-8"))
        members = {name for name in imported if name.startswith(tuple(folders)) and "._" not in name}
        return bool(members) and members <= self.modules

    def _item_names(self, item: Any) -> bool:
        fixtures = [self._fixtures[name] for name in item.fixturenames if name in self._fixtures]
        params = getattr(getattr(item, "callspec", None), "params", {})
        seen: dict[int, Any] = {}
        marks = [mark.args for mark in item.iter_markers() if mark.name != "parametrize"]
        return any(self._names(value, seen) for value in (item.function, *fixtures, params, marks))

    def _names(self, value: Any, seen: dict[int, Any]) -> bool:
        """Whether a value of a test names a member: a string in it, or what its code uses from the tests."""
        if isinstance(value, str):
            return bool(self._words.search(value))
        if id(value) in seen:
            return False
        seen[id(value)] = value  # kept, so that no other value gets its id
        if isinstance(value, Mapping):
            return any(self._names(each, seen) for pair in value.items() for each in pair)
        if isinstance(value, tuple | list | set | frozenset):
            return any(self._names(each, seen) for each in value)
        if isinstance(value, type) and self._is_of_tests(value):
            parts = {name: part for name, part in vars(value).items() if name not in ("__doc__", "__module__")}
            return self._names([*parts.values(), *value.__bases__], seen)
        if isinstance(value, FunctionType) and self._is_of_tests(value):
            return self._code_names(inspect.unwrap(value), seen)
        return False

    def _code_names(self, function: FunctionType, seen: dict[int, Any]) -> bool:
        codes = [function.__code__]
        for code in codes:
            codes += [each for each in code.co_consts if isinstance(each, CodeType)]
            used = [function.__globals__[name] for name in code.co_names if name in function.__globals__]
            is_imported = bool(self.modules & set(code.co_names))
            constants = tuple(each for each in code.co_consts if each != function.__doc__)
            if is_imported or self._names(constants, seen) or self._names(used, seen):
                return True
        return self._names(function.__defaults__ or (), seen)

    @staticmethod
    def _is_of_tests(value: Any) -> bool:
        source = getattr(sys.modules.get(value.__module__), "__file__", None) or ""
        return "/tests/" in source


def print_outcome(file: MemberFile, outcome: Outcome, seconds: float) -> None:
    counts = f"{outcome.num_passed:7d}{len(outcome.failed):7d}{len(outcome.left_out):9d}{seconds:5.0f}"
    print(f"{file.family:12}{', '.join(file.words):36}{counts}  {outcome.verdict}")
    for what, names in (("failed", outcome.failed), ("left out", outcome.left_out)):
        for name in dict.fromkeys(each.partition("[")[0] for each in names):
            print(f"{'':12}  {what}: {name}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
