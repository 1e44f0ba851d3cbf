"""The members of a family: finding the classes that the files of a folder define, and building one with settings."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.nearest_word import nearest_word


def folder_members(package: str, contract: type) -> dict[str, type]:
    """Return the subclasses of a contract that the files of a package define, by their `name`.

    A file whose name begins with an underscore is not searched; a class that has no `name` of its own, or cannot be
    built because a method is missing, is a base of others and left out.

    >>> from pretrieve_selection.selectors import Selector
    >>> folder_members("pretrieve_selection.selectors", Selector)["uot"].__name__
    'UotSelector'
    """
    names = [each.name for each in iter_modules(import_module(package).__path__) if not each.name.startswith("_")]
    values = [value for name in names for value in vars(import_module(f"{package}.{name}")).values()]
    members = [each for each in values if is_member(each, contract) and "name" in vars(each)]
    return {member.name: member for member in members}


def is_member(found: object, contract: type) -> bool:
    """Return whether an object is a subclass of the contract that can be built.

    >>> is_member(bool, int), is_member(int, int), is_member(3, int)
    (True, False, False)
    """
    is_class = isinstance(found, type) and issubclass(found, contract) and found is not contract
    return is_class and not inspect.isabstract(found)


def own_settings(member: type) -> dict[str, inspect.Parameter]:
    """Return the settings of a member's own, which are the named arguments of its constructor, by name.

    >>> list(own_settings(complex))
    ['real', 'imag']
    """
    parameters = inspect.signature(member).parameters.values()
    return {each.name: each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}


def build_member(member: type, settings: Mapping[str, Any], *, word: str) -> Any:
    """Build a member from its own settings, which are the arguments of its constructor.

    Raises:
      SelectionInputError: a setting is unknown or missing, or the constructor refuses a value.

    >>> build_member(complex, {"real": 1.0}, word="complex")
    (1+0j)
    """
    named = own_settings(member)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in inspect.signature(member).parameters.values())
    unknown = [] if takes_any else [name for name in settings if name not in named]
    if unknown:
        known = f"known: {', '.join(named)}.{nearest_word(unknown[0], named)}" if named else "it has none"
        raise SelectionInputError(f"a setting of {word!r} must be known, but {unknown[0]!r} is not; {known}")
    missing = [name for name, each in named.items() if each.default is each.empty and name not in settings]
    if missing:
        raise SelectionInputError(f"{word!r} must be given {' and '.join(missing)}, but is not; write the value")
    for name, value in settings.items():
        if isinstance(value, bool) and name in named and _is_number(named[name]):
            raise SelectionInputError(
                f"{word!r} must be given a number as {name!r}, but gets {value}, as which YAML reads yes, no, on and "
                "off too; write the number"
            )
    try:
        return member(**settings)
    except (TypeError, ValueError) as fault:
        raise SelectionInputError(f"{word!r} must be built from its settings, but {fault}") from fault


def _is_number(parameter: inspect.Parameter) -> bool:
    """Return whether an argument is declared as a number, of which Python takes a bool for one."""
    declared = str(parameter.annotation)
    if parameter.annotation is parameter.empty:
        return isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
    return bool(re.search(r"\b(int|float)\b", declared)) and not re.search(r"\bbool\b", declared)
