"""Sentences of pages, help texts and messages, and the words that the glossary rules out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

MAX_WORDS = 30

ROOT = Path(__file__).resolve().parents[1]

UNUSED_WORDS = {
    "dataset A / B, upstream / downstream data": r"\bdata ?set [AB]\b|\b(up|down)stream (data|set|task)",
    "plan, for a prediction of time and cost": r"\bplan(s|ned)? of (time|cost)",
    "domain, category, concept, for what is ranked": r"\b(source|ranked|selected) (domain|categor|concept)",
    "experiment, for a study": r"\b(run|start|finish|resume)\w* (an|your|the) experiment\b(?! of the paper)",
    "run, for a trial": r"\b(training|tuning|hyperparameter) runs?\b",
    "job, task, for a trial": r"\b(training|tuning) (job|task)s?\b",
    "ε, τ₁, τ₂, ε_c, λ in names": r"\b(epsilon|tau_?[12]|lambda_)\b",
    "similarity matrix": r"\bsimilarity matri",
    "tell, told": r"\b(is|are|was|were|be|been|tells?|to) (tell|told)\b",
    "quarantine, corrupted file": r"\bquarantin|\bcorrupt",
    "room (disk)": r"\broom\b",
    "world": r"\bworld\b",
    "opening (of a study)": r"\bopening\b",
    "places (of trials)": r"\bplaces? of (a )?trials?\b",
    "exported figures": r"\bexported figures\b",
    "in earnest": r"\bin earnest\b",
    "utils, helpers, common, manager": r"\b(utils?|helpers?|manager)\b",
}
"""For each row of the glossary's list of words that we do not use, what finds them where they mean that."""


class Text(NamedTuple):
    """Something that a person reads, and where it is."""

    place: str
    text: str

    def sentences(self) -> list[str]:
        """Divide it where a full stop, a colon before a list, or a paragraph ends a sentence."""
        paragraphs = re.split(r"\n\s*\n|\n(?=\s*[-*|] )", self.text)
        return [
            each
            for part in paragraphs
            for each in re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)[)*]*\s+(?=[^a-z])", " ".join(part.split()))
        ]

    def long_sentences(self) -> list[str]:
        return [each for each in self.sentences() if num_words(each) > MAX_WORDS]


def num_words(sentence: str) -> int:
    """Count words; code, a link's address and punctuation alone are none, and a span of code is one."""
    bare = re.sub(r"`[^`]*`", "code", re.sub(r"\]\([^)]*\)", "]", sentence))
    return len(re.findall(r"[\w’'-]*[A-Za-z0-9][\w’'./%-]*", bare))


def page(path: Path) -> Iterator[Text]:
    """Yield the prose of a page of Markdown: no code, and each cell of a table and item of a list for itself."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^( {4}.*|:::.*)$", "", text, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=#|\s*[-*|] |\s*\d+\. )", text):
        for cell in block.split(" | ") if block.lstrip().startswith("|") else [block]:
            yield Text(path.name, cell.strip("# |\n-"))


def help_texts(command: Any, words: str = "pretrieve") -> Iterator[Text]:
    """Yield the help of a command, of its arguments and options, and of the commands below it."""
    yield Text(words, command.help or "")
    yield from (Text(f"{words} {each.name}", each.help or "") for each in command.params)
    for name, inner in getattr(command, "commands", {}).items():
        yield from help_texts(inner, f"{words} {name}")


def messages() -> Iterator[Text]:
    """Yield what the code raises, prints and notes; what follows a semicolon, as remedies do, counts for itself."""
    for root in ("platform", "selection", "dashboards"):
        for path in sorted((ROOT / root).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for argument in said_by(node):
                    text = literal(argument)
                    yield from (Text(f"{path.name}:{argument.lineno}", part) for part in re.split(r";\s+|:\n", text))


def said_by(node: ast.AST) -> list[ast.expr]:
    """Return the arguments of an error that is raised, or of a call that prints or notes something."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return node.exc.args
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        return node.args if name in ("echo", "noticed", "notice") else []
    return []


def literal(node: ast.expr) -> str:
    """Return the text of a literal, with `x` for each value that is put in; nothing for other expressions."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return ""


def command_line() -> Any:
    """Return the command line with its help, without printing it."""
    from pretrieve.cli.app import app

    return typer.main.get_command(app)
