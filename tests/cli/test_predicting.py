"""`em-toolkit predict`: what `fit` wrote, applied to another table."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from em_toolkit import PPCA, GaussianMixture, PoissonMixture
from em_toolkit.cli import main, pictures
from em_toolkit.datasets import load_airquality, load_faithful

RNG = np.random.default_rng(0)


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


def refused(result, *fragments):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    for fragment in fragments:
        assert fragment in err


@pytest.mark.parametrize("options", [[], ["--noise"], ["--prior", "conjugate"]])
def test_new_rows_get_what_the_model_says_of_them(run, folder, options, recwarn):
    data = load_faithful(as_frame=True).data
    data[:200].to_csv("old.csv", index=False)
    assert run("fit", "old.csv", *options, "--out", "out")[0] == 0
    # Other columns beside those of the model, and these in another order.
    new = data[200:].assign(name="x,y", day=1)[["name", "waiting", "day", "eruptions"]]
    new.to_csv("new.csv", index=False)
    code, out, err = run("predict", "out/old_parameters.json", "new.csv")
    assert code == 0
    assert "72 rows" in err
    written = pd.read_csv(io.StringIO(out))
    assert list(written.columns[:5]) == ["name", "waiting", "day", "eruptions", "label"]
    assert (written["name"] == "x,y").all()

    keywords = {"--noise": {"noise": True}, "--prior": {"prior": "conjugate"}}
    gm = GaussianMixture(2, random_state=0, **keywords.get((options or [""])[0], {}))
    gm.fit(data[:200].to_numpy())
    X = data[200:].to_numpy()
    np.testing.assert_array_equal(written["label"], gm.predict(X))
    responsibilities = written.filter(regex="^responsibility_")
    np.testing.assert_allclose(responsibilities, gm.predict_proba(X), rtol=1e-12)
    assert ("responsibility_noise" in written) == ("--noise" in options)
    np.testing.assert_allclose(written["log_density"], gm.score_samples(X), rtol=1e-12)
    assert f"{gm.score(X):.4f}" in err
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]

    code, said, err = run("predict", "out/old_parameters.json", "new.csv", "--out", "p.csv")
    assert (code, err) == (0, "")
    assert "p.csv" in said
    assert (folder / "p.csv").read_text() == out
    assert run("predict", "out/old_parameters.json", "new.csv", "--out", "p.tsv")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv("p.tsv", sep="\t"), written)


def test_missing_cells_are_filled_in_beside_the_table(run, folder):
    data = load_airquality(as_frame=True).data
    data.to_csv("air.csv", index=False)
    assert run("fit", "air.csv", "--out", "out")[0] == 0
    code, out, err = run("predict", "out/air_parameters.json", "air.csv")
    assert code == 0
    assert "44 of 612 cells are missing" in " ".join(err.split())
    written = pd.read_csv(io.StringIO(out))
    gm = GaussianMixture(2, random_state=0).fit(data.to_numpy())
    filled = pd.DataFrame(gm.impute(data.to_numpy()), columns=data.columns)
    for name in ("ozone", "solar"):
        np.testing.assert_allclose(written[f"{name}_imputed"], filled[name], rtol=1e-12)
        np.testing.assert_array_equal(written[name], data[name])
    assert "wind_imputed" not in written


@pytest.mark.parametrize(
    ("model", "estimator", "new_columns"),
    [
        ("poisson-mixture", PoissonMixture(2, random_state=0), ["label", "responsibility_0"]),
        ("ppca", PPCA(2, random_state=0), ["latent_0", "latent_1", "log_density"]),
    ],
)
def test_other_models(run, folder, model, estimator, new_columns):
    counts = pd.DataFrame(RNG.poisson(4.0, (60, 3)), columns=["a b", 'c"', "d,e"])
    counts.to_csv("c.csv", index=False)
    assert run("fit", "c.csv", "--model", model, "--out", "out")[0] == 0
    code, out, _ = run("predict", "out/c_parameters.json", "c.csv")
    assert code == 0
    written = pd.read_csv(io.StringIO(out))
    assert set(new_columns) <= set(written.columns)
    expected = estimator.fit(counts.to_numpy(dtype=float)).score_samples(counts.to_numpy())
    np.testing.assert_allclose(written["log_density"], expected, rtol=1e-10)
    counts.assign(**{"a b": -1}).to_csv("bad.csv", index=False)
    if model == "poisson-mixture":
        refused(run("predict", "out/c_parameters.json", "bad.csv"), "negative")


def test_what_select_found_and_what_to_json_wrote(run, folder):
    data = load_faithful(as_frame=True).data
    data.to_csv("f.csv", index=False)
    assert run("select", "f.csv", "-k", 2, "--out", "out")[0] == 0
    _, out, _ = run("predict", "out/f_parameters.json", "f.csv")
    labelled = pd.read_csv("out/f_labelled.csv")
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(out))["label"], labelled["label"])
    GaussianMixture.from_json("out/f_parameters.json").to_json("m.json")
    assert run("predict", "m.json", "f.csv")[:2] == (0, out)
    # A model without names takes the columns of numbers as they come.
    gm = GaussianMixture(2, random_state=0).fit(data.to_numpy())
    gm.to_json("nameless.json")
    code, out, _ = run("predict", "nameless.json", "f.csv")
    assert code == 0
    np.testing.assert_array_equal(
        pd.read_csv(io.StringIO(out))["label"], gm.predict(data.to_numpy())
    )


def test_the_model_that_fit_writes_is_the_model_that_it_fitted(run, folder):
    data = load_faithful(as_frame=True).data
    data.to_csv("f.csv", index=False)
    assert run("fit", "f.csv", "--out", "out")[0] == 0
    content = json.loads((folder / "out" / "f_parameters.json").read_text())
    assert content["estimator"]["schema_version"] == 2
    gm = GaussianMixture(2, random_state=0).fit(data.to_numpy())
    model = GaussianMixture.from_json(folder / "out" / "f_parameters.json")
    assert model.feature_names_in_.tolist() == list(data.columns)
    np.testing.assert_array_equal(model.score_samples(data), gm.score_samples(data.to_numpy()))
    np.testing.assert_array_equal(model.trace_.elbo, gm.trace_.elbo)


def test_what_predict_refuses(run, folder):
    data = load_faithful(as_frame=True).data
    data.to_csv("f.csv", index=False)
    data.rename(columns={"waiting": "wait"}).to_csv("other.csv", index=False)
    data[["waiting"]].assign(x=1.0).to_csv("nothing.csv", index=False)
    assert run("fit", "f.csv", "--out", "out")[0] == 0
    model = "out/f_parameters.json"
    refused(run("predict", model, "other.csv"), "'waiting'", "eruptions, wait", "f_parameters.json")
    refused(run("predict", model, "nothing.csv"), "'eruptions'")
    refused(run("predict", "no.json", "f.csv"), "no.json", "no such file")
    refused(run("predict", "f.csv", "f.csv"), "f.csv", "JSON")
    refused(run("predict", model, "no.csv"), "no.csv", "no such file")
    refused(run("predict", model, "f.csv", "--out", "p.xlsx"), "p.xlsx", ".csv")
    refused(run("predict", model, "f.csv", "--out", "a/p.csv"), "no such folder")
    (folder / "d.csv").mkdir()
    refused(run("predict", model, "f.csv", "--out", "d.csv"), "is a folder")
    text = (folder / model).read_text()
    (folder / "v.json").write_text(text.replace('"schema_version": 2', '"schema_version": 7'))
    refused(run("predict", "v.json", "f.csv"), "schema_version 2, got 7")
    (folder / "t.csv").write_text("eruptions,waiting\n1,2\n3,4\n5,6\n7,oops\n")
    refused(run("predict", model, "t.csv"), "line 5", "'oops'")


def told(text):
    return " ".join(text.split())


def test_a_table_is_read_as_in_the_fit(run, folder):
    data = load_faithful(as_frame=True).data
    data.iloc[::7, 0] = -200.0
    data.to_csv("old.csv", index=False)
    assert run("fit", "old.csv", "--missing", "-200", "--out", "out")[0] == 0
    model = "out/old_parameters.json"
    code, out, err = run("predict", model, "old.csv")
    assert code == 0
    assert "read as in the fit, with --missing -200" in told(err)
    written, fitted = pd.read_csv(io.StringIO(out)), pd.read_csv("out/old_labelled.csv")
    np.testing.assert_array_equal(written["label"], fitted["label"])
    # What a person says counts more; and the model is what any other reader finds in the file.
    _, other, err = run("predict", model, "old.csv", "--missing", "x")
    assert "read as in the fit" not in told(err)
    assert (pd.read_csv(io.StringIO(other))["log_density"] < written["log_density"].min()).any()
    assert GaussianMixture.from_json(model).n_components == 2


def test_percentages_in_one_table_alone_are_told(run, folder):
    rows = [f"{1 + k % 7},{5 + k % 5}%" for k in range(30)]
    (folder / "old.csv").write_text("\n".join(["a,p", *rows]))
    assert run("fit", "old.csv", "--out", "out")[0] == 0
    (folder / "new.csv").write_text("a,p\n1,0.05\n2,0.07\n")
    code, _, err = run("predict", "out/old_parameters.json", "new.csv")
    assert code == 0
    assert "column 'p' has no sign here, and had the sign % in the fit" in told(err)


def test_rows_that_say_little(run, folder):
    """One row, a column without a value, a row without any."""
    load_faithful(as_frame=True).data.to_csv("old.csv", index=False)
    assert run("fit", "old.csv", "--out", "out")[0] == 0
    model = "out/old_parameters.json"
    (folder / "one.csv").write_text("eruptions,waiting\n3.5,70\n")
    assert run("predict", model, "one.csv")[0] == 0
    (folder / "empty.csv").write_text("eruptions,waiting\n3.5,\n2.0,\n")
    code, out, _ = run("predict", model, "empty.csv")
    assert code == 0
    gm = GaussianMixture.from_json(model)
    rows = pd.DataFrame([[3.5, np.nan], [2.0, np.nan]], columns=gm.feature_names_in_)
    imputed = pd.read_csv(io.StringIO(out))["waiting_imputed"]
    np.testing.assert_allclose(imputed, gm.impute(rows)["waiting"], rtol=1e-12)
    (folder / "none.csv").write_text("name,eruptions,waiting\nx,3.5,70\ny,,\nz,2.0,50\n")
    code, _, err = run("predict", model, "none.csv")
    assert code == 0
    assert "1 row without any value" in told(err)


def test_names_that_are_nearly_there(run, folder):
    load_faithful(as_frame=True).data.to_csv("old.csv", index=False)
    assert run("fit", "old.csv", "--out", "out")[0] == 0
    model = "out/old_parameters.json"
    (folder / "new.csv").write_text("Eruptions,WAITING\n3.5,70\n2.0,50\n")
    refused(run("predict", model, "new.csv"), "there are Eruptions, WAITING: rename them")
    (folder / "new.csv").write_text("3.5,70\n2.0,50\n")
    refused(run("predict", model, "new.csv"), "the table has no header: --header")
    with pytest.raises(FileNotFoundError, match=r"nofile\.json"):
        GaussianMixture.from_json("nofile.json")


def test_positions_and_numbers_of_components_are_refused_in_words(run, folder):
    (folder / "a.csv").write_text("x,y,kind\n1,2,a\n2,3,b\n4,4,c\n")
    refused(run("fit", "a.csv", "--columns", "99"), "position 99: there are 3 columns")
    code, _, err = run("fit", "a.csv", "-k", "0")
    assert code == 2
    assert "--components" in err
    code, _, err = run("fit", "a.csv", "--columns", "kind")
    assert code == 2
    assert "--missing" not in err


def test_a_component_of_one_row_is_told(run, folder):
    rows = [f"{1 + k % 7},{5 + k % 5}" for k in range(30)]
    (folder / "a.csv").write_text("\n".join(["a,b", *rows, "1000,5000"]))
    code, out, _ = run("fit", "a.csv", "--prior", "conjugate", "--out", "out")
    assert code in (0, 3)
    assert "is a single row: a total or another outlier" in told(out)


def table_of(path, a, b):
    pairs = zip(a, b, strict=True)
    rows = [f"{left:.3f}".replace(".", ",") + f";{right:.3f}" for left, right in pairs]
    path.write_text("\n".join(["a;b", *rows]) + "\n")


def test_decimal_commas_of_the_fit_are_those_of_new_rows(run, folder):
    """4,567 beside 0.200 is 4.567 where the fit had decimal commas in that column."""
    rows = ["0,5;0.100", "1,5;0.103", "2,5;0.106", "3,5;0.109", "4,5;0.112", "5,5;0.15"]
    (folder / "old.csv").write_text("\n".join(["a;b", *rows]) + "\n")
    assert run("fit", "old.csv", "-k", "1", "--out", "out")[0] == 0
    (folder / "new.csv").write_text("a;b\n4,567;0.200\n")
    code, out, err = run("predict", "out/old_parameters.json", "new.csv")
    assert code == 0
    assert pd.read_csv(io.StringIO(out), sep=";")["log_density"][0] > -100.0
    # What can be read in one way alone is read so, and told.
    (folder / "other.csv").write_text("a;b\n4.5;0.200\n")
    code, out, err = run("predict", "out/old_parameters.json", "other.csv")
    assert code == 0
    assert "where the fit had a decimal comma" in " ".join(err.split())


def test_commas_that_may_be_of_either_kind_are_told(run, folder):
    table_of(folder / "old.csv", 5.0 + RNG.normal(size=60), RNG.uniform(size=60))
    code, out, _ = run("fit", "old.csv", "-k", "1", "--out", "out")
    assert code == 0
    assert "say --decimal , (or --thousands .)" in " ".join(out.split())
