"""Result folders: all files of one run or none, whatever ends the program."""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from em_toolkit.cli import main, writing
from em_toolkit.cli.reading import InputError
from em_toolkit.cli.writing import new_file, new_files
from em_toolkit.datasets import load_faithful

# Between them, one file more in every other run.
FILES = ("t_a.csv", "t_b.png", "t_c.csv", "t_d.png", "t_parameters.json")


def write_run(out: Path, run: int) -> None:
    """Write the files of a run, each with its number in it, in the order of their names."""
    with new_files(out) as folder:
        names = [*FILES, "t_imputed.csv"] if run % 2 else list(FILES)
        for name in names:
            content = {"run": run, "files": names} if name.endswith("json") else {"run": run}
            (folder / name).write_text(json.dumps(content))


def runs_in(out: Path) -> set[tuple[str, int]]:
    return {(file.name, json.loads(file.read_text())["run"]) for file in out.glob("t_*")}


def expected_of(run: int) -> set[tuple[str, int]]:
    return {(name, run) for name in (*FILES, *(["t_imputed.csv"] if run % 2 else []))}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process to kill")
@pytest.mark.parametrize("others", [False, True])
def test_a_killed_program_leaves_the_files_of_one_run(tmp_path, others):
    """A real process writes run after run until it is killed, 150 times."""
    out, random = tmp_path / "out", Random(0)
    if others:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
        (out / "link").symlink_to("mine.txt")
    seen = set()
    for attempt in range(150):
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of threads, which it has no use for
            child = os.fork()
        if not child:
            for run in range(10_000):
                write_run(out, 10_000 * attempt + run)
            os._exit(0)
        time.sleep(random.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = runs_in(out) if out.exists() else set()
        if found:
            (number,) = {run for _, run in found}
            assert found == expected_of(number)
            seen.add(number)
        if others:
            assert (out / "mine.txt").read_text() == "mine"
            assert (out / "link").is_symlink()
    assert len(seen) > 50
    # A later run sweeps up what the killed ones left beside the folder.
    for left in tmp_path.glob(".em-toolkit-*"):
        os.utime(left, (0.0, 0.0))
    write_run(out, 1)
    assert set(tmp_path.iterdir()) == {out}


def test_a_folder_that_another_program_is_writing_is_left_alone(tmp_path):
    with new_files(tmp_path / "a") as folder:
        os.utime(folder, (0.0, 0.0))
        write_run(tmp_path / "b", 1)
        assert folder.exists()
        (folder / "x").write_text("x")
    assert (tmp_path / "a" / "x").read_text() == "x"


def in_the_folder_itself(out, monkeypatch):
    monkeypatch.chdir(out)


def with_a_folder_in_it(out, monkeypatch):
    (out / "deep").mkdir()
    (out / "deep" / "mine.txt").write_text("mine")


def without_an_exchange(out, monkeypatch):
    monkeypatch.setattr(writing, "_exchange", lambda one, other: False)


def without_links(out, monkeypatch):
    def link(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def as_it_is(out, monkeypatch):
    pass


@pytest.mark.parametrize(
    "circumstances",
    [as_it_is, in_the_folder_itself, with_a_folder_in_it, without_an_exchange, without_links],
)
def test_a_second_run_replaces_the_first_and_nothing_else(tmp_path, monkeypatch, circumstances):
    out = tmp_path / "out"
    write_run(out, 1)
    # Files that are not of the run, though their names are such as it could have written.
    others = ["mine.txt", "t_selection.csv", "u_imputed.csv"]
    for name in others:
        (out / name).write_text('{"run": -1}')
    circumstances(out, monkeypatch)
    before = {file for file in out.rglob("*") if not file.name.startswith("t_")}
    write_run(out, 2)
    assert runs_in(out) == expected_of(2) | {("t_selection.csv", -1)}
    assert before <= set(out.rglob("*"))
    assert set(tmp_path.iterdir()) == {out}
    write_run(out, 3)
    assert runs_in(out) == expected_of(3) | {("t_selection.csv", -1)}


def test_the_account_names_no_file_of_others(tmp_path):
    """A file list that somebody changed makes nothing vanish but files of the same table."""
    out = tmp_path / "out"
    write_run(out, 1)
    (tmp_path / "t_far.txt").write_text("mine")
    (out / "mine.txt").write_text("mine")
    (out / "t_parameters.json").write_text(
        json.dumps({"run": 1, "files": ["mine.txt", "../t_far.txt", "t_/../mine.txt", 3]})
    )
    for broken in (None, "[", "[]", '{"files": 3}'):
        if broken is not None:
            (out / "t_parameters.json").write_text(broken)
        write_run(out, 2)
        assert (out / "mine.txt").exists()
        assert (tmp_path / "t_far.txt").exists()


def test_modes_are_kept(tmp_path):
    mask = os.umask(0o027)
    try:
        write_run(tmp_path / "new", 1)
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(mask)
    (tmp_path / "new").chmod(0o775)
    write_run(tmp_path / "new", 2)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o775


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far")
    write_run(tmp_path / "link", 1)
    write_run(tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink()
    assert runs_in(tmp_path / "far") == expected_of(2)


def test_what_arrives_in_the_meantime_is_kept(tmp_path, monkeypatch):
    out, exchange = tmp_path / "out", writing._exchange
    write_run(out, 1)
    (out / "changed.txt").write_text("old")

    def slow(one, other):
        (out / "late.txt").write_text("late")
        (tmp_path / "changed").write_text("new")
        (tmp_path / "changed").replace(out / "changed.txt")
        return exchange(one, other)

    monkeypatch.setattr(writing, "_exchange", slow)
    write_run(out, 2)
    assert (out / "late.txt").read_text() == "late"
    assert (out / "changed.txt").read_text() == "new"
    assert runs_in(out) == expected_of(2)


def test_one_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("old")

    def fail():
        with new_file(path) as file:
            file.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space"):
        fail()
    assert path.read_text() == "old"
    with new_file(path) as file:
        file.write_text("new")
    assert path.read_text() == "new"
    assert set(tmp_path.iterdir()) == {path}


def test_a_table_that_blanks_separate_comes_back_with_commas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = load_faithful(as_frame=True).data
    data.to_csv("a.data", index=False, sep=" ")
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "a.data", "--out", "out"])
    assert stopped.value.code == 0
    written = pd.read_csv("out/a_labelled.csv")
    pd.testing.assert_frame_equal(written[["eruptions", "waiting"]], data, check_dtype=False)
