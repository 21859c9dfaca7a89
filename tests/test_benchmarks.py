"""The benchmarks run, and see a program that does something else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import STRUCTURES
from sklearn.mixture import GaussianMixture

from benchmarks import (
    compare,
    coverage,
    earlier,
    latency,
    memory,
    missing,
    scaling,
    starts,
    trace_cost,
)
from benchmarks.peers.session import OURS, SCIKIT_LEARN, Peer, all_peers
from benchmarks.peers.worker import Report
from benchmarks.race import Race, Result
from benchmarks.roofline import multiplication_rate
from benchmarks.workload import Case, Solution, Workload, mean_log_likelihood
from em_toolkit.initialization import INITIALIZERS

CASE = Case(300, 2, 2, "full", n_iter=3, n_runs=2)

# scikit-learn, but for one iteration that it leaves out and counts.
LAZY = """
from benchmarks.peers.scikit_learn import ScikitLearn
from benchmarks.peers.worker import serve

class Lazy(ScikitLearn):
    def fit(self, n_iter):
        return super().fit(max(1, n_iter - 1))

    def solution(self, fitted):
        n_iter, *parameters = super().solution(fitted)
        return n_iter + 1, *parameters

serve(Lazy)
"""
PEERS = [
    OURS,
    SCIKIT_LEARN,
    Peer("lazy", (sys.executable, "-c", LAZY)),
    Peer("broken", (sys.executable, "-c", "import sys; len(sys.argv) == 1 or 1 / 0")),
    Peer("absent", ("/no/such/program",), install="make it so"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def written(folder: Path) -> str:
    """The table of a whole run, of which the exit code says that not all is well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "CASES", [replace(CASE, n_rows=400)])
        patch.setattr(compare, "all_peers", lambda _: PEERS)
        patch.setattr(Peer, "version", lambda peer: None if peer.name == "absent" else "1.0")
        patch.setattr(compare, "multiplication_rate", lambda: multiplication_rate(64, 1))
        patch.setattr(sys, "argv", ["compare", "--quick", "--out", str(folder)])
        assert compare.main() == 1
    return (folder / "compare.md").read_text()


