"""em_toolkit.GaussianMixture beside scikit-learn, oneDAL, pomegranate and R's mclust.

    python -m benchmarks.compare [--quick] [--peers FOLDER] [--out FOLDER] [--limit SECONDS]

It takes those that are installed, says how to install the others (``python -m
benchmarks.peers.install``), prints a table and writes it with a picture to benchmarks/results.

Each program runs in a process of its own, on the same data from the same weights, means and
covariances, without regularization, for the same number of M-steps; they take turns in an order
that rotates, so that what else the machine does hits all. All may use all cores. A time is that of
the whole fit from the start given, the library's own validation included, divided by its
iterations: a little more than an iteration of a long fit costs. n iterations are n M-steps, and
n + 1 E-steps in em_toolkit and scikit-learn (the last gives the one the evidence of the parameters
it returns, the other its labels) and in mclust; oneDAL and pomegranate make n.

That all did the same is checked by the log-likelihood of what they return, by scipy's normal
density: what differs from scikit-learn's by more than rounding is marked, and the exit code is 1.
Memory is the peak of the process during a fit above what it held just before, the data included.
The last column is the share of the machine's rate of matrix products, measured in the same run,
that the products of an iteration would have at this time (see `benchmarks.roofline`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import machine
from benchmarks.peers.session import (
    ENVIRONMENTS,
    OURS,
    SCIKIT_LEARN,
    Peer,
    all_peers,
)
from benchmarks.race import Race, Result, race
from benchmarks.report import folder_of, parser_of, plain_numbers, table, three_digits, write
from benchmarks.roofline import floor, multiplication_rate
from benchmarks.workload import Case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CASES = [
    Case(200_000, 2, 5, "full", n_iter=30),
    Case(200_000, 10, 10, "full"),
    Case(100_000, 32, 16, "full"),
    Case(20_000, 128, 8, "full"),
    Case(200_000, 10, 10, "tied"),
    Case(200_000, 32, 64, "tied"),
    Case(200_000, 10, 10, "diag"),
    Case(200_000, 32, 64, "diag"),
    Case(200_000, 10, 10, "spherical"),
    Case(200_000, 32, 64, "spherical"),
]

HEADER = [
    "rows × features, components, covariance",
    "program",
    "ms per iteration",
    "÷ em_toolkit",
    "(range)",
    "log-likelihood per row",
    "− scikit-learn",
    "peak MB",
    "of the roofline",
]


@dataclass(frozen=True)
class Comparison:
    """The cases that were run, and on what.

    Parameters
    ----------
    host : str
        The machine and the versions.
    races : list of Race
    rate : float
        Operations a second in a product of matrices.
    missing : list of Peer
        Those that are not installed.
    """

    host: str
    races: list[Race]
    rate: float
    missing: list[Peer]

    @property
    def results(self) -> list[Result]:
        """Of all cases."""
        return [result for entry in self.races for result in entry.results]

    @property
    def is_sound(self) -> bool:
        """Whether all programs did the same in all cases."""
        return all(entry.is_sound for entry in self.races)

    def markdown(self) -> str:
        """The machine, the table, and what the table does not say."""
        lines = [line for entry in self.races for line in _lines(entry, self.rate)]
        remarks = "\n".join(f"- {remark}" for remark in self._remarks())
        return f"{self.host}\n\n{table(HEADER, lines)}\n\n{remarks}\n"

    def _remarks(self) -> list[str]:
        remarks = [
            "Medians of whole fits divided by their iterations, by turns, a process for each "
            "program. A ratio above 1 means that em_toolkit is faster; its range is that of the "
            "single runs.",
            f"Roofline: {self.rate / 1e9:.0f} GFLOP/s in a product of two matrices of 2048 × 2048.",
        ]
        peers = list(dict.fromkeys(result.peer for result in self.results))
        fewer = [peer.name for peer in peers if peer.extra_e_steps == 0]
        if fewer:
            names = " and ".join(fewer)
            remarks.append(f"One E-step fewer than the others in each fit: {names}.")
        remarks += [f"{peer.name} {peer.note}." for peer in peers if peer.note]
        remarks += [f"{peer.name} is not installed: `{peer.install}`" for peer in self.missing]
        return remarks


def _lines(entry: Race, rate: float) -> list[list[str]]:
    """The lines of a case, named in the first."""
    gap = [""] * (len(HEADER) - 3)
    lines = [[result.peer.name, *_figures(result, entry, rate)] for result in entry.results]
    lines += [[peer.name, cause, *gap] for peer, cause in entry.absences.items()]
    names = [str(entry.case), *[""] * (len(lines) - 1)]
    return [[name, *line] for name, line in zip(names, lines, strict=True)]


def _figures(result: Result, entry: Race, rate: float) -> list[str]:
    ours, reference = entry.of(OURS), entry.of(SCIKIT_LEARN)
    ratio = spread = difference = ""
    if ours is not None:
        ratios = result.times / ours.times
        ratio = f"{result.time / ours.time:.2f}"
        spread = f"{ratios.min():.2f} to {ratios.max():.2f}"
    if reference is not None:
        difference = f"{result.log_likelihood - reference.log_likelihood:.0e}"
    mark = "" if entry.is_same(result) else " NOT THE SAME"
    if result.n_iter != entry.case.n_iter:
        mark += f" ({result.n_iter} iterations of {entry.case.n_iter})"
    return [
        three_digits(1e3 * result.time),
        ratio,
        spread,
        f"{result.log_likelihood:.6f}",
        difference.replace("0e+00", "0") + mark,
        f"{result.working_mb:,.1f}",
        f"{floor(result.case) / result.time / rate:.1%}",
    ]


def compare(cases: Sequence[Case], peers: Sequence[Peer], limit: float) -> Comparison:
    """Run the cases by those of the peers that are installed, and say how it goes."""
    versions = {peer.name: peer.version() for peer in peers}
    found = {name: version for name, version in versions.items() if version is not None}
    host = machine(found)
    print(host, flush=True)
    races, rate = [], 0.0
    for case in cases:
        rate = max(rate, multiplication_rate())
        races.append(race(case, [peer for peer in peers if peer.name in found], limit))
        times = [
            f"{result.peer.name} {three_digits(1e3 * result.time)}" for result in races[-1].results
        ]
        print(f"{case}: {', '.join(times)}", flush=True)
    return Comparison(host, races, rate, [peer for peer in peers if peer.name not in found])


def draw(results: Sequence[Result], title: str) -> Figure:
    """A line for each case, a dot for each program."""
    import matplotlib.pyplot as plt

    from em_toolkit.displays.style import palette

    cases = list(dict.fromkeys(result.case for result in results))
    peers = list(dict.fromkeys(result.peer for result in results))
    figure, ax = plt.subplots(figsize=(8.0, 1.6 + 0.4 * len(cases)), layout="constrained")
    for case, level in zip(cases, range(len(cases)), strict=True):
        times = [1e3 * result.time for result in results if result.case == case]
        ax.plot([min(times), max(times)], [level, level], color="#bbbbbb", linewidth=0.8, zorder=1)
    # Ours is drawn last, above a dot that it touches.
    order = list(zip(peers, palette(len(peers)), "osD^v", strict=False))
    for index, (peer, color, marker) in reversed(list(enumerate(order))):
        own = [result for result in results if result.peer == peer]
        # A little apart, so that equal times do not hide each other.
        shift = 0.1 * (index - 0.5 * (len(peers) - 1))
        ax.scatter(
            [1e3 * result.time for result in own],
            [cases.index(result.case) + shift for result in own],
            s=46,
            color=color,
            marker=marker,
            edgecolor="white",
            linewidth=0.6,
            label=peer.name,
            zorder=2,
        )
    ax.set(xscale="log", xlabel=f"milliseconds per iteration\n{title}")
    ax.set_yticks(range(len(cases)), [str(case) for case in cases])
    ax.invert_yaxis()
    ax.grid(axis="x", color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    plain_numbers(ax.xaxis)
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside upper center", ncols=len(peers), frameon=False
    )
    return figure


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--peers", type=Path, default=ENVIRONMENTS, help="folder of the peers' environments"
    )
    arguments = parser.parse_args()
    cases = list(dict.fromkeys(case.quick() for case in CASES)) if arguments.quick else CASES
    peers = all_peers(arguments.peers.resolve())
    comparison = compare(cases, peers, arguments.limit)
    picture = draw(comparison.results, comparison.host.split(";")[0])
    write(folder_of(arguments), "compare", comparison.markdown(), picture)
    return 0 if comparison.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
