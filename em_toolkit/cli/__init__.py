"""The command line: `em-toolkit demo`, `em-toolkit fit`, `em-toolkit compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

_LIBRARIES = ("typer", "rich", "pandas", "pyarrow")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the program with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; from the command line by default.

    Raises
    ------
    SystemExit
        0 if all went well, 2 for input that cannot be used.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        print(
            f"em-toolkit: the command line needs {', '.join(missing)}, which cannot be found: "
            'pip install "em_toolkit[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)

    from em_toolkit.cli.app import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
