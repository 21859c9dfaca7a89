"""Writing results: all files of a run or none."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import scipy
import sklearn

import em_toolkit
from em_toolkit.cli.messages import InputError
from em_toolkit.estimators.json_values import json_text

# The account of a fit ends so, and has the names of all files of its run in "files".
ACCOUNT = "_parameters.json"
_STAGING = ".em-toolkit-"
# A folder without a lock that is younger may be one that is about to be locked.
_SECONDS_TO_LOCK = 60.0


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
    """Give a folder to write into, whose files are in `out` after the block, all or none.

    Whoever looks into `out` finds the files of one run there, even if the program is killed: the
    new folder takes the place of the old one in a single step, with links to what else was in it.
    Only files that an earlier run on the same table wrote, which the account of that run names,
    are left behind.

    Files move one by one where two folders cannot change places: on Windows, if `out` is the
    current folder, and if it has folders in it.

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
        If files cannot be written there; nothing in `out` has changed then.
    """
    check_folder(out)
    target = Path(os.path.realpath(out))
    beside = _existing_part(target.parent)
    # A shell that stands in the old folder would go on in one that is gone.
    if (
        Path.cwd().is_relative_to(target)
        or os.path.ismount(target)
        or not os.access(beside, os.W_OK | os.X_OK)
    ):
        beside = target
    try:
        with _staging(beside) as folder:
            yield folder
            new = sorted(folder.iterdir())
            in_the_way = [out / file.name for file in new if (target / file.name).is_dir()]
            if in_the_way:
                raise InputError(f"{in_the_way[0]} is a folder, where a file was to be written")
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
                return
            ours = {file.name for file in new} | _names_of_earlier_run(target, new)
            if beside == target or not _take_place(folder, target, ours):
                _move_into(new, target, ours)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from None


@contextmanager
def _staging(beside: Path) -> Iterator[Path]:
    """Return a temporary folder. Those that killed runs left behind are removed."""
    for left in beside.glob(f"{_STAGING}*"):
        with _lock(left) as is_free, suppress(OSError):
            if is_free and time.time() - left.stat().st_mtime > _SECONDS_TO_LOCK:
                shutil.rmtree(left, ignore_errors=True)
    folder = beside / f"{_STAGING}{uuid4().hex}"
    folder.mkdir()
    try:
        with _lock(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold a folder until the end of the block or of the program; whether it was free."""
    try:
        import fcntl
    except ImportError:  # On Windows, where no folder is taken for free.
        yield False
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # It has just gone, or belongs to somebody else.
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _names_of_earlier_run(target: Path, new: list[Path]) -> set[str]:
    """Return the files in `target` of an earlier run on the same table, by its account."""
    names: set[str] = set()
    for file in new:
        if not file.name.endswith(ACCOUNT):
            continue
        stem = file.name.removesuffix(ACCOUNT)
        with suppress(OSError, ValueError, LookupError, TypeError):
            account = json.loads((target / file.name).read_text(encoding="utf-8"))
            names.update(name for name in map(str, account["files"]) if name.startswith(f"{stem}_"))
    return {name for name in names if name == Path(name).name and (target / name).is_file()}


def _take_place(folder: Path, target: Path, ours: set[str]) -> bool:
    """Let the new folder and the old one change places; false, and nothing done, if they cannot."""
    others = [entry for entry in target.iterdir() if entry.name not in ours]
    if any(entry.is_dir() and not entry.is_symlink() for entry in others):
        return False
    try:
        shutil.copymode(target, folder)
        for entry in others:
            os.link(entry, folder / entry.name, follow_symlinks=False)
    except OSError:
        return False
    if not _exchange(folder, target):
        return False
    for entry in folder.iterdir():  # The old folder, by now.
        if entry.name not in ours and not _are_one(entry, target / entry.name):
            entry.replace(target / entry.name)  # Somebody put it there in the meantime.
    return True


def _are_one(entry: Path, other: Path) -> bool:
    return os.path.lexists(other) and os.path.samestat(entry.lstat(), other.lstat())


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; false if the system has no such step."""
    libc: Any = ctypes.CDLL(None) if os.name == "posix" else None
    paths = os.fsencode(one), os.fsencode(other)
    if hasattr(libc, "renameat2"):  # Linux
        at_current_folder, exchange = -100, 2
        failed = libc.renameat2(at_current_folder, paths[0], at_current_folder, paths[1], exchange)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        swap = 2
        failed = libc.renamex_np(*paths, swap)
    else:
        return False
    return not failed


def _move_into(new: list[Path], target: Path, ours: set[str]) -> None:
    # The account of the earlier run goes last: until then it is known what is to be removed.
    new = sorted(new, key=lambda file: file.name.endswith(ACCOUNT))
    for name in sorted(ours - {file.name for file in new}):
        (target / name).unlink(missing_ok=True)
    for file in new:
        file.replace(target / file.name)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, whose file takes the place of `path` at the end of the block.

    Parameters
    ----------
    path : Path
        A file that may exist, in a folder that exists.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, where a file was to be written")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder")
    try:
        with _staging(path.parent) as folder:
            yield folder / path.name
            (folder / path.name).replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def _existing_part(path: Path) -> Path:
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return path if place == path.absolute() else place


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write standard JSON: arrays as lists, and null for a number that is not finite.

    Parameters
    ----------
    path : Path
    content : dict
        Of arrays, numbers, texts, and lists and dicts of them.
    """
    path.write_text(json_text(_plain(content)) + "\n", encoding="utf-8")


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
    """Return the versions of what a result was computed with."""
    return {
        "em_toolkit": em_toolkit.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
