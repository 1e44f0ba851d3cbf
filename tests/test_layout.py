"""The shape of the checkout that its users rely on."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE_ROOTS = ("platform", "selection", "dashboards")


def test_standard_librarys_platform_is_not_shadowed_from_the_root(repository: Path) -> None:
    command = [sys.executable, "-c", "import platform; print(platform.system())"]
    out = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    import platform

    assert out.stdout.strip() == platform.system() != ""


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_source_roots_hold_a_package_and_are_none(repository: Path, root: str) -> None:
    assert not (repository / root / "__init__.py").exists()
    assert len(list((repository / root).glob("*/__init__.py"))) == 1


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "platform", "jobs", "selection", "dashboards", "tests", "README.md"]
)
def test_the_users_names_stay_at_the_top_level(repository: Path, name: str) -> None:
    assert (repository / name).exists()


def imported_modules(tree: ast.AST) -> set[str]:
    """List the modules that a file imports, anywhere in it, each name of a `from` taken for a module as well."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("folder", [*SOURCE_ROOTS, "jobs", "tests", "benchmarks"])
def test_private_modules_of_ray_are_not_imported(repository: Path, folder: str) -> None:
    """They change without notice from one version of Ray to the next."""
    for path in sorted((repository / folder).rglob("*.py")):
        modules = [name.split(".") for name in imported_modules(ast.parse(path.read_text(encoding="utf-8")))]
        private = [parts for parts in modules if parts[0] == "ray" and {"_internal", "_private"} & set(parts)]
        assert not private, path


def test_jobs_hold_no_logic_and_import_only_the_platform(repository: Path) -> None:
    standard = {"sys", "__future__"}
    for script in (repository / "jobs").glob("*.py"):
        tree = ast.parse(script.read_text(encoding="utf-8"))
        assert {name.split(".")[0] for name in imported_modules(tree)} <= standard | {"pretrieve"}, script
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree)), script
        assert script.stem not in sys.stdlib_module_names


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, pretrieve; print(sorted({'torch', 'ray', 'mlflow', 'pandas'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
