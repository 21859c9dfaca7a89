"""The few commands that a developer needs: `nox -s tests`, `lint`, `notebooks`, `docs`, `bench`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def tests(session: nox.Session) -> None:
    """All tests; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules, format and types."""
    session.install("-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def notebooks(session: nox.Session) -> None:
    """The notebooks, executed into HTML."""
    session.install(".[notebooks]")
    for notebook in sorted(Path("notebooks").glob("*.ipynb")):
        session.run(
            *("jupyter-nbconvert", "--to", "html", "--execute", str(notebook)),
            *("--output-dir", session.create_tmp()),
        )


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into docs/_build; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build")


@nox.session
def bench(session: nox.Session) -> None:
    """A benchmark by its name: `nox -s bench -- compare --quick`."""
    session.install("-e", ".[test]")
    name, *options = session.posargs or ["compare", "--quick"]
    session.run("python", "-m", f"benchmarks.{name}", *options)
