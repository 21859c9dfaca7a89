"""The rooms of the package: imports point one way, and nowhere in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import em_toolkit

PACKAGE = Path(em_toolkit.__file__).parent
# Each may import those after it, and nothing before it.
ROOMS = [
    "cli",
    "displays",
    "selection",
    "estimators",
    "analysis",
    "initialization",
    "kernels",
    "testing",
    "models",
    "families",
    "priors",
    "covariances",
    "engine",
    "model",
    "data",
    "linalg",
    "parameters",
    "statistics",
]
# Words and tables that any room may use; and what gives the rooms their public names.
APART = {"options", "notebook", "datasets", "public", "__init__"}


def modules() -> dict[str, Path]:
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imports_of(name: str, *, at_once: bool) -> set[str]:
    """The modules that one imports; with `at_once`, those only that it needs to be imported."""
    found: set[str] = set()
    tree = ast.parse(MODULES[name].read_text())
    nodes = list(tree.body) if at_once else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("em_toolkit"):
            base = (node.module or "").removeprefix("em_toolkit").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in MODULES else base)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("em_toolkit."):
                    found.add(alias.name.removeprefix("em_toolkit."))
    return found - {name}


def room_of(name: str) -> str:
    return name.split(".")[0] or "__init__"


def test_every_room_has_its_place() -> None:
    assert {room_of(name) for name in MODULES} == {*ROOMS, *APART}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_one_way(name: str) -> None:
    """Those within functions, too."""
    if room_of(name) in APART:
        return
    place = ROOMS.index(room_of(name))
    upward = {
        other
        for other in imports_of(name, at_once=False)
        if room_of(other) not in APART and ROOMS.index(room_of(other)) < place
    }
    assert not upward


def test_no_circles() -> None:
    """Neither between files, those within functions too, nor between folders."""
    edges = {
        name: {other for other in imports_of(name, at_once=False) if other in MODULES}
        for name in MODULES
        if room_of(name) not in APART
    }
    # A folder's __init__ collects names for those outside of it.
    edges = {name: others - {room_of(name)} for name, others in edges.items()}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for other in sorted(edges.get(name, ())):
            visit(other, [*path, name])
        done.add(name)

    for name in sorted(edges):
        visit(name, [])
