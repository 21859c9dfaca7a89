"""The parts of numba and llvmlite that are not public, and are needed all the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import em_toolkit
from em_toolkit.kernels import internals

_ROOT = Path(em_toolkit.__file__).parent
_PUBLIC = {"numba", "numba.extending"}


def test_the_installed_numba_has_all_parts() -> None:
    assert list(internals.missing_internals()) == []
    assert internals.UNCOUNTED == {"_nrt": False}


def test_a_part_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(internals.cgutils, "alloca_once")
    assert list(internals.missing_internals()) == ["numba.core.cgutils.alloca_once"]


def test_no_other_file_imports_them() -> None:
    found = set()
    for path in _ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.partition(".")[0] in ("numba", "llvmlite") and name not in _PUBLIC:
                    found.add(path.relative_to(_ROOT).as_posix())
    assert found == {"kernels/internals.py"}
