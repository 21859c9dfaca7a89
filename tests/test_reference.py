"""The reference of the documentation site lists all that is public."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "index.md"
# Those that say what is public by __all__, and those of which all classes and functions are.
MODULES = [
    *("em_toolkit", "em_toolkit.covariances", "em_toolkit.displays", "em_toolkit.engine"),
    *("em_toolkit.estimators", "em_toolkit.families", "em_toolkit.models", "em_toolkit.priors"),
    *("em_toolkit.selection", "em_toolkit.data", "em_toolkit.datasets", "em_toolkit.model"),
    *("em_toolkit.parameters", "em_toolkit.testing"),
]


def listed() -> dict[str, object]:
    """The entries of the page by their full names; a name that does not exist is an error."""
    entries: dict[str, object] = {}
    for block in re.findall(r"```\{eval-rst\}(.*?)```", PAGE.read_text(), re.DOTALL):
        module = re.search(r"currentmodule:: (\S+)", block)[1]
        for name in re.findall(r"^   (\w+)$", block, re.MULTILINE):
            entries[f"{module}.{name}"] = getattr(import_module(module), name)
    return entries


def public(name: str) -> dict[str, object]:
    """The public classes and functions of a module."""
    module = import_module(name)
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
    names = getattr(module, "__all__", [key for key in own if not key.startswith("_")])
    things = {key: getattr(module, key) for key in names}
    return {
        key: thing
        for key, thing in things.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    }


@pytest.mark.parametrize("name", MODULES)
def test_all_public_names_are_in_the_reference(name):
    known = {id(thing) for thing in listed().values()}
    names = public(name)
    assert names
    assert [key for key, thing in names.items() if id(thing) not in known] == []
