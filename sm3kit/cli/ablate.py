"""`sm3kit ablate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from sm3kit.cli import completion
from sm3kit.cli.option_types import Number
from sm3kit.cli.settings import (
    console,
    data_option,
    no_cache_option,
    output_options,
    plugin_file_option,
    say,
)
from sm3kit.cli.streams import print_json
from sm3kit.core import ranges
from sm3kit.grids.executors import EXECUTORS

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.grids.standing import GridRun

FOLDER = click.Path(path_type=Path, file_okay=False)


def _numbers(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """The numbers of a text with commas between them."""
    parts = [part.strip() for part in value.split(",")] if value else []
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"wants numbers such as 0,1,2, not {value!r}.")
    return tuple(int(part) for part in parts)


@click.group(invoke_without_command=True)
@click.option(
    "--grid",
    is_flag=False,
    flag_value="quick",
    default="",
    metavar="[NAME|FILE]",
    shell_complete=completion.grids,
    help="quick (also without a name), table1, table5, table6, fig5-mmssl, fig5-mlssl, or your own "
    "YAML file. Left out, the grid in --out.",
)
@data_option
@click.option(
    "--seeds",
    callback=_numbers,
    default="",
    metavar="0,1,2",
    help="Instead of the grid's; added to those of a grid that was begun.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME",
    help="probe, finetune, knn or match, instead of the grid's; may be repeated.",
)
@click.option("--row", "rows", multiple=True, metavar="NAME", help="Only this; may be repeated.")
@click.option(
    "--jobs",
    type=Number(Annotated[int, ranges.Range(1, 1024)]),
    default=1,
    show_default=True,
    help="How many at a time.",
)
@click.option(
    "--executor",
    type=click.Choice(list(EXECUTORS)),
    default="local",
    show_default=True,
    help="Processes on this machine, tasks of a Ray cluster, or a script for SLURM.",
)
@click.option(
    "--submit-script",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the script for SLURM is written.",
)
@click.option("--out", type=FOLDER, help="The folder; runs/ablation-GRID by default.")
@plugin_file_option
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before.")
@output_options
@no_cache_option
@click.option("--worker", is_flag=True, hidden=True)
@click.option("--parent", type=int, hidden=True)
@click.pass_context
def ablate(ctx: click.Context, /, **options: Any) -> None:
    """Run a grid of variants and make its tables.

    Work that rows share is done once, and finished work is never repeated: the same command goes
    on with a grid that was stopped, and several machines may work on one folder.

    \b
      sm3kit ablate --grid
      sm3kit ablate --grid table5 --data derm7pt:release_v0 --jobs 2
      sm3kit ablate --grid mine.yaml --seeds 0,1,2 --dry-run
      sm3kit ablate show runs/ablation-quick
    """
    if ctx.invoked_subcommand:
        return
    if options["worker"]:
        _work(options)
    else:
        _run(options)


def _work(options: dict[str, Any]) -> None:
    """A worker: no plan is made, and nothing is shown."""
    from sm3kit.grids.executors.local import stop_without
    from sm3kit.grids.folder import Folder
    from sm3kit.grids.runner import carry_on
    from sm3kit.grids.standing import GridRun

    if options["out"] is None:
        raise click.UsageError("--worker wants --out with the folder of a grid.")
    if options["parent"]:
        stop_without(options["parent"])
    folder = Folder(options["out"])
    carry_on(GridRun(folder, folder.plan(), options["rows"], not options["no_cache"]))


def _run(options: dict[str, Any]) -> None:
    """The plan is made and shown, then carried out, or handed over."""
    from sm3kit.cli.grid_progress import plan_lines
    from sm3kit.grids.runner import begin

    if (options["executor"] == "slurm") != bool(options["submit_script"]):
        raise click.UsageError("--executor slurm and --submit-script FILE go together.")
    out, dry, as_json = console(stderr=options["as_json"]), options["dry_run"], options["as_json"]
    settings = {name: options[name] for name in ("data", "out", "seeds", "protocols", "rows")}
    run = begin(options["grid"], **settings, cache=not options["no_cache"], write=not dry)
    if options["retry_failed"] and not dry:
        run.forget_failures()
    if dry or not options["quiet"]:
        for line in plan_lines(run, options["jobs"], verbose=dry):
            say(out, line)
    if dry:
        left = [{"key": task.key, "stage": task.title} for task in run.standing().left]
        _print_json(run, {"left": left}, as_json)
    elif options["executor"] == "slurm":
        _submit(run, options["jobs"], options["submit_script"], out, as_json)
    else:
        _carry_on(run, options, out)


def _submit(run: GridRun, jobs: int, script: Path, out: Console, as_json: bool) -> None:
    """Writes the script, and says what to do with it."""
    from sm3kit.grids.executors import slurm

    slurm.execute(dataclasses.replace(run, script=script), jobs, lambda: None)
    look = f"an array of {jobs} tasks. Look through its resources, then: sbatch {script}"
    say(out, f"written  {script}, {look}")
    say(out, f"table    as it grows: sm3kit ablate show {run.folder.path}")
    _print_json(run, {"script": str(script)}, as_json)


def _carry_on(run: GridRun, options: dict[str, Any], out: Console) -> None:
    """Does what is left, and shows how it grows and what came out.

    Raises:
        Exit: something failed.
    """
    from sm3kit.cli.grid_progress import display
    from sm3kit.cli.tables import show_table
    from sm3kit.grids.runner import carry_on, write_tables
    from sm3kit.grids.standing import collect

    with display(run, options["jobs"], out, options["quiet"]) as look:
        carry_on(run, options["jobs"], options["executor"], look)
    table, files = write_tables(collect(run.folder.path))
    if not options["quiet"]:
        show_table(table, out)
    say(out, f"written  {', '.join(map(str, files))}")
    failures = run.standing().failures
    for replicate, reason in failures:
        say(out, f"failed   {replicate.row}, seed {replicate.seed}: {reason}", style="red")
    _print_json(run, _results(run, files), options["as_json"])
    if failures:
        say(out, "The rest is done. Try again with --retry-failed.")
        raise click.exceptions.Exit(1)


def _results(run: GridRun, files: Sequence[Path]) -> dict[str, Any]:
    """What came out, for --json."""
    standing = run.standing()
    return {
        "rows": [
            {"row": row.name, "seeds_done": row.seeds[0], "seeds": row.seeds[1], "auc": row.auc}
            for row in standing.rows()
        ],
        "failed": [
            {"row": replicate.row, "seed": replicate.seed, "reason": reason}
            for replicate, reason in standing.failures
        ],
        "files": [str(file) for file in files],
    }


def _print_json(run: GridRun, content: dict[str, Any], wanted: bool) -> None:
    """The document on stdout, if --json asks for one."""
    if wanted:
        print_json({"folder": str(run.folder.path), **content})


@ablate.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
def show(folder: Path) -> None:
    """Print the table of a grid, as far as it is done."""
    from sm3kit.cli.tables import show_table
    from sm3kit.grids.standing import collect
    from sm3kit.results.grid_table import tabulate

    show_table(tabulate(collect(folder)), console())


@ablate.command()
@click.argument("first", type=FOLDER, metavar="A")
@click.argument("second", type=FOLDER, metavar="B")
def diff(first: Path, second: Path) -> None:
    """Compare two grids row by row."""
    from sm3kit.cli.tables import show_differences
    from sm3kit.grids.standing import collect
    from sm3kit.results.differences import diff as differences

    show_differences(differences(collect(first), collect(second)), console())
