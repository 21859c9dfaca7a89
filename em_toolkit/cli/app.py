"""The commands and their options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import em_toolkit
from em_toolkit.cli.choices import (
    Acceleration,
    CovarianceType,
    Criterion,
    ModelName,
    Solver,
    Start,
    Stopping,
)

app = typer.Typer(
    add_completion=False,
    help="Fit latent variable models by expectation-maximization, and see what it did.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# typer's own class or click's, by the version of typer: there is no one place to import it from.
_UsageError: Any = typer.BadParameter.__bases__[0]
_STOPPED = 130


File = Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .tsv or .parquet table.")]
Components = Annotated[
    int, typer.Option("--components", "-k", help="How many components to look for.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder for the results; FILE_em by default."),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="The columns to use; by default all numeric ones."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random starts.")]
Starts = Annotated[int | None, typer.Option(help="How many starts to try; 1 by default.")]
Tol = Annotated[
    float | None, typer.Option(help="Stop when an iteration gains less, in nats a row.")
]
MaxIter = Annotated[int | None, typer.Option(help="The largest number of iterations.")]
RegCovar = Annotated[
    float | None,
    typer.Option(help="Keeps covariances from collapsing; 1e-6 by default, in squared units."),
]


def _folder_for(file: Path, out: Path | None) -> Path:
    return Path(f"{file.stem}_em") if out is None else out


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"em_toolkit {em_toolkit.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path(
        "em-toolkit-demo"
    ),
) -> None:
    """See it work on real data, side by side with scikit-learn.

    Gaussian mixtures of the Old Faithful eruptions and of Italian wines, probabilistic PCA of
    handwritten digits. It takes a few seconds, and writes pictures.
    """
    from rich.console import Console

    from em_toolkit.cli.demo import run_demo

    run_demo(out, Console())


@app.command()
def fit(
    file: File,
    model: Annotated[
        ModelName, typer.Option(help="The model to fit.")
    ] = ModelName.GAUSSIAN_MIXTURE,
    components: Components = 2,
    out: Out = None,
    columns: Columns = None,
    covariance_type: Annotated[
        CovarianceType | None,
        typer.Option(help="Gaussian mixtures: the form of the covariances; full by default."),
    ] = None,
    solver: Annotated[Solver | None, typer.Option(help="PPCA: closed_form by default.")] = None,
    seed: Seed = 0,
    init_params: Annotated[
        Start | None, typer.Option(help="Mixtures: where EM starts; kmeans by default.")
    ] = None,
    n_init: Starts = None,
    tol: Tol = None,
    stopping: Annotated[
        Stopping | None,
        typer.Option(help="What tol is held against: a step, or all that is left of the way."),
    ] = None,
    max_iter: MaxIter = None,
    reg_covar: RegCovar = None,
    acceleration: Annotated[
        Acceleration | None, typer.Option(help="Fewer passes where EM is slow; none by default.")
    ] = None,
) -> None:
    """Fit a model to your own table.

    Prints the components; writes the table with labels and responsibilities (or latent
    coordinates) beside each row, the parameters as JSON, and pictures.
    """
    from rich.console import Console

    from em_toolkit.cli.fitting import fit_table

    fit_table(
        file,
        model=model.value,
        n_components=components,
        out=_folder_for(file, out),
        columns=columns,
        settings={
            "covariance_type": covariance_type and covariance_type.value,
            "solver": solver and solver.value,
            "random_state": seed,
            "init_params": init_params and init_params.value,
            "n_init": n_init,
            "tol": tol,
            "stopping": stopping and stopping.value,
            "max_iter": max_iter,
            "reg_covar": reg_covar,
            "acceleration": acceleration and acceleration.value,
        },
        console=Console(),
    )


@app.command()
def select(
    file: File,
    most_components: Annotated[
        int | None,
        typer.Option(
            "--most-components", "-k", min=1, help="One to so many are tried; 9 by default."
        ),
    ] = None,
    criterion: Annotated[
        Criterion, typer.Option(help="What mixtures are compared by; icl is for clusters.")
    ] = Criterion.BIC,
    out: Out = None,
    columns: Columns = None,
    seed: Seed = 0,
    n_jobs: Annotated[int | None, typer.Option(help="Processes; -1 for all cores.")] = None,
) -> None:
    """Find how many components your table has, and of which shape.

    Fits Gaussian mixtures with each of mclust's covariance structures, compares them, and writes
    of the best one what fit writes.
    """
    from rich.console import Console

    from em_toolkit.cli.selecting import select_for_table

    select_for_table(
        file,
        most_components=most_components,
        criterion=criterion.value,
        out=_folder_for(file, out),
        columns=columns,
        seed=seed,
        n_jobs=n_jobs,
        console=Console(),
    )


@app.command()
def compare(
    file: File,
    components: Components = 2,
    columns: Columns = None,
    seed: Seed = 0,
    n_init: Starts = None,
    tol: Tol = None,
    max_iter: MaxIter = None,
    reg_covar: RegCovar = None,
) -> None:
    """Compare with scikit-learn's Gaussian mixture on your own table."""
    from rich.console import Console

    from em_toolkit.cli.comparison import compare_table

    compare_table(
        file,
        columns=columns,
        settings={
            "n_components": components,
            "random_state": seed,
            "n_init": n_init,
            "tol": tol,
            "max_iter": max_iter,
            "reg_covar": reg_covar,
        },
        console=Console(),
    )


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit code.

    Parameters
    ----------
    arguments : sequence of str
        What follows the program's name.

    Returns
    -------
    code : int
        0 if all went well; 2, with one line on stderr, for what cannot be used; 130 after Ctrl-C.
    """
    from em_toolkit.cli.reading import InputError

    try:
        code = app(list(arguments), prog_name="em-toolkit", standalone_mode=False)
    except InputError as error:
        return _fail(str(error), 2)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "em-toolkit"
        return _fail(f"{error.format_message()} ({command} --help lists what there is)", 2)
    except em_toolkit.ELBODecreaseError as error:
        return _fail(f"a bug in em_toolkit, please report it: {error}", 1)
    except (typer.Abort, KeyboardInterrupt):
        code = _STOPPED
    # Newer versions of typer return this code, older ones abort.
    if code == _STOPPED:
        return _fail("stopped; nothing was written", _STOPPED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"em-toolkit: {' '.join(message.split())}", file=sys.stderr)
    return code
