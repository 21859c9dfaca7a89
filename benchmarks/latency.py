"""The first fit of a fresh process, import included: em_toolkit and scikit-learn on iris.

    python -m benchmarks.latency [--quick]

Processes of the two start by turns. Each times itself, from before the import to the end of the
fit; starting the interpreter and reading the data come before that.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

from benchmarks.report import table
from em_toolkit.statistics import Array

SCRIPT = """
import sys
from time import perf_counter
import numpy as np
X = np.load(sys.argv[1])
began = perf_counter()
from {module} import GaussianMixture
GaussianMixture(n_components=3, random_state=0).fit(X)
print(perf_counter() - began)
"""
MODULES = {"em_toolkit": "em_toolkit", "scikit-learn": "sklearn.mixture"}


def seconds_of(module: str, data: Path) -> float:
    """Of import and fit, in a process of its own."""
    command = [sys.executable, "-c", SCRIPT.format(module=module), str(data)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def latencies(n_runs: int) -> dict[str, Array]:
    """Seconds of each program in each run."""
    times: dict[str, list[float]] = {name: [] for name in MODULES}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "iris.npy"
        np.save(data, load_iris().data)
        # One more than asked for: the first reads the libraries from the disk.
        for run in range(n_runs + 1):
            order = list(MODULES) if run % 2 == 0 else list(reversed(MODULES))
            for name in order:
                times[name].append(seconds_of(MODULES[name], data))
    return {name: np.array(values[1:]) for name, values in times.items()}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two processes of each")
    times = latencies(2 if parser.parse_args().quick else 15)
    lines = []
    for name, values in times.items():
        ratio = np.median(values) / np.median(times["scikit-learn"])
        spread = f"{values.min():.2f} to {values.max():.2f}"
        lines.append([name, f"{np.median(values):.2f}", spread, f"{ratio:.2f}"])
    print(table(["program", "seconds", "(range)", "÷ scikit-learn"], lines, n_left=1))


if __name__ == "__main__":
    main()
