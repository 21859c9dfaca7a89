"""How a command ends, and what it says on its way: exit codes, Ctrl-C, progress."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from em_toolkit import GaussianMixture, Status
from em_toolkit.cli import main, pictures, progress
from em_toolkit.cli.exit_codes import ExitCode
from em_toolkit.cli.fitting import code_of
from em_toolkit.cli.progress import NowAndThen, in_words, iterations_left
from em_toolkit.datasets import load_faithful


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(pictures, "save", lambda figure, path: path.touch())
    return tmp_path


@pytest.fixture
def run(capsys, folder):
    def command(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return command


@pytest.fixture
def faithful(folder):
    path = folder / "faithful.csv"
    load_faithful(as_frame=True).data.to_csv(path, index=False)
    return path


# -- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fit", "select"])
def test_a_fit_that_does_not_converge_has_a_code_of_its_own(run, folder, faithful, command):
    number = ("-k", 3) if command == "fit" else ("--most-components", 3)
    options = (command, faithful, *number, "--tol", "1e-12", "--out", "out")
    code, out, _ = run(*options, "--max-iter", 2)
    assert code == 3
    assert "Written to out" in out
    assert json.loads((folder / "out" / "faithful_parameters.json").read_text())["n_iter"] == 2
    assert run(*options, "--max-iter", 5000)[0] == 0


def test_codes_of_statuses():
    codes = {status: code_of([status]) for status in Status}
    assert {s for s, code in codes.items() if code == 0} == {
        Status.CONVERGED,
        Status.NEAR,
        Status.CLOSED_FORM,
        Status.START,
    }
    assert codes[Status.MAX_ITER] == codes[Status.COLLAPSED] == ExitCode.NOT_CONVERGED
    assert codes[Status.INTERRUPTED] == 130
    assert code_of([Status.INTERRUPTED, Status.CONVERGED]) == 130


@pytest.mark.parametrize("command", [[], ["fit"], ["select"]])
def test_the_help_tells_the_codes(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    said = " ".join(out.split())
    assert "3 the results were written, but the fit did not converge" in said
    assert "130 stopped by Ctrl-C" in said


def test_ctrl_c_in_a_fit_saves_the_best_until_then(run, folder, faithful, monkeypatch):
    seen = []
    step = progress.FitProgress.on_fit_task_end

    def interrupted(self, estimator, context):
        seen.append(context.task_name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return step(self, estimator, context)

    monkeypatch.setattr(progress.FitProgress, "on_fit_task_end", interrupted)
    code, out, err = run("fit", faithful, "-k", 4, "--tol", "1e-12", "--out", "out")
    assert code == 130
    assert "interrupted" in err
    assert "Written to out" in out
    content = json.loads((folder / "out" / "faithful_parameters.json").read_text())
    assert content["converged"] is False
    assert content["estimator"]["fitted"]["status_"]["name"] == "INTERRUPTED"
    labels = pd.read_csv(folder / "out" / "faithful_labelled.csv")["label"]
    model = GaussianMixture.from_json(folder / "out" / "faithful_parameters.json")
    np.testing.assert_array_equal(labels, model.predict(load_faithful(as_frame=True).data))


def test_ctrl_c_before_there_is_a_result(run, folder, faithful, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianMixture, "fit", interrupted)
    assert run("fit", faithful) == (130, "", "em-toolkit: stopped; nothing was written\n")
    assert not (folder / "faithful_em").exists()


def test_ctrl_c_in_a_search_saves_the_best_until_then(run, folder, faithful, monkeypatch):
    from em_toolkit.selection.trial import Trials

    n_fits, fit = [], Trials.__call__

    def interrupted(self, *arguments):
        n_fits.append(1)
        if len(n_fits) == 5:
            raise KeyboardInterrupt
        return fit(self, *arguments)

    monkeypatch.setattr(Trials, "__call__", interrupted)
    code, out, _ = run("select", faithful, "-k", 3, "--out", "out")
    assert code == 130
    assert "Written to out" in out
    assert len(pd.read_csv(folder / "out" / "faithful_selection.csv").dropna(subset="bic")) == 4


# -- real interruptions ---------------------------------------------------------------------------

PROGRAM = (
    "import sys; from em_toolkit.cli import main; print('begun', flush=True); main(sys.argv[1:])"
)


def started(*arguments: Any) -> subprocess.Popen[str]:
    """The program, from the moment that its first line runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
    )
    assert process.stdout.readline() == "begun\n"
    return process


