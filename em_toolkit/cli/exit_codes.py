"""The exit codes of the command line, which scripts may rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The way a command ended."""

    DONE = 0
    BUG = 1
    BAD_INPUT = 2
    NOT_CONVERGED = 3
    STOPPED = 130
    NOT_READ = 141


# For the help, which is a paragraph of running text.
EXIT_CODES = (
    "Exit codes: 0 all went well; 2 the input cannot be used, and nothing was written; 3 the "
    "results were written, but the fit did not converge; 130 stopped by Ctrl-C, with the best "
    "result until then written if there was one; 141 what was printed was not read to its end "
    "(`| head`); 1 a bug."
)
