"""The help of the estimators: short, and in plain English."""

from __future__ import annotations

import inspect
import re

import pytest

from em_toolkit import PPCA, GaussianMixture, PoissonMixture

# A parameter: its name and type in the first line, which may go on, and its description.
PARAMETER = re.compile(r"^(\w+) : ", re.MULTILINE)


def parameters_of(kind: type) -> dict[str, int]:
    """The number of lines of each parameter's description."""
    doc = inspect.getdoc(kind)
    assert doc is not None
    section = doc.split("Parameters\n----------\n")[1].split("\n\nAttributes\n")[0]
    parts = PARAMETER.split(section)[1:]
    return {
        name: sum(line.startswith("    ") for line in text.splitlines())
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("kind", [GaussianMixture, PoissonMixture, PPCA])
def test_parameters_take_a_few_lines(kind: type) -> None:
    lines = parameters_of(kind)
    assert set(lines) == set(inspect.signature(kind).parameters)
    long = {name: n for name, n in lines.items() if n > 6}
    assert not long


@pytest.mark.parametrize("kind", [GaussianMixture, PoissonMixture, PPCA])
def test_the_class_takes_no_more_than_scikit_learns(kind: type) -> None:
    from sklearn.mixture import GaussianMixture as Theirs

    ours, theirs = inspect.getdoc(kind), inspect.getdoc(Theirs)
    assert ours is not None
    assert theirs is not None
    assert len(ours.splitlines()) < len(theirs.splitlines())
