"""The command line: `em-toolkit demo`, `fit`, `select`, `predict` and `compare`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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
    try:
        # NumPy, SciPy and the like take a second to import, in which Ctrl-C is to be caught, too.
        code = _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("em-toolkit: stopped; nothing was written", file=sys.stderr)
        code = 130
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    from importlib.util import find_spec

    from em_toolkit.cli.exit_codes import ExitCode

    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        print(
            f"em-toolkit: the command line needs {', '.join(missing)}, which cannot be found: "
            'pip install "em_toolkit[cli]"',
            file=sys.stderr,
        )
        return ExitCode.BAD_INPUT

    from em_toolkit.cli.app import run

    return run(arguments)
