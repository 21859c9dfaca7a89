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
    Prior,
    Solver,
    Start,
    Stopping,
)
from em_toolkit.cli.exit_codes import EXIT_CODES, ExitCode
from em_toolkit.cli.files import stem
from em_toolkit.cli.options import ReadingOptions, with_reading_options

app = typer.Typer(
    add_completion=False,
    help="Fit latent variable models by expectation-maximization, and see what it did.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# typer's own class or click's, by the version of typer: there is no one place to import it from.
_UsageError: Any = typer.BadParameter.__bases__[0]
_AS_THE_TABLE_SUGGESTS = ReadingOptions()


def _is_there(path: Path) -> Path:
    """Refuse a file that is not there before NumPy and the like are imported."""
    from em_toolkit.cli.messages import InputError

    if str(path) != "-" and not path.exists():
        raise InputError(f"{path}: no such file")
    return path


File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        callback=_is_there,
        help="A table: .csv, .tsv, .txt, .parquet, .xlsx, also compressed; - for standard input.",
    ),
]
Components = Annotated[
    int, typer.Option("--components", "-k", min=1, help="How many components to look for.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder for the results; FILE_em by default."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random starts.")]
Starts = Annotated[int | None, typer.Option(help="How many starts to try; 1 by default.")]
Tol = Annotated[
    float | None, typer.Option(help="Stop when an iteration gains less, in nats a row.")
]
MaxIter = Annotated[int | None, typer.Option(help="The largest number of iterations.")]
Init = Annotated[Start | None, typer.Option(help="Where EM starts a mixture; kmeans by default.")]
Noise = Annotated[
    bool,
    typer.Option("--noise", help="Gaussian mixtures: rows may be noise, which has the label -1."),
]
PriorOption = Annotated[
    Prior | None,
    typer.Option(help="Gaussian mixtures: a prior that keeps components from collapsing."),
]
RegCovar = Annotated[
    float | None,
    typer.Option(
        help="The least variance in any direction, in squared units; by default a millionth of the "
        "smallest variance of a column."
    ),
]


def _folder_for(file: Path, out: Path | None) -> Path:
    return Path(f"{stem(file)}_em") if out is None else out


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


@app.command("fit", epilog=EXIT_CODES)
@with_reading_options
def _fit(
    file: File,
    model: Annotated[
        ModelName, typer.Option(help="The model to fit.")
    ] = ModelName.GAUSSIAN_MIXTURE,
    components: Components = 2,
    out: Out = None,
    reading: ReadingOptions = _AS_THE_TABLE_SUGGESTS,
    covariance_type: Annotated[
        CovarianceType | None,
        typer.Option(help="Gaussian mixtures: the form of the covariances; full by default."),
    ] = None,
    solver: Annotated[Solver | None, typer.Option(help="PPCA: closed_form by default.")] = None,
    seed: Seed = 0,
    init_params: Init = None,
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
    noise: Noise = False,
    prior: PriorOption = None,
) -> ExitCode:
    """Fit a model to your own table.

    Prints the components; writes the table with labels and responsibilities (or latent
    coordinates) beside each row, the parameters as JSON (which predict reads), and pictures.
    """
    from rich.console import Console

    from em_toolkit.cli.fitting import fit_table

    return fit_table(
        file,
        model=model.value,
        n_components=components,
        out=_folder_for(file, out),
        reading=reading,
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
            "noise": noise or None,
            "prior": prior and prior.value,
        },
        console=Console(),
    )


@app.command("select", epilog=EXIT_CODES)
@with_reading_options
def _select(
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
    reading: ReadingOptions = _AS_THE_TABLE_SUGGESTS,
    seed: Seed = 0,
    init_params: Annotated[
        Start | None, typer.Option(help="Where EM starts; hierarchical by default.")
    ] = None,
    n_init: Starts = None,
    tol: Tol = None,
    max_iter: MaxIter = None,
    noise: Noise = False,
    prior: PriorOption = None,
    n_jobs: Annotated[int | None, typer.Option(help="Processes; -1 for all cores.")] = None,
) -> ExitCode:
    """Find how many components your table has, and of which shape.

    Fits Gaussian mixtures with each of mclust's covariance structures, compares them, and writes
    of the best one what fit writes.
    """
    from rich.console import Console

    from em_toolkit.cli.selecting import select_for_table

    return select_for_table(
        file,
        most_components=most_components,
        criterion=criterion.value,
        out=_folder_for(file, out),
        reading=reading,
        settings={
            "random_state": seed,
            "init_params": init_params and init_params.value,
            "n_init": n_init,
            "tol": tol,
            "max_iter": max_iter,
            "noise": noise or None,
            "prior": prior and prior.value,
        },
        n_jobs=n_jobs,
        console=Console(),
    )


@app.command("predict")
@with_reading_options
def _predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.json",
            help="A ..._parameters.json that fit or select wrote, or what to_json did.",
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="NEW.csv", help="The table of new rows.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write, a .csv or .tsv; by default to stdout."),
    ] = None,
    reading: ReadingOptions = _AS_THE_TABLE_SUGGESTS,
) -> ExitCode:
    """Apply a model that was fitted before to new rows.

    Writes the table with, beside each row, its label and responsibilities (or latent
    coordinates), its log density, and for each column with missing cells one where they are
    filled in. The columns of the model are found by their names.
    """
    from em_toolkit.cli.predicting import predict_table

    return predict_table(model, file, out, reading)


@app.command("compare")
@with_reading_options
def _compare(
    file: File,
    components: Components = 2,
    reading: ReadingOptions = _AS_THE_TABLE_SUGGESTS,
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
        reading=reading,
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
        An `ExitCode`; with one line on stderr for what cannot be used.
    """
    from em_toolkit.cli.messages import InputError

    try:
        code = app(list(arguments), prog_name="em-toolkit", standalone_mode=False)
    except InputError as error:
        return _fail(str(error), ExitCode.BAD_INPUT)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        name = next((name for name in arguments[:1] if not name.startswith("-")), "")
        command = context.command_path if context else f"em-toolkit {name}".rstrip()
        return _fail(
            f"{error.format_message()} ({command} --help lists what there is)", ExitCode.BAD_INPUT
        )
    except em_toolkit.ELBODecreaseError as error:
        return _fail(f"a bug in em_toolkit, please report it: {error}", ExitCode.BUG)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("stopped; nothing was written", ExitCode.STOPPED)
    except SystemExit:
        # Whoever read what is printed has left (`| head`): rich ends a program so, and no one else.
        return ExitCode.NOT_READ
    if isinstance(code, ExitCode):
        return code
    # After Ctrl-C newer versions of typer return this code, and older ones abort.
    if code == ExitCode.STOPPED:
        return _fail("stopped; nothing was written", ExitCode.STOPPED)
    return code if isinstance(code, int) else ExitCode.DONE


def _fail(message: str, code: int) -> int:
    print(f"em-toolkit: {' '.join(message.split())}", file=sys.stderr)
    return code
