"""The one loop of expectation-maximization, and what watches it."""

from em_toolkit.data import Blocks, Rows
from em_toolkit.engine.em import Fit, Listener
from em_toolkit.engine.executors import Executor, Threads, number_of_threads
from em_toolkit.engine.expectation import expect
from em_toolkit.engine.monitor import ELBODecreaseError, ELBODecreaseWarning, Monitor
from em_toolkit.engine.restarts import Restart, best_of, preliminary
from em_toolkit.engine.status import Status
from em_toolkit.engine.trace import Trace

__all__ = [
    "Blocks",
    "ELBODecreaseError",
    "ELBODecreaseWarning",
    "Executor",
    "Fit",
    "Listener",
    "Monitor",
    "Restart",
    "Rows",
    "Status",
    "Threads",
    "Trace",
    "best_of",
    "expect",
    "number_of_threads",
    "preliminary",
]
