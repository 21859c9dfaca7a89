"""The command line: `em-toolkit demo`, `fit`, `select`, `predict` and `compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from em_toolkit.cli.exit_codes import ExitCode

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
        With an `em_toolkit.cli.exit_codes.ExitCode`.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        print(
            f"em-toolkit: the command line needs {', '.join(missing)}, which cannot be found: "
            'pip install "em_toolkit[cli]"',
            file=sys.stderr,
        )
        sys.exit(ExitCode.BAD_INPUT)

    try:
        # NumPy, SciPy and the like, which take a second: only here is Ctrl-C caught meanwhile.
        from em_toolkit.cli.app import run

        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("em-toolkit: stopped; nothing was written", file=sys.stderr)
        code = ExitCode.STOPPED
    sys.exit(code)
