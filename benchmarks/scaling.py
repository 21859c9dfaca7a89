"""What an iteration costs against rows, features and components: em_toolkit and scikit-learn.

    python -m benchmarks.scaling [--quick] [--out FOLDER] [--limit SECONDS]

One of the three varies while the others stay, with full covariances; everything else, the columns
of the table included, is as in `benchmarks.compare`. It writes scaling.md and scaling.png.

Our lines bend where a fit is large enough for the compiled loops: smaller ones are plain NumPy, for
to load the compiler takes as long as some thirty of their iterations.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.compare import compare
from benchmarks.peers.session import OURS, SCIKIT_LEARN
from benchmarks.race import Result
from benchmarks.report import folder_of, parser_of, plain_numbers, write
from benchmarks.workload import Case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POWERS_OF_TWO = [2, 4, 8, 16, 32, 64, 128, 256]


class Sweep(NamedTuple):
    """Cases that differ in one size.

    Parameters
    ----------
    varied : str
        The size: an attribute of `Case`.
    label : str
        What the picture calls it.
    fixed : str
        The others, in words.
    cases : list of Case
    """

    varied: str
    label: str
    fixed: str
    cases: list[Case]

    def quick(self) -> Sweep:
        """The smallest two cases, with few rows."""
        few = [replace(case, n_rows=case.n_rows // 10, n_iter=2, n_runs=2) for case in self.cases]
        return self._replace(cases=few[:2])


PEERS = [OURS, SCIKIT_LEARN]
SWEEPS = [
    Sweep(
        "n_rows",
        "rows",
        "4 features, 5 components",
        [
            Case(n, 4, 5, "full", n_iter=10 if n < 10**6 else 3)
            for n in (10**4, 10**5, 10**6, 10**7)
        ],
    ),
    Sweep(
        "n_features",
        "features",
        "20,000 rows, 8 components",
        [Case(20_000, d, 8, "full", n_iter=5) for d in POWERS_OF_TWO],
    ),
    Sweep(
        "n_components",
        "components",
        "50,000 rows, 8 features",
        [Case(50_000, 8, K, "full", n_iter=5) for K in POWERS_OF_TWO],
    ),
]


def draw(results: Sequence[Result], sweeps: Sequence[Sweep], title: str) -> Figure:
    """A panel for each sweep, a line for each program, with the range of its runs."""
    import matplotlib.pyplot as plt

    from em_toolkit.displays.style import palette

    figure, panels = plt.subplots(
        1, len(sweeps), figsize=(10.0, 3.9), sharey=True, layout="constrained"
    )
    for ax, sweep in zip(panels, sweeps, strict=True):
        for peer, color, marker in zip(PEERS, palette(len(PEERS)), "os", strict=True):
            own = [entry for entry in results if entry.peer == peer and entry.case in sweep.cases]
            sizes = [getattr(result.case, sweep.varied) for result in own]
            lowest = [1e3 * result.times.min() for result in own]
            highest = [1e3 * result.times.max() for result in own]
            ax.fill_between(sizes, lowest, highest, color=color, alpha=0.25, linewidth=0.0)
            times = [1e3 * result.time for result in own]
            ax.plot(sizes, times, color=color, marker=marker, markersize=5, label=peer.name)
        ax.set(xscale="log", yscale="log", xlabel=sweep.label)
        ax.set_title(sweep.fixed, fontsize="medium")
        ax.grid(color="#dddddd", linewidth=0.7)
        ax.spines[["top", "right"]].set_visible(False)
        plain_numbers(ax.xaxis, [getattr(case, sweep.varied) for case in sweep.cases])
    plain_numbers(panels[0].yaxis)
    panels[0].set_ylabel("milliseconds per iteration")
    panels[0].legend(frameon=False)
    figure.get_layout_engine().set(w_pad=0.12)
    bend = "em_toolkit's lines bend where its compiled loops begin"
    figure.supxlabel(f"full covariances; {bend}; {title}", fontsize="medium")
    return figure


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    sweeps = [sweep.quick() for sweep in SWEEPS] if arguments.quick else SWEEPS
    cases = [case for sweep in sweeps for case in sweep.cases]
    comparison = compare(cases, PEERS, arguments.limit)
    picture = draw(comparison.results, sweeps, comparison.host.split(";")[0])
    write(folder_of(arguments), "scaling", comparison.markdown(), picture)
    return 0 if comparison.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