def line_of(name: str, text: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if f"| {name} " in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_program_has_its_line(written: str, folder: Path) -> None:
    for name in ("em_toolkit", "scikit-learn"):
        line = dict(zip(compare.HEADER, line_of(name, written), strict=True))
        assert float(line["ms per iteration"]) > 0.0
        assert float(line["÷ em_toolkit"]) > 0.0
        assert abs(float(line["− scikit-learn"])) < 1e-12
    assert line_of("em_toolkit", written)[0].startswith("400 × 2, K = 2, full")
    assert (folder / "compare.png").stat().st_size > 10_000


def test_one_that_does_something_else_is_marked(written: str) -> None:
    assert line_of("lazy", written)[6].endswith("NOT THE SAME")
    assert written.count("NOT THE SAME") == 1


def test_one_that_fails_is_named_with_its_message(written: str) -> None:
    assert line_of("broken", written)[2] == "broken failed: ZeroDivisionError: division by zero"


def test_one_that_is_not_installed_is_named_with_the_command(written: str) -> None:
    assert "- absent is not installed: `make it so`" in written


def test_the_version_is_what_the_program_says() -> None:
    assert Peer("one", (sys.executable, "-c", "print('1.2')")).version() == "1.2"
    assert Peer("without its library", (sys.executable, "-c", "import no_such")).version() is None
    assert Peer("absent", ("/no/such/program",)).version() is None


def test_the_known_peers_are_absent_where_nothing_is_installed(tmp_path: Path) -> None:
    peers = {peer.name: peer for peer in all_peers(tmp_path)}
    for name in ("oneDAL", "pomegranate"):
        assert peers[name].version() is None
        assert "benchmarks.peers.install" in peers[name].install


# -- the comparison of results --------------------------------------------------------------------


def result(peer: Peer, log_likelihood: float = -3.0, n_iter: int = 3, case: Case = CASE) -> Result:
    reports = tuple(Report(0.3 + 0.1 * i, n_iter, 1.0, 2.0) for i in range(case.n_runs))
    return Result(peer, case, reports, log_likelihood)


@pytest.mark.parametrize(
    ("theirs", "is_same"),
    [
        (result(OURS), True),
        (result(OURS, log_likelihood=-3.0 + 1e-13), True),
        (result(OURS, log_likelihood=-3.0 + 1e-8), False),
        (result(OURS, log_likelihood=np.nan), False),
        (result(OURS, n_iter=2), False),
        (result(replace(OURS, tolerance=1e-6), log_likelihood=-3.0 + 1e-8), True),
    ],
)
def test_the_same_is_as_many_steps_to_the_same_likelihood(theirs: Result, is_same: bool) -> None:
    race = Race(CASE, (result(SCIKIT_LEARN), theirs), {})
    assert race.is_same(theirs) is is_same
    assert race.is_sound is is_same


def test_a_race_without_us_is_not_sound() -> None:
    assert not Race(CASE, (result(SCIKIT_LEARN),), {OURS: "failed"}).is_sound


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_the_likelihood_and_its_files(covariance_type: str, tmp_path: Path) -> None:
    case = replace(CASE, n_features=3, covariance_type=covariance_type)
    X = Workload.of(case).X
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    found = (mixture.weights_, mixture.means_, mixture.covariances_)
    np.concatenate([values.ravel() for values in found]).tofile(tmp_path / "solution")
    solution = Solution.read(tmp_path / "solution", case)
    log_likelihood = mean_log_likelihood(X, solution, covariance_type)
    assert log_likelihood == pytest.approx(mixture.score(X), rel=1e-13)


def test_the_likelihood_of_what_is_not_finite() -> None:
    nothing = Solution(np.ones(2) / 2, np.full((2, 2), np.nan), np.ones(8))
    assert np.isnan(mean_log_likelihood(np.ones((5, 2)), nothing, "full"))


# -- the other commands ---------------------------------------------------------------------------


def test_scaling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def compared(cases: list[Case], peers: list[Peer], limit: float) -> compare.Comparison:
        races = [Race(case, tuple(result(peer, case=case) for peer in peers), {}) for case in cases]
        return compare.Comparison("a machine; its system", races, rate=1e9, missing=[])

    monkeypatch.setattr(scaling, "compare", compared)
    monkeypatch.setattr(sys, "argv", ["scaling", "--out", str(tmp_path)])
    assert scaling.main() == 0
    assert "10,000,000 × 4, K = 5, full" in (tmp_path / "scaling.md").read_text()
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a file that says which of them it is."""
    worker = tmp_path / "there" / "worker.py"
    worker.parent.mkdir()
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for state in ("first", "second"):
        worker.write_text(f"print({state!r})")
        for words in (["init"], ["add", "."], ["commit", "--message", state]):
            command = ["git", *author, words[0], "--quiet" if words[0] != "add" else "--all"]
            subprocess.run([*command, *words[1:]], cwd=worker.parent, check=True)
    monkeypatch.setattr(earlier, "ROOT", worker.parent)
    monkeypatch.setattr(earlier, "OURS", Peer("ours", (sys.executable, "worker.py")))
    return tmp_path


def test_an_earlier_revision_runs_in_its_own_files(history: Path) -> None:
    assert earlier.unpacked("HEAD", history).version() == "second"
    assert earlier.unpacked("HEAD~1", history).version() == "first"
    with pytest.raises(SystemExit, match="'no-such' is no revision"):
        earlier.unpacked("no-such", history)


def test_a_ratio_above_one_is_slower_than_earlier() -> None:
    there = replace(OURS, name="abc1234")
    reports = tuple(Report(report.seconds / 2.0, 3, 1.0, 2.0) for report in result(OURS).reports)
    race = Race(CASE, (result(OURS), Result(there, CASE, reports, -3.0)), {})
    ((case, revision, _, _, ratio, half),) = earlier.lines(race)
    assert (case, revision, ratio, half) == (str(CASE), "abc1234", "2.000", "2.000 to 2.000")
    (line,) = earlier.lines(Race(CASE, (result(OURS), result(there, -3.1)), {}))
    assert line[4] == "1.000 NOT THE SAME"


@pytest.mark.parametrize("further", [False, True])
def test_starts_writes_its_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, further: bool
) -> None:
    options = ["--further"] if further else []
    monkeypatch.setattr(sys, "argv", ["starts", "--quick", "--out", str(tmp_path), *options])
    assert starts.main() == 0
    text = (tmp_path / ("starts_further.md" if further else "starts.md")).read_text()
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + (
        1 if further else len(INITIALIZERS)
    )
    assert "of 2 seeds" in text


def test_a_needle_is_not_at_the_best() -> None:
    found = [
        starts.Run(-10.0, True, 1.0),
        starts.Run(5.0, False, 1.0),
        starts.Run(-12.0, True, 1.0),
    ]
    assert starts.best_of({"one": found[:2], "other": found[2:]})[0] == -10.0
    assert starts.share_at(-10.0, found) == pytest.approx(1 / 3)
    assert starts.share_at(-12.0, found) == pytest.approx(2 / 3)
    assert starts.cost_of(found, [starts.Run(0.0, True, 0.5)] * 2) == 2.0


def test_memory(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["memory", "--quick"])
    assert memory.main() == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[1] for line in lines] == ["em_toolkit", "scikit-learn"]


def test_latency(tmp_path: Path) -> None:
    data = tmp_path / "rows.npy"
    np.save(data, np.random.default_rng(0).standard_normal((50, 2)))
    assert latency.seconds_of("em_toolkit", data) > 0.0


def test_trace_cost(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["trace_cost", "--quick"])
    trace_cost.main()
    assert "without ledger" in capsys.readouterr().out


def test_a_fit_without_its_monitor_is_the_same_fit() -> None:
    X = Workload.of(CASE).X
    estimator: Any = trace_cost.GaussianMixture(2, random_state=0, reg_covar=0.0)
    bounds = list(estimator.fit(X).lower_bounds_)
    with trace_cost.monitored_by(trace_cost.NoMonitor):
        assert list(estimator.fit(X).lower_bounds_) == bounds
    assert set(estimator.trace_.half_step) == {"E"}
    assert set(estimator.fit(X).trace_.half_step) == {"E", "M"}


def test_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(missing, "CASES", [missing.CASES[0], missing.CASES[-1]])
    missing.main(["--quick", "--out", str(tmp_path)])
    lines = (tmp_path / "missing.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| 1,000")] == [
        "1,000 × 8, K = 5, full",
        "1,000 × 8, K = 5, diag, noise",
    ]


def test_the_holes_have_as_many_patterns_as_they_should() -> None:
    holes = missing.Holes(CASE, 3)
    made = np.isnan(holes.made(Workload.of(CASE).X))
    assert len(np.unique(made, axis=0)) == 3
    assert not made.all(axis=1).any()


def test_coverage_writes_its_table_and_follows_the_level(
    tmp_path: Path,
) -> None:
    coverage.main(["--quick", "--out", str(tmp_path)])
    text = (tmp_path / "coverage.md").read_text()
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 24
    found = coverage.run("tied", 200, 4.0, 0.2, 60, 0.95)
    assert found["means"][0] > 0.9
    assert coverage.run("tied", 200, 4.0, 0.2, 60, 0.5)["means"][0] < 0.65
