"""Writing results: all files or none."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn

import em_toolkit
from em_toolkit.cli.reading import InputError


def check_folder(out: Path) -> None:
    """Raise InputError unless files can be written into `out`, which need not exist yet."""
    place = _existing_part(out)
    if not place.is_dir():
        what = "the folder for the results" if place == out else f"a folder that {out} lies in"
        raise InputError(
            f"{place} is a file, but {what} is needed there; name another place with --out"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"no files may be written in {place}; name another folder with --out")


@contextmanager
def new_files(out: Path) -> Iterator[Path]:
    """A folder to write into; at the end of the block its files move to `out`.

    Nothing appears in `out` if the block fails.

    Parameters
    ----------
    out : Path
        Made if it does not exist. Files in it of the same names are replaced.

    Yields
    ------
    folder : Path
        A temporary folder on the same file system.

    Raises
    ------
    InputError
        If files cannot be written there.
    """
    check_folder(out)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".em-toolkit-", dir=_existing_part(out)))
        try:
            yield folder
            files = sorted(folder.iterdir())
            in_the_way = [out / file.name for file in files if (out / file.name).is_dir()]
            if in_the_way:
                raise InputError(f"{in_the_way[0]} is a folder, where a file was to be written")
            out.mkdir(parents=True, exist_ok=True)
            for file in files:
                file.replace(out / file.name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from None


def _existing_part(path: Path) -> Path:
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return path if place == path.absolute() else place


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write standard JSON: arrays as lists, and null for a number that is not finite."""
    text = json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def versions() -> dict[str, str]:
    """What a result was computed with."""
    return {
        "em_toolkit": em_toolkit.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
