"""What ``import em_toolkit`` loads, at every start of a program: no more than scikit-learn does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import sys
{statement}
loaded = sorted({{name.partition(".")[0] for name in sys.modules}})
import json
print(json.dumps(loaded))
"""


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a new interpreter has loaded after a statement."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(process.stdout))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return loaded_by("import em_toolkit")


@pytest.mark.parametrize("name", ["matplotlib", "numba", "torch", "typer", "dask"])
def test_the_import_does_not_load(loaded: set[str], name: str) -> None:
    assert "em_toolkit" in loaded
    assert name not in loaded


def test_the_import_loads_nothing_that_scikit_learn_does_not(loaded: set[str]) -> None:
    """pandas and rich among it: where they are installed, scikit-learn imports them."""
    assert loaded - loaded_by("import sklearn.mixture") == {"em_toolkit"}


def test_a_heavier_import_would_be_seen() -> None:
    assert "matplotlib" in loaded_by("import em_toolkit, matplotlib")
