"""Sentences of README, docs, help and messages are short, and use the words of the glossary."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain

import pytest
from plain_words import MAX_WORDS, ROOT, UNUSED_WORDS, Text, command_line, help_texts, messages, num_words, page

DOCS = ROOT / "docs"
PAGES = [
    DOCS / "index.md",
    DOCS / "concepts" / "walk.md",
    DOCS / "concepts" / "when-it-helps.md",
    DOCS / "reference" / "python.md",
    DOCS / "reference" / "records.md",
    *(DOCS / "start").glob("*.md"),
    *(DOCS / "guides").glob("*.md"),
]


READ: dict[str, Callable[[], Iterator[Text]]] = {
    "help": lambda: help_texts(command_line()),
    "messages": messages,
    "docs": lambda: chain.from_iterable(map(page, PAGES)),
    "README": lambda: page(ROOT / "README.md"),
}


@cache
def read(group: str) -> list[Text]:
    return list(READ[group]())


@pytest.mark.parametrize("group", READ)
def test_no_sentence_is_long(group: str) -> None:
    found = [f"{each.place}, {num_words(long)} words: {long}" for each in read(group) for long in each.long_sentences()]
    assert found == [], f"at most {MAX_WORDS} words"


@pytest.mark.parametrize("group", READ)
def test_no_word_stands_for_a_thing_that_has_another(group: str) -> None:
    found = [
        f"{each.place}: {hit[0]!r}, see docs/glossary.md: {row}"
        for each in read(group)
        for row, pattern in UNUSED_WORDS.items()
        for hit in re.finditer(pattern, each.text)
    ]
    assert found == []


def test_every_row_of_the_glossarys_list_is_looked_for() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8").partition("## Words that we do not use")[2]
    assert re.findall(r"^\| (?!not \||---)(.+?) \|", text, flags=re.MULTILINE) == list(UNUSED_WORDS)


@pytest.mark.parametrize("group", READ)
def test_there_is_something_to_read(group: str) -> None:
    assert sum(len(each.sentences()) for each in read(group)) > 50


def test_sentences_and_words_are_counted_as_people_do() -> None:
    text = Text(
        "", "One `pretrieve run x` is code. See [the page](a/b.md), e.g. 0.5 points! A new one?\n\n- item\n- item two"
    )
    assert text.sentences() == [
        "One `pretrieve run x` is code.",
        "See [the page](a/b.md), e.g. 0.5 points!",
        "A new one?",
        "- item",
        "- item two",
    ]
    assert [num_words(each) for each in text.sentences()] == [4, 6, 3, 1, 2]
    assert len(Text("", "word " * 31).long_sentences()) == 1
    assert not Text("", "word " * 30).long_sentences()