def ended(process: subprocess.Popen[str], seconds: float) -> tuple[int, str, str]:
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.4, 0.6, 0.9, 1.2, 1.6])
def test_ctrl_c_in_the_first_seconds_shows_no_traceback(folder, faithful, seconds):
    # The fit itself would take for ever.
    process = started("fit", faithful, "-k", 9, "--tol", "0", "--max-iter", 10**7, "--out", "out")
    code, _, err = ended(process, seconds)
    assert code == 130
    assert "Traceback" not in err
    assert err.count("\n") <= 2
    assert err.startswith("em-toolkit: ")
    # All or nothing.
    if "nothing was written" in err:
        assert not (folder / "out").exists()
    else:
        assert "interrupted" in err
        assert (folder / "out" / "faithful_parameters.json").exists()


def test_ctrl_c_in_a_long_fit(folder):
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    pd.DataFrame(rows, columns=list("abcd")).to_csv("long.csv", index=False)
    options = ["-k", 8, "--init-params", "random_from_data", "--tol", "0", "--max-iter", 10**6]
    process = started("fit", "long.csv", *options, "--out", "out")
    # Piped, it says now and then how far it is.
    line = process.stderr.readline()
    assert line.startswith("em-toolkit: iteration ")
    assert line.endswith(" left\n")
    code, out, err = ended(process, 0.0)
    assert code == 130
    assert "Traceback" not in err
    assert "interrupted" in err
    assert "Written to out" in out
    content = json.loads((folder / "out" / "long_parameters.json").read_text())
    assert content["n_iter"] > 0


