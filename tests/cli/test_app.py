"""The command line, as a person uses it: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA, ELBODecreaseError, GaussianMixture, PoissonMixture, select_mixture
from em_toolkit.cli import choices as choice_of
from em_toolkit.cli import main, pictures
from em_toolkit.cli.comparison import Contestant, compete, largest_difference
from em_toolkit.cli.models import component_tables
from em_toolkit.datasets import load_airquality, load_faithful
from em_toolkit.engine.acceleration import ACCELERATIONS
from em_toolkit.engine.stopping import STOPPING_RULES
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.families import STRUCTURES
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.selection.criteria import CRITERIA


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def run(capsys, folder):
    """Run a command in an empty folder; exit code, stdout, stderr."""

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


@pytest.fixture
def without_pictures(monkeypatch):
    """Where pictures are not the subject, their files are empty."""
    monkeypatch.setattr(pictures, "save", lambda figure, path: path.touch())


def everything_in(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def check_refused(result, *fragments):
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert err.startswith("em-toolkit: ")
    for fragment in fragments:
        assert fragment in err


# -- bad input ------------------------------------------------------------------------------------

NUMBERS = "a,b\n" + "".join(f"{i},{i * i}\n" for i in range(12))

BAD_TABLES = {
    "no-suffix": ("table", NUMBERS, ["table", "suffix", ".csv", ".parquet", "--format"]),
    "suffix": ("table.doc", NUMBERS, ["table.doc", "'.doc'", ".csv", ".parquet", "--format"]),
    "excel": ("table.xlsx", NUMBERS, ["table.xlsx", "not an Excel file"]),
    "gzip": ("table.csv.gz", b"\x1f\x8b" + NUMBERS.encode(), ["table.csv.gz", "damaged"]),
    "binary": ("table.csv", bytes(range(256)) * 4, ["table.csv", "text", "--format"]),
    "empty": ("table.csv", "", ["table.csv", "empty"]),
    "blank": ("table.csv", " \n\n", ["table.csv", "empty"]),
    "mark-only": ("table.csv", "\ufeff", ["table.csv", "empty"]),
    "quotes-only": ("table.csv", '""\n', ["table.csv", "empty"]),
    "header-only": ("table.csv", "a,b\n", ["table.csv", "no rows"]),
    "one-row": ("table.csv", "a,b\n1,2\n", ["table.csv", "one row", "two"]),
    "no-numbers": ("table.csv", "a,b\nx,y\nz,w\n", ["no column holds numbers", "a, b"]),
    "text": ("table.csv", NUMBERS + "7,oops\n", ["line 14", "'b'", "'oops'", "not a number"]),
    "few-rows": ("table.csv", "a,b\n1,2\n3,x\n4,5\n", ["line 3", "'b'", "'x'"]),
    "underscore": ("table.csv", NUMBERS + "7,1_000\n", ["line 14", "'b'", "'1_000'"]),
    "blank-lines": ("table.csv", NUMBERS + "\n\n7,oops\n", ["line 16", "'oops'"]),
    "multi-line": ("table.csv", NUMBERS + '"\n7",oops\n', ["line 14", "'oops'"]),
    "several": ("table.csv", NUMBERS * 2, ["line 14", "'a'", "'a' is not"]),
    "infinite": ("table.csv", NUMBERS + "inf,1\n", ["line 14", "'a'", "'inf'", "finite"]),
    "overflow": ("table.csv", NUMBERS + "1e999,1\n", ["line 14", "'a'", "'1e999'", "finite"]),
    "short-row": ("table.csv", NUMBERS + "7\n", ["line 14", "1 cell,", "2 columns"]),
    "long-row": ("table.csv", NUMBERS + "7,8,9\n", ["line 14", "3 cells,", "2 columns"]),
    "open-quote": ("table.csv", NUMBERS + '7,"8\n', ["line 14", "CSV"]),
    "parquet": ("table.parquet", NUMBERS, ["table.parquet", "not a parquet file"]),
    "empty-parquet": ("table.parquet", "", ["table.parquet", "empty"]),
}


@pytest.mark.parametrize("command", ["fit", "select", "compare"])
@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_gets_one_line_and_leaves_nothing(run, folder, case, command):
    name, content, fragments = BAD_TABLES[case]
    content = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(content)
    before = everything_in(folder)
    check_refused(run(command, name), *fragments)
    assert everything_in(folder) == before


def test_a_column_that_was_asked_for_and_is_empty(run, folder):
    lines = NUMBERS.splitlines()
    rows = ["c," + lines[0], *(f",{line}" for line in lines[1:])]
    (folder / "table.csv").write_text("\n".join(rows))
    check_refused(run("fit", "table.csv", "--columns", "a,c"), "the column 'c' is empty")


@pytest.mark.parametrize("cell", ["7,", "7,NA", "7,+nan"])
def test_a_missing_cell_is_named_by_what_cannot_do_with_it(run, folder, cell):
    (folder / "table.csv").write_text(f"{NUMBERS}{cell}\n")
    complaint = ["line 14", "'b'", "missing", "--model gaussian-mixture"]
    check_refused(run("fit", "--model", "ppca", "table.csv"), *complaint)
    code, out, _ = run("compare", "table.csv")
    assert code == 0
    assert "left out: 1 row with missing cells" in out


BAD_ARGUMENTS = {
    "no-file": (["fit", "nothing.csv"], ["nothing.csv", "no such file"]),
    "folder": (["fit", "folder.csv"], ["folder.csv", "directory"]),
    "near-name": (["fit", "faithful.csv", "--columns", "WAITNG"], ["'WAITNG'", "'waiting'?"]),
    "far-name": (
        ["fit", "faithful.csv", "--columns", "eruptions,zzz"],
        ["'zzz'", "the columns are eruptions, waiting"],
    ),
    "no-name": (["fit", "faithful.csv", "--columns", ""], ["--columns"]),
    "named-text": (["fit", "mixed.csv", "--columns", "a,c"], ["line 2", "'c'", "'x'"]),
    "many-components": (["fit", "faithful.csv", "-k", "273"], ["273 components", "272"]),
    "compare-many": (["compare", "faithful.csv", "-k", "273"], ["273 components", "272"]),
    "no-components": (["fit", "faithful.csv", "-k", "0"], ["--components", "1"]),
    "compare-none": (["compare", "faithful.csv", "-k", "0"], ["--components", "1"]),
    "negative-tol": (["fit", "faithful.csv", "--tol", "-1"], ["tol", "Got -1.0"]),
    "negative-seed": (["fit", "faithful.csv", "--seed", "-1"], ["random_state", "Got -1"]),
    "all-components": (
        ["fit", "faithful.csv", "--model", "ppca", "-k", "2"],
        ["n_components=2", "n_features - 1 = 1"],
    ),
    "foreign-option": (
        ["fit", "faithful.csv", "--model", "ppca", "-k", "1", "--covariance-type", "full"],
        ["--covariance-type", "ppca"],
    ),
    "negative-count": (
        ["fit", "mixed.csv", "--model", "poisson-mixture", "--columns", "a,b"],
        ["line 3", "'b'", "-2", "counts"],
    ),
    "singular": (
        ["fit", "singular.csv", "--reg-covar", "0"],
        ["singular", "column 'twice'", "increase reg_covar"],
    ),
    "compare-singular": (
        ["compare", "constant.csv", "--columns", "a,one", "--reg-covar", "0", "-k", "12"],
        ["ill-defined"],
    ),
    "out-is-file": (["fit", "faithful.csv", "--out", "mixed.csv"], ["mixed.csv is a file"]),
    "out-in-file": (["fit", "faithful.csv", "--out", "mixed.csv/x"], ["mixed.csv is a file"]),
    "demo-out": (["demo", "--out", "mixed.csv"], ["mixed.csv is a file"]),
    "name-taken": (
        ["fit", "faithful.csv", "--out", "taken"],
        ["faithful_labelled.csv is a folder"],
    ),
    "unknown-model": (["fit", "faithful.csv", "--model", "kmeans"], ["kmeans", "--help"]),
    "not-a-number": (["fit", "faithful.csv", "-k", "two"], ["--components", "fit --help"]),
    "unknown-option": (["fit", "faithful.csv", "--nonsense"], ["--nonsense", "fit --help"]),
    "no-argument": (["fit"], ["FILE", "fit --help"]),
    "unknown-command": (["fti"], ["fti", "em-toolkit --help"]),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_get_one_line_and_leave_nothing(run, folder, faithful, case):
    arguments, fragments = BAD_ARGUMENTS[case]
    (folder / "folder.csv").mkdir()
    (folder / "taken" / "faithful_labelled.csv").mkdir(parents=True)
    (folder / "mixed.csv").write_text("a,b,c\n1,2,x\n3,-2,y\n5,6,z\n7,8,w\n")
    lines = [f"{i},{2 * i}" for i in np.random.default_rng(0).normal(size=30)]
    (folder / "singular.csv").write_text("\n".join(["once,twice", *lines]))
    (folder / "constant.csv").write_text("a,one\n" + "".join(f"{i},1\n" for i in range(12)))
    before = everything_in(folder)
    check_refused(run(*arguments), *fragments)
    assert everything_in(folder) == before


def test_a_folder_that_may_not_be_written_to(run, folder, faithful, monkeypatch):
    # Root may write anywhere, so let the system say that nobody may.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    check_refused(run("fit", faithful, "--out", "new"), "no files may be written", "--out")
    assert not (folder / "new").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_a_disk_that_fills_up_leaves_nothing_half_written(
    run, folder, faithful, monkeypatch, exists
):
    out = folder / "out"
    if exists:
        out.mkdir()
        (out / "mine.txt").write_text("mine")

    def save(figure, path):
        assert list(path.parent.glob("*.csv"))  # something had been written by then
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "save", save)
    before = everything_in(folder)
    check_refused(run("fit", faithful, "--out", out), "No space left on device")
    assert everything_in(folder) == before


def test_ctrl_c_while_files_are_written(run, folder, faithful, monkeypatch):
    def save(figure, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "save", save)
    before = everything_in(folder)
    code, out, err = run("fit", faithful)
    assert (code, out, err) == (130, "", "em-toolkit: stopped; nothing was written\n")
    assert everything_in(folder) == before


def test_a_bug_is_reported_as_one(run, folder, faithful, monkeypatch):
    trace = GaussianMixture().fit(load_faithful().data).trace_

    def fit(self, X):
        raise ELBODecreaseError("M", 3, 0.1, 1e-12, trace)

    monkeypatch.setattr(MixtureEstimator, "fit", fit)
    code, out, err = run("fit", faithful)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "bug" in err
    assert "M-step of iteration 3" in err
    assert set(everything_in(folder)) == {faithful}


@pytest.mark.parametrize("library", ["typer", "rich", "pandas", "pyarrow"])
def test_without_the_libraries_of_the_command_line(run, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    check_refused(run("demo"), library, 'pip install "em_toolkit[cli]"')


def test_without_the_libraries_as_a_program():
    code = (
        "import runpy, sys;"
        "sys.modules.update(dict.fromkeys(['typer', 'rich', 'pandas', 'pyarrow']));"
        "runpy.run_module('em_toolkit.cli')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    result = (done.returncode, done.stdout, done.stderr)
    check_refused(result, "typer, rich, pandas, pyarrow", 'pip install "em_toolkit[cli]"')


# -- fit ------------------------------------------------------------------------------------------


def read_results(out, stem):
    labelled = pd.read_csv(out / f"{stem}_labelled.csv")
    content = json.loads(
        (out / f"{stem}_parameters.json").read_text(encoding="utf-8"),
        parse_constant=lambda name: pytest.fail(f"{name} is not JSON"),
    )
    for picture in out.glob("*.png"):
        if not picture.stat().st_size:
            continue
        pixels = matplotlib.image.imread(picture)
        assert min(pixels.shape[:2]) > 400
        assert pixels[..., :3].std() > 0.01
    return labelled, content


def test_fit_writes_what_the_estimator_finds(run, folder, faithful):
    code, out, err = run("fit", faithful, "--components", 3, "--out", "a/b", "--tol", "1e-4")
    assert (code, err) == (0, "")
    assert {path.name for path in (folder / "a" / "b").iterdir()} == {
        "faithful_labelled.csv",
        "faithful_parameters.json",
        "faithful_components.png",
        "faithful_bound.png",
    }
    assert {path.name for path in folder.iterdir()} == {"a", "faithful.csv"}
    labelled, content = read_results(folder / "a" / "b", "faithful")

    X = load_faithful().data
    floor = 1e-6 * X.var(axis=0).min()
    gm = GaussianMixture(3, tol=1e-4, random_state=0, reg_covar=floor).fit(X)
    names = [f"responsibility_{k}" for k in range(3)]
    assert list(labelled.columns) == ["eruptions", "waiting", "label", *names]
    np.testing.assert_array_equal(labelled[["eruptions", "waiting"]], X)
    np.testing.assert_array_equal(labelled["label"], gm.predict(X))
    np.testing.assert_allclose(labelled[names], gm.predict_proba(X), rtol=0, atol=1e-15)

    assert content["model"] == "gaussian-mixture"
    assert content["columns"] == ["eruptions", "waiting"]
    assert content["n_rows"] == 272
    assert content["settings"] == gm.get_params()
    assert set(content["parameters"]) == {"weights", "means", "covariances"}
    for name, value in content["parameters"].items():
        np.testing.assert_array_equal(value, getattr(gm, name + "_"))
    assert content["bound"]["lower_bound_per_row"] == gm.lower_bound_
    assert content["bound"]["lower_bounds_per_row"][1:] == gm.lower_bounds_
    assert content["bound"]["log_likelihood"] == pytest.approx(gm.score_samples(X).sum())
    assert content["bound"]["bic"] == pytest.approx(gm.bic(X))
    assert content["status"] == str(gm.status_)
    assert content["converged"] is True
    assert content["n_iter"] == gm.n_iter_
    assert set(content["versions"]) >= {"em_toolkit", "scikit-learn", "numpy", "python"}

    assert "a/b" in out
    assert f"{gm.n_iter_} iterations" in out
    for k in range(3):
        assert f"{gm.weights_[k]:.3f}" in out
    for j, name in enumerate(["eruptions", "waiting"]):
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [name])
        printed = np.array(re.findall(r"(\S+) ± (\S+)", line), dtype=float)
        stds = np.sqrt(gm.covariances_[:, j, j])
        # two digits of a deviation are printed, and as many decimals of a mean
        np.testing.assert_allclose(printed[:, 1], stds, rtol=0.05)
        assert (abs(printed[:, 0] - gm.means_[:, j]) <= 0.05 * stds).all()
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.usefixtures("without_pictures")
def test_fit_takes_every_option(run, folder, faithful, covariance_type):
    given = {"n_init": 2, "tol": 1e-4, "max_iter": 50, "reg_covar": 0.01}
    options = [x for k, v in given.items() for x in ("--" + k.replace("_", "-"), v)]
    options += ["--covariance-type", covariance_type, "--seed", 7]
    code, _, err = run("fit", faithful, "--out", "out", *options)
    assert (code, err) == (0, "")
    _, content = read_results(folder / "out", "faithful")
    gm = GaussianMixture(2, covariance_type=covariance_type, random_state=7, **given)
    gm.fit(load_faithful().data)
    np.testing.assert_array_equal(content["parameters"]["covariances"], gm.covariances_)
    assert content["n_iter"] == gm.n_iter_


def test_fit_poisson(run, folder):
    rng = np.random.default_rng(0)
    counts = np.where(rng.random((300, 1)) < 0.4, rng.poisson([1, 9], (300, 2)), 4)
    pd.DataFrame(counts, columns=["x", "y"]).to_csv(folder / "counts.csv", index=False)
    code, out, err = run("fit", "counts.csv", "--model", "poisson-mixture", "--out", "out")
    assert (code, err) == (0, "")
    labelled, content = read_results(folder / "out", "counts")
    pm = PoissonMixture(2, random_state=0).fit(counts)
    np.testing.assert_array_equal(content["parameters"]["rates"], pm.rates_)
    np.testing.assert_array_equal(labelled["label"], pm.predict(counts))
    assert f"{pm.rates_[0, 1]:.4g}" in out


@pytest.mark.usefixtures("without_pictures")
def test_poisson_says_that_measurements_are_no_counts(run, faithful):
    code, _, err = run("fit", faithful, "--model", "poisson-mixture", "--out", "out")
    assert code == 2
    assert "3.6 is no whole number, and a Poisson mixture is for counts" in " ".join(err.split())


@pytest.mark.parametrize("solver", ["closed_form", "em", "randomized"])
def test_fit_ppca(run, folder, solver):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 6)) + rng.normal(size=(80, 6))
    pd.DataFrame(X).add_prefix("column ").to_parquet(folder / "table.parquet")
    options = ("--model", "ppca", "-k", 3, "--solver", solver, "--out", "out")
    code, out, err = run("fit", "table.parquet", *options)
    assert (code, err) == (0, "")
    labelled, content = read_results(folder / "out", "table")
    ppca = PPCA(3, solver=solver, random_state=0).fit(X)
    latent = labelled[["latent_0", "latent_1", "latent_2"]]
    np.testing.assert_allclose(latent, ppca.transform(X), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(content["parameters"]["loadings"], ppca.loadings_)
    assert content["parameters"]["noise_variance"] == ppca.noise_variance_
    assert content["converged"] is True
    assert (folder / "out" / "table_bound.png").exists() == (solver == "em")
    assert f"{ppca.explained_variance_ratio_[0]:.1%}" in out


def test_one_column_and_one_component(run, folder, faithful):
    for model, name in (("gaussian-mixture", "g"), ("poisson-mixture", "p")):
        options = ("--model", model, "-k", 1, "--columns", "waiting", "--out", name)
        code, _, err = run("fit", faithful, *options)
        assert (code, err) == (0, "")
        labelled, content = read_results(folder / name, "faithful")
        assert content["columns"] == ["waiting"]
        assert list(labelled.columns) == ["eruptions", "waiting", "label", "responsibility_0"]


@pytest.mark.usefixtures("without_pictures")
def test_a_wide_table_fits_the_screen(run, folder):
    X = np.random.default_rng(0).normal(size=(200, 40)) * 1e5
    names = [f"a long name of a column, {j}" for j in range(40)]
    pd.DataFrame(X, columns=names).to_csv(folder / "wide.csv", index=False)
    code, out, _ = run("fit", "wide.csv", "-k", 7, "--covariance-type", "diag", "--out", "out")
    assert code == 0
    grid = out[out.index("component 0") : out.index("Written")]
    assert max(map(len, grid.splitlines())) <= 80
    assert all(f"component {k}" in grid for k in range(7))
    assert grid.count("…") == grid.count("… and 20 more") > 0


@pytest.mark.parametrize("width", [40, 80, 81, 120])
def test_no_width_of_a_component_is_cut_off(width):
    for size in range(1, 30):
        rows = [(f"{'name':_<{size}}", [f"{k}{'entry':_>{size}}" for k in range(12)])] * 3
        screen = Console(width=width, file=io.StringIO())
        screen.print(*component_tables(rows, width))
        if max(size, len("name")) + 3 + max(size + 2, len("component 10")) <= width:
            assert "…" not in screen.file.getvalue()
        assert max(map(len, screen.file.getvalue().splitlines())) <= width


@pytest.mark.usefixtures("without_pictures")
def test_cells_are_written_as_they_were(run, folder):
    rows = "".join(f'00{i},"{i}.50 ",x "y{i}"\n' for i in range(1, 9))
    (folder / "table.csv").write_text(f"id,value,label\n{rows}")
    code, out, _ = run("fit", "table.csv", "--columns", "value", "--out", "out")
    assert code == 0
    with (folder / "out" / "table_labelled.csv").open(newline="") as lines:
        written = list(csv.reader(lines))
    expected = list(csv.reader(io.StringIO(f"id,value,label\n{rows}")))
    assert [row[:3] for row in written] == expected
    assert written[0][3:] == ["em_label", "em_responsibility_0", "em_responsibility_1"]
    assert "begin with em_" in out


@pytest.mark.usefixtures("without_pictures")
def test_results_replace_older_ones_and_nothing_else(run, folder, faithful):
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").write_text("mine")
    (folder / "out" / "faithful_labelled.csv").write_text("old")
    for n_components in (2, 3):
        assert run("fit", faithful, "-k", n_components, "--out", "out")[0] == 0
    labelled, _ = read_results(folder / "out", "faithful")
    assert "responsibility_2" in labelled
    assert (folder / "out" / "mine.txt").read_text() == "mine"
    assert not list((folder / "out").glob(".*"))


@pytest.mark.usefixtures("without_pictures")
def test_the_default_folder_is_named(run, folder, faithful):
    code, out, _ = run("fit", faithful)
    assert code == 0
    assert (folder / "faithful_em" / "faithful_labelled.csv").exists()
    assert "faithful_em" in out


@pytest.mark.usefixtures("without_pictures")
def test_a_fit_that_did_not_converge_warns_in_one_line(run, folder, faithful):
    options = ("-k", 4, "--max-iter", 2, "--tol", "1e-9", "--out", "out")
    code, out, err = run("fit", faithful, *options)
    assert code == 3
    assert err.startswith("em-toolkit: warning: ")
    assert err.count("\n") == 1
    assert "did not converge" in err
    assert "ConvergenceWarning" not in err
    assert "max_iter iterations were not enough" in " ".join(out.split())
    _, content = read_results(folder / "out", "faithful")
    assert content["converged"] is False


@pytest.mark.usefixtures("without_pictures")
def test_results_keep_separator_and_decimals(run, folder):
    lines = [f"{i},5;{i * i}" for i in range(12)]
    (folder / "euro.csv").write_text("\n".join(["a;b", *lines]))
    assert run("fit", "euro.csv", "--out", "out")[0] == 0
    labelled = pd.read_csv(folder / "out" / "euro_labelled.csv", sep=";", decimal=",")
    gm = GaussianMixture(2, random_state=0).fit([[i + 0.5, i * i] for i in range(12)])
    np.testing.assert_array_equal(labelled["label"], gm.predict(labelled[["a", "b"]].to_numpy()))
    assert labelled["responsibility_0"].dtype == np.float64


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([1.0, -np.inf, 3.0, 4.0], "row 2, column 'a': '-inf' is not a finite number"),
        (["1", "2", "3", "four"], "row 4, column 'a': 'four' is not a number"),
    ],
)
def test_parquet_cells(run, folder, values, complaint):
    pd.DataFrame({"a": values}).to_parquet(folder / "table.parquet")
    check_refused(run("fit", "table.parquet"), f"table.parquet, {complaint}")


@pytest.mark.usefixtures("without_pictures")
def test_parquet_and_csv_give_the_same(run, folder, faithful):
    pd.read_csv(faithful).to_parquet(folder / "faithful.parquet")
    for path in ("faithful.csv", "faithful.parquet"):
        assert run("fit", path, "--out", path[-3:])[0] == 0
    (csv_rows, csv_fit), (rows, fit) = (
        read_results(folder / name, "faithful") for name in ("csv", "uet")
    )
    pd.testing.assert_frame_equal(csv_rows, rows)
    assert csv_fit["parameters"] == fit["parameters"]


# -- compare and demo -----------------------------------------------------------------------------


def test_compare_tells_what_both_find(run, folder, faithful):
    before = everything_in(folder)
    code, out, err = run("compare", faithful, "-k", 3, "--tol", "1e-4")
    assert (code, err) == (0, "")
    assert everything_in(folder) == before
    assert max(map(len, out.splitlines())) <= 80
    X = load_faithful().data
    bics = {}
    cells = [line.split() for line in out.splitlines()]
    for structure in ("full", "tied", "diag", "spherical"):
        at = next(i for i, line in enumerate(cells) if line[:2] == [structure, "em_toolkit"])
        ours, theirs = cells[at][2:], cells[at + 1][1:]
        settings = {"tol": 1e-4, "random_state": 0, "reg_covar": 1e-6 * X.var(axis=0).min()}
        gm = GaussianMixture(3, covariance_type=structure, **settings).fit(X)
        sk = SklearnGaussianMixture(3, covariance_type=structure, **settings).fit(X)
        bics[structure] = gm.bic(X)
        assert ours[:2] == [f"{gm.score(X) * 272:.4f}", str(gm.n_iter_)]
        assert theirs[:2] == [f"{sk.score(X) * 272:.4f}", str(sk.n_iter_)]
        assert ours[4:] == ["0", "of", str(2 * gm.n_iter_)]
        assert theirs[3:] == ["0", "of", str(sk.n_iter_ - 1)]
        pairs = [
            (gm.weights_, sk.weights_),
            (gm.means_, sk.means_),
            (gm.covariances_, sk.covariances_),
        ]
        worst = max((abs(a - b) / np.maximum(1, abs(b))).max() for a, b in pairs)
        assert ours[3] == f"{worst:.0e}"
    best = min(bics, key=bics.get)
    assert f"{bics[best]:.1f}, is that of {best}." in " ".join(out.split())


def test_compare_says_what_failed(run, folder):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), np.ones(40)])
    pd.DataFrame(X, columns=["a", "one"]).to_csv(folder / "table.csv", index=False)
    code, out, err = run("compare", "table.csv", "--columns", "a,one", "--reg-covar", 0)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "full em_toolkit failed" in said
    assert "column 'one'" in said
    with pytest.raises(ValueError, match="ill-defined"):
        GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    sk = SklearnGaussianMixture(2, covariance_type="spherical", reg_covar=0, random_state=0)
    assert f"{sk.fit(X).score(X) * 40:.4f}" in said


class _Scripted:
    """An estimator whose bounds are known."""

    n_iter_, converged_ = 4, True

    def __init__(self, bounds, parameter):
        self.bounds, self.parameter = np.array(bounds), np.array(parameter)

    def fit(self, X):
        return self

    def score(self, X):
        return -2.0


def test_decreases_and_differences_are_counted():
    def contestant(name, bounds, parameter):
        return Contestant(
            name,
            lambda: _Scripted(bounds, parameter),
            lambda fitted: [np.zeros(2), fitted.parameter],
            lambda fitted: fitted.bounds,
        )

    rising = contestant("rising", [-3.0, -2.0, -2.0 - 1e-12, -1.0], [10.0, 0.5])
    falling = contestant("falling", [-3.0, -3.1, -2.0, -2.0 - 1e-8], [20.0, 0.25])
    ours, theirs = compete([rising, falling], np.zeros((5, 1)))
    assert (ours.n_decreases, ours.n_steps) == (0, 3)
    assert (theirs.n_decreases, theirs.n_steps) == (2, 3)
    assert ours.log_likelihood == -10.0
    assert largest_difference(ours, theirs) == 0.5  # 10 of 20; and 0.25 of at least 1


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [([0, 5, 0, 9, 1], [1, 3]), ([9, 0, 0, 0, 5], [0, 4]), ([1, 3], [0, 1]), ([4], [0])],
)
def test_pictures_show_the_features_that_tell_most(shifts, expected):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=200)
    units = 10.0 ** np.arange(len(shifts))  # what a unit is must not matter
    X = units * (rng.normal(size=(200, len(shifts))) + labels[:, None] * shifts)
    means = np.array([X[labels == k].mean(axis=0) for k in (0, 1)])
    assert pictures.telling_features(np.array([0.5, 0.5]), means, X) == expected
    constant = np.column_stack([np.ones(200), X])
    told = pictures.telling_features(
        np.array([0.5, 0.5]), np.column_stack([np.ones(2), means]), constant
    )
    assert set(told) >= {j + 1 for j in expected}


def test_demo(run, folder):
    code, out, err = run("demo")
    assert (code, err) == (0, "")
    assert {path.name for path in folder.iterdir()} == {"em-toolkit-demo"}
    names = {"faithful.png", "wine.png", "digits.png", "digits_bound.png"}
    assert {path.name for path in (folder / "em-toolkit-demo").iterdir()} == names
    for name in names:
        assert name in out
        assert min(matplotlib.image.imread(folder / "em-toolkit-demo" / name).shape[:2]) > 600
    assert "Written to em-toolkit-demo" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    # the maximum that R's mclust finds: Mclust(faithful, G = 2, modelNames = "VVV")
    assert out.count("-1130.264") == 2
    assert "failed" not in out
    (closed_form,) = (line.split() for line in out.splitlines() if "PPCA, closed" in line)
    (by_em,) = (line.split() for line in out.splitlines() if "PPCA, EM" in line)
    assert float(closed_form[-2]) < 1e-10
    assert float(by_em[-4]) < 1e-3
    assert by_em[-3] == "0"
    X = load_digits().data
    # scikit-learn's density, moved from its divisor n - 1 to n
    pca = PCA(10).fit(X)
    best = multivariate_normal(pca.mean_, pca.get_covariance() * 1796 / 1797).logpdf(X).sum()
    assert closed_form[2] == by_em[3] == f"{best:.4f}"
    wine = load_wine()
    standardized = StandardScaler().fit_transform(wine.data)
    labels = SklearnGaussianMixture(3, random_state=0).fit_predict(standardized)
    n_right = confusion_matrix(wine.target, labels).max(axis=0).sum()
    assert f"{n_right} of 178 wines" in " ".join(out.split())


def test_help_and_version(run):
    from em_toolkit import __version__

    code, out, err = run()
    assert (code, err) == (0, "")
    assert all(word in out for word in ("demo", "fit", "select", "compare"))
    assert run("--version") == (0, f"em_toolkit {__version__}\n", "")
    assert "--columns" in run("fit", "--help")[1]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("acceleration", ["squarem", "quasi_newton"])
def test_fit_with_acceleration(run, folder, faithful, acceleration):
    options = ("-k", 3, "--tol", 1e-7, "--max-iter", 500, "--out", "out")
    code, _, err = run("fit", faithful, *options, "--acceleration", acceleration)
    assert (code, err) == (0, "")
    _, content = read_results(folder / "out", faithful.stem)
    X = pd.read_csv(faithful).to_numpy()
    settings = {"tol": 1e-7, "max_iter": 500, "random_state": 0, "acceleration": acceleration}
    expected = GaussianMixture(3, **settings).fit(X)
    np.testing.assert_array_equal(content["parameters"]["weights"], expected.weights_)


@pytest.mark.usefixtures("without_pictures")
def test_means_far_from_zero_are_told_apart(run, folder):
    rows = 1e8 + np.array([1.0, 2.0, 50.0, 51.0, 0.0])
    pd.DataFrame({"x": rows}).to_csv(folder / "far.csv", index=False)
    _, out, _ = run("fit", "far.csv", "--out", "out")
    assert "100000050.5 ± 0.5" in out
    assert "100000001 ± 0.82" in out


# -- missing cells --------------------------------------------------------------------------------


def test_missing_cells_are_integrated_out_and_filled_in(run, folder):
    table = load_airquality(as_frame=True).data
    table.to_csv(folder / "air.csv", index=False, na_rep="NA")
    written = (folder / "air.csv").read_text().splitlines()
    code, out, _ = run("fit", "air.csv", "--out", "out")
    assert code == 0
    n_missing = table.isna().sum()
    assert f"{n_missing.sum()} of {table.size} cells are missing: " in " ".join(out.split())
    assert f"{table.columns[0]} ({n_missing.iloc[0]})" in out
    gm = GaussianMixture(2, random_state=0).fit(table)
    labelled, content = read_results(folder / "out", "air")
    np.testing.assert_array_equal(labelled["label"], gm.predict(table))
    log_likelihood = content["bound"]["log_likelihood"]
    assert log_likelihood == pytest.approx(gm.score_samples(table).sum(), rel=1e-12)
    # What was observed is there as it was written, to the letter.
    imputed = (folder / "out" / "air_imputed.csv").read_text().splitlines()
    filled = gm.impute(table).to_numpy()
    for i, (cells, now) in enumerate(zip(written[1:], imputed[1:], strict=True)):
        for j, (cell, found) in enumerate(zip(cells.split(","), now.split(","), strict=True)):
            if cell == "NA":
                assert float(found) == pytest.approx(filled[i, j], rel=1e-5)
            else:
                assert found == cell


@pytest.mark.usefixtures("without_pictures")
def test_a_table_without_holes_has_no_imputed_twin(run, folder, faithful):
    assert run("fit", "faithful.csv", "--out", "out")[0] == 0
    assert not list(folder.glob("out/*imputed*"))


@pytest.mark.usefixtures("without_pictures")
def test_integers_with_a_hole_are_filled_in_with_the_decimals_of_the_file(run, folder):
    lines = [f"{i},5;{i * i}" for i in range(12)]
    lines[7] = "7,5;"
    (folder / "euro.csv").write_text("\n".join(["a;b", *lines]))
    assert run("fit", "euro.csv", "-k", "1", "--out", "out")[0] == 0
    imputed = (folder / "out" / "euro_imputed.csv").read_text().splitlines()
    assert imputed[:8] == ["a;b", *lines[:7]]
    b = np.delete(np.square(np.arange(12.0)), 7)
    a = np.delete(np.arange(12.0) + 0.5, 7)
    slope, intercept = np.polyfit(a, b, 1)
    assert imputed[8].startswith("7,5;")
    # As regression has it, but for the ridge of reg_covar.
    found = float(imputed[8].split(";")[1].replace(",", "."))
    assert found == pytest.approx(intercept + 7.5 * slope, rel=1e-4)


# -- select ---------------------------------------------------------------------------------------


def test_select_writes_the_search_and_its_best_fit(run, folder, faithful):
    code, out, err = run("select", "faithful.csv", "-k", "3", "--criterion", "icl", "--out", "out")
    assert (code, err) == (0, "")
    selection = select_mixture(load_faithful().data, range(1, 4), criterion="icl", random_state=0)
    best = selection.best_estimator_
    assert out.count(str(selection).splitlines()[2].strip()) == 1
    table = pd.read_csv(folder / "out" / "faithful_selection.csv")
    np.testing.assert_allclose(table["icl"], selection.to_frame()["icl"])
    labelled, content = read_results(folder / "out", "faithful")
    np.testing.assert_array_equal(labelled["label"], best.predict(load_faithful().data))
    assert content["settings"]["covariance_type"] == best.covariance_type == "VVE"
    for name in ("selection", "components", "bound"):
        picture = matplotlib.image.imread(folder / "out" / f"faithful_{name}.png")
        assert picture.std() > 0.01


@pytest.mark.usefixtures("without_pictures")
def test_select_says_once_what_failed_and_where_it_stands(run, folder):
    rows = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 5, axis=0)
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(folder / "few.csv", index=False)
    code, out, err = run("select", "few.csv", "-k", "7", "--out", "out")
    assert (code, err) == (0, "")
    assert out.count("failed") == 1
    assert "few_selection.csv has their status and error" in out


@pytest.mark.usefixtures("without_pictures")
def test_select_tries_no_more_than_a_small_table_has_rows(run, folder):
    (folder / "few.csv").write_text("a\n" + "\n".join(map(str, [1, 2, 4, 8, 9, 11])))
    code, _, err = run("select", "few.csv", "--out", "out")
    assert (code, err) == (0, "")
    assert pd.read_csv(folder / "out" / "few_selection.csv")["n_components"].max() == 6


def test_select_needs_a_row_for_each_component(run, folder):
    (folder / "table.csv").write_text(NUMBERS)
    check_refused(run("select", "table.csv", "-k", "13"), "13 components", "12")


# -- choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        (choice_of.CovarianceType, STRUCTURES),
        (choice_of.Start, INITIALIZERS),
        (choice_of.Stopping, STOPPING_RULES),
        (choice_of.Acceleration, ACCELERATIONS),
        (choice_of.Criterion, CRITERIA),
    ],
)
def test_the_choices_are_those_of_the_library(choices, names):
    assert {choice.value for choice in choices} == set(names)


@pytest.mark.usefixtures("without_pictures")
def test_fit_with_a_start_a_structure_and_a_stopping_rule(run, folder, faithful):
    options = ["--covariance-type", "VEE", "--init-params", "hierarchical"]
    options += ["--stopping", "distance", "--tol", 1e-6, "--max-iter", 500]
    assert run("fit", "faithful.csv", "--out", "out", *options)[0] == 0
    given = {"covariance_type": "VEE", "init_params": "hierarchical", "stopping": "distance"}
    gm = GaussianMixture(2, tol=1e-6, max_iter=500, random_state=0, **given)
    gm.fit(load_faithful().data)
    _, content = read_results(folder / "out", "faithful")
    np.testing.assert_array_equal(content["parameters"]["covariances"], gm.covariances_)
    assert content["n_iter"] == gm.n_iter_


@pytest.mark.usefixtures("without_pictures")
def test_select_leaves_a_constant_column_out_and_says_so(run, folder):
    X = np.random.default_rng(0).normal(size=(40, 2))
    pd.DataFrame({"a": X[:, 0], "same": 3.0, "b": X[:, 1]}).to_csv(folder / "t.csv", index=False)
    columns = ["--columns", "a,same,b"]
    code, out, err = run("select", "t.csv", "-k", "2", "--out", "out", *columns)
    assert (code, err) == (0, "")
    assert out.count("left out") == 1
    assert "'same' (3)" in out
    assert read_results(folder / "out", "t")[1]["columns"] == ["a", "b"]


@pytest.mark.parametrize(
    ("n_components", "why"),
    [(2, "2 of 3 columns: those whose means differ most"), (1, "2 of 3 columns: the first")],
)
def test_the_picture_says_why_it_shows_these_columns(n_components, why):
    from em_toolkit import GaussianMixture

    X = np.random.default_rng(0).normal(size=(60, 3))
    fit = GaussianMixture(n_components, random_state=0).fit(X)
    figure = pictures.mixture(fit, fit.means_, X, ["a", "b", "c"])
    assert why in figure.axes[0].get_title()
    two = GaussianMixture(n_components, random_state=0).fit(X[:, :2])
    assert (
        "columns" not in pictures.mixture(two, two.means_, X[:, :2], ["a", "b"]).axes[0].get_title()
    )
