"""Environments for the peers that are no part of this one.

    python -m benchmarks.peers.install [FOLDER]

It makes a virtual environment in FOLDER for each (benchmarks/.peers by default; give another to
the commands with ``--peers FOLDER``). daal4py 2024.7.0 needs scikit-learn 1.5.2 and numpy below
2.3, hence an environment of its own, and that only with a Python for which it has wheels. pip's
default for torch on Linux is the large build for CUDA; the one for processors, which is what is
compared, comes with ``PIP_INDEX_URL=https://download.pytorch.org/whl/cpu
PIP_EXTRA_INDEX_URL=https://pypi.org/simple`` in the environment of this command.
mclust comes with R: ``apt-get install r-base-core r-cran-mclust``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.session import ENVIRONMENTS, python_in

# In each environment, what is installed one after the other.
REQUIREMENTS: dict[str, list[list[str]]] = {
    "onedal": [["daal4py==2024.7.0", "scikit-learn==1.5.2", "numpy<2.3", "packaging"]],
    "pomegranate": [["torch"], ["pomegranate==1.1.*"]],
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ENVIRONMENTS)
    folder: Path = parser.parse_args().folder
    failed = []
    for name, steps in REQUIREMENTS.items():
        venv.create(folder / name, with_pip=True)
        pip = [python_in(folder / name), "-m", "pip", "install"]
        if any(subprocess.run([*pip, *requirements]).returncode for requirements in steps):
            failed.append(name)
    for name in failed:
        print(f"{name} could not be installed: see pip's message above", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