def test_the_command_line_can_be_asked_before_the_libraries_are_there():
    """Only what is imported after `main` has begun can be stopped without a traceback."""
    program = (
        "import sys, em_toolkit.cli; print([n for n in ('numpy', 'scipy') if n in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


# -- progress -------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_iterations_left_of_a_geometric_series(factor, tol):
    bounds = -5.0 - factor ** np.arange(5, 5000) / (1.0 - factor)
    gains = np.diff(bounds)
    shown = 6
    expected = int(np.argmax(gains < tol)) - (shown - 2)
    assert iterations_left(bounds[:shown], tol) == pytest.approx(max(expected, 0), abs=1)


@pytest.mark.parametrize(
    ("bounds", "tol"),
    [
        ([], 1e-3),
        ([1.0], 1e-3),
        ([1.0, 2.0], 1e-3),
        ([1.0, 2.0, 3.0], 1e-3),  # no end in sight
        ([1.0, 2.0, 4.0], 1e-3),
        ([1.0, 2.0, 2.5], 0.0),
        ([1.0, 1.0, 1.0], 1e-3),
        ([2.0, 1.0, 1.5], 1e-3),
    ],
)
def test_no_forecast_where_nothing_is_known(bounds, tol):
    assert iterations_left(bounds, tol) is None


def test_no_iteration_is_left_where_the_last_gained_less():
    assert iterations_left([1.0, 2.0, 2.0001], 1e-3) == 0


def test_durations_in_words():
    assert [in_words(s) for s in (0.01, 12.4, 600, 36_000)] == ["1 s", "12 s", "10 min", "10.0 h"]


def test_a_line_now_and_then(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress, "perf_counter", lambda: clock[0])
    kept = io.StringIO()
    stream = NowAndThen(kept)
    for second in range(400):
        clock[0] = float(second)
        print(second, file=stream)
    seconds = [int(line) for line in kept.getvalue().split()]
    assert seconds == [5, 15, 35, 75, 135, 195, 255, 315, 375]


def test_piped_a_fit_tells_iteration_bound_and_time_left(run, faithful, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(progress, "LONGEST_PAUSE", 0.0)
    code, _, err = run("fit", faithful, "--out", "out", "--tol", "1e-6")
    assert code == 0
    gm = GaussianMixture(2, tol=1e-6, random_state=0).fit(load_faithful().data)
    lines = err.splitlines()
    assert len(lines) == gm.n_iter_
    for number, (line, bound) in enumerate(zip(lines, gm.lower_bounds_, strict=True), start=1):
        assert line.startswith(f"em-toolkit: iteration {number}, bound {bound:.6f} nats a row, ")
        assert line.endswith("left")
    assert "at most" in lines[0]
    assert "about" in lines[-1]
    assert "start 2 of 3, iteration 1, " in run("fit", faithful, "--n-init", 3)[2]
    assert "/" in run("select", faithful, "-k", 2)[2]


def test_a_short_command_says_nothing_on_its_way(run, faithful):
    assert run("fit", faithful)[2] == ""
    assert run("select", faithful, "-k", 2)[2] == ""


def test_on_a_terminal_a_line_moves(faithful, folder):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    pd.DataFrame(rows, columns=list("abcd")).to_csv("long.csv", index=False)
    options = ["-k", "8", "--init-params", "random_from_data", "--tol", "0", "--max-iter", "200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "em_toolkit.cli", "fit", "long.csv", *options],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=120) == 3
    text = shown.decode()
    assert "iteration " in text
    assert "bound -" in text
    assert " left" in text


# -- options --------------------------------------------------------------------------------------


def test_noise_and_prior(run, folder, faithful):
    code, out, _ = run("fit", faithful, "--noise", "--prior", "conjugate", "--out", "out")
    assert code == 0
    X = load_faithful().data
    gm = GaussianMixture(2, noise=True, prior="conjugate", random_state=0).fit(X)
    labels = gm.predict(X)
    assert f"noise: weight {gm.noise_weight_:.3f}" in out
    assert f"{(labels == -1).sum()} rows have the label -1" in " ".join(out.split())
    counts = next(line for line in out.splitlines() if line.startswith("rows with this label"))
    assert counts.split()[-2:] == [str((labels == k).sum()) for k in (0, 1)]
    content = json.loads((folder / "out" / "faithful_parameters.json").read_text())
    assert content["parameters"]["noise_weight"] == gm.noise_weight_
    assert content["parameters"]["noise_volume"] == gm.noise_volume_
    labelled = pd.read_csv(folder / "out" / "faithful_labelled.csv")
    np.testing.assert_array_equal(labelled["label"], labels)
    np.testing.assert_allclose(
        labelled["responsibility_noise"], gm.predict_proba(X)[:, 2], atol=1e-12
    )
    for option in (["--noise"], ["--prior", "conjugate"]):
        code, _, err = run("fit", faithful, "--model", "ppca", *option)
        assert code == 2
        assert option[0] in err


def test_select_takes_a_start_noise_and_a_prior(run, folder, faithful):
    options = ["--init-params", "kmeans", "--noise", "--prior", "conjugate", "--n-init", 2]
    options += ["--tol", "1e-4", "--max-iter", 500]
    code, out, _ = run("select", faithful, "-k", 2, *options, "--out", "out")
    assert code == 0
    assert "noise: weight" in out
    settings = json.loads((folder / "out" / "faithful_parameters.json").read_text())["settings"]
    expected = {"init_params": "kmeans", "noise": True, "prior": "conjugate", "n_init": 2}
    assert expected.items() <= settings.items()
    assert (settings["tol"], settings["max_iter"]) == (1e-4, 500)


def test_what_is_printed_need_not_be_read(folder):
    """As by `| head -1`."""
    path = folder / "faithful.csv"
    load_faithful(as_frame=True).data.to_csv(path, index=False)
    command = [sys.executable, "-m", "em_toolkit.cli", "fit", str(path), "--out", str(folder / "o")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 141
    assert (folder / "o" / "faithful_parameters.json").is_file()
