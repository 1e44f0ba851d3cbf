"""One open family: finds a member by its word, wherever it comes from."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, NamedTuple

from pretrieve.components.by_name import declares, import_module_of
from pretrieve.errors import ComponentError, UserError, nearest_word
from pretrieve_selection import SelectionInputError
from pretrieve_selection.members import build_member, folder_members, is_member

Form = Literal["class", "object", "function"]


class MemberInfo(NamedTuple):
    """What a list of members shows: the word that a study writes, where the member comes from, and what it does."""

    word: str
    origin: str
    summary: str


class Family:
    """The members of one kind, found by the word that a study writes.

    A word is looked for among the built-in members, those that this process registered, and the entry points
    `pretrieve.<family>` of installed packages, in this order; `my_module:my_object` is imported, from the working
    directory too. Processes exchange words, not members, so each process of a cluster finds the same ones.

    Args:
      name: the plural; entry points have the group `pretrieve.<name>`.
      noun: one member, with its article, for messages.
      contract: `module:Class`, imported when first needed. The files beside it are searched for built-in members, if
        members are classes.
      form: what a member is: a subclass of the contract with a `name` of its own; an instance of the contract, or a
        function that declares to return one; or such a function alone.
      error: raised for a word that names no member.
      adapter: `module:function`, imported when first needed; it is called as `function(object, word)` with an object
        that is no member. It returns what builds a member of that object, or None.
    """

    def __init__(
        self,
        name: str,
        noun: str,
        contract: str,
        *,
        form: Form = "class",
        error: type[UserError] = ComponentError,
        adapter: str = "",
    ) -> None:
        self.name, self.noun, self.form = name, noun, form
        self._contract, self._error, self._adapter = contract, error, adapter
        self._registered: dict[str, Any] = {}
        self._built_in: dict[str, Any] | None = None

    @property
    def group(self) -> str:
        """The group of entry points by which an installed package declares members."""
        return f"pretrieve.{self.name}"

    @property
    def singular(self) -> str:
        """One member, as a word."""
        return self.name.replace("ies", "y").removesuffix("s")

    @property
    def contract(self) -> type:
        """The class that members derive from, are instances of, or return."""
        found: type = _imported(self._contract)
        return found

    def register(self, word: str, member: Any) -> None:
        """Let studies of this process name a member by a word; other processes do not know it."""
        self._registered[word] = member

    def is_registered(self, member: Any) -> bool:
        """Return whether this process registered the member."""
        return any(member is known for known in self._registered.values())

    def registered(self, word: str) -> Any:
        """Return the member that this process registered under a word; None if there is none."""
        return self._registered.get(word)

    def words(self) -> list[str]:
        """List the words of all members but those of modules that no one named, sorted."""
        return sorted({*self.built_in(), *self._registered, *(point.name for point in self._entry_points())})

    def members(self) -> list[MemberInfo]:
        """Describe all members but those of modules that no one named; nothing of an installed package is imported."""
        infos = {point.name: MemberInfo(point.name, _origin(point), point.value) for point in self._entry_points()}
        infos |= {
            word: MemberInfo(word, "registered", first_sentence(member)) for word, member in self._registered.items()
        }
        infos |= {
            word: MemberInfo(word, "built in", first_sentence(member)) for word, member in self.built_in().items()
        }
        return [infos[word] for word in sorted(infos)]

    def find(self, word: str) -> Any:
        """Return the member that a word names; a function that makes one is not called.

        Raises:
          UserError: of the family's class; no member has that word, or what has it is no member.
        """
        if ":" in word:
            return self._checked(self._import(word), word)
        for known in (self.built_in(), self._registered):
            if word in known:
                return known[word]
        points = self._entry_points(word)
        if len(points) > 1:
            raise self._error(
                f"{self.noun} must have a name of its own, but {word!r} is declared by "
                f"{' and by '.join(_origin(point) for point in points)}; uninstall one of them, or write "
                f"{' or '.join(point.value for point in points)}"
            )
        for point in points:
            try:
                found = point.load()
            except (ImportError, AttributeError) as missing:
                raise self._error(
                    f"{self.noun} of an installed package must be importable, but {word!r} of {_origin(point)} is "
                    f"not: {missing}; mend or uninstall that package"
                ) from missing
            # The package declares what it is, so a function needs no annotation that says it again.
            return found if self.form != "class" and callable(found) else self._checked(found, word)
        words = self.words()
        raise self._error(
            f"{self.noun} must be known, but {word!r} is not; known: {', '.join(words)}; or name one of your own as "
            f"my_module:my_{self.singular}.{nearest_word(word, words)}"
        )

    def find_for_study(self, word: str) -> Any:
        """Return the member that a word of a study names.

        Raises:
          UserError: of the family's class; as for `find` and `refuse_unshared`.
        """
        found = self.find(word)
        self.refuse_unshared(word)
        return found

    def refuse_unshared(self, word: str) -> None:
        """Refuse a word that this process alone can find, as a study's workers and later commands find it again.

        Raises:
          UserError: of the family's class; the word is of the running script, or was only registered in this process.
        """
        is_registered = word in self._registered and word not in self.built_in() and not self._entry_points(word)
        if is_registered or word.startswith("__main__:"):
            raise self._error(
                f"{self.noun} of a study must be known to all its processes, but {word!r} is known to the running "
                f"script alone; put it into a module of its own and name it as my_module:my_{self.singular}"
            )

    def build(self, word: str, settings: Mapping[str, Any]) -> Any:
        """Build a member that is a class from its own settings.

        Raises:
          UserError: of the family's class; as for `find`, or a setting is unknown, missing or refused.
        """
        try:
            return build_member(self.find(word), settings, word=word)
        except SelectionInputError as fault:
            raise self._error(str(fault)) from fault

    def identity(self, word: str) -> Any:
        """Return what a key holds of a member: the word of a built-in one, with the source of any other.

        So a member that was changed makes its results again. The source is that of its whole module, as a member may
        call functions beside it.
        """
        if word in self.built_in():
            return word
        try:
            source = inspect.getsource(sys.modules[self.find(word).__module__])
        except (OSError, TypeError, KeyError, AttributeError):  # typed at a prompt
            return {"word": word}
        return {"word": word, "source": hashlib.sha256(source.encode()).hexdigest()}

    def built_in(self) -> dict[str, Any]:
        """Return the built-in members by their names, from the files beside the contract.

        Members that are no classes are those that the package of these files lists in `BUILT_IN`.
        """
        package = self._contract.partition(":")[0].rpartition(".")[0]
        if self.form != "class":
            return dict(getattr(import_module(package), "BUILT_IN", {}))
        if self._built_in is None:
            self._built_in = dict(folder_members(package, self.contract))
        return self._built_in

    def _entry_points(self, word: str | None = None) -> list[EntryPoint]:
        return [point for point in _declared(self.group, tuple(sys.path)) if word in (None, point.name)]

    def _import(self, reference: str) -> Any:
        module = import_module_of(reference, noun=self.noun, error=self._error)
        name = reference.partition(":")[2]
        found = getattr(module, name, self._registered.get(name))  # importing the module may have registered it
        if found is None:
            words = [known for known in vars(module) if not known.startswith("_")]
            raise self._error(
                f"module {module.__name__!r} must have {self.noun} {name!r}, but has none.{nearest_word(name, words)}"
            )
        return found

    def _fits(self, found: Any) -> bool:
        contract = self.contract
        if self.form == "class":
            return is_member(found, contract)
        is_object = self.form == "object" and isinstance(found, contract)
        return is_object or declares(found, contract) or self.is_registered(found)

    def _checked(self, found: Any, word: str) -> Any:
        if self._fits(found):
            return found
        if self._adapter and (adapted := _imported(self._adapter)(found, word)) is not None:
            return adapted
        kind, got = self.contract.__name__, "a class" if isinstance(found, type) else f"of type {type(found).__name__}"
        if self.form == "class":
            left = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            fault = f"does not define {left}" if left and issubclass(found, self.contract) else f"is {got}"
            raise self._error(f"{word!r} must be a subclass of pretrieve's {kind}, but {fault}; see docs/extending.md")
        raise self._error(
            f"{word!r} must be {f'a pretrieve {kind}, or ' if self.form == 'object' else ''}a function that is "
            f"registered, or declares to return a pretrieve {kind}, but is {got} and does neither, and was not called; "
            f"annotate it `-> pt.{kind}`, or register it"
        )


def _imported(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


@cache
def _declared(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; each trial asks for them, and a search reads every installed package."""
    return tuple(dict.fromkeys(entry_points(group=group)))  # a folder twice on the path shows its packages twice


def _origin(point: EntryPoint) -> str:
    distribution = point.dist
    return "a package" if distribution is None else f"the package {distribution.name} {distribution.version}"


def first_sentence(member: Any) -> str:
    """Return what a member does: the first line of its docstring, or what an object says in `summary`.

    >>> from pretrieve.components import METRICS
    >>> first_sentence(METRICS.find("top1"))
    'Count the images whose class is predicted correctly, divided by the number of images.'
    """
    if not callable(member):
        return str(getattr(member, "summary", ""))
    described = member.func if isinstance(member, partial) else member
    return (inspect.getdoc(described) or "").partition("\n")[0]
