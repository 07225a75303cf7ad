"""`sm3kit ablate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import cloup
from cloup import option_group

from sm3kit.cli import completion
from sm3kit.cli.help.command import group
from sm3kit.cli.help.option import option
from sm3kit.cli.option_types import Number, numbers
from sm3kit.cli.settings import (
    console,
    no_cache_option,
    other_data_option,
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


@group(invoke_without_command=True)
@option_group(
    "Basics",
    option(
        "--grid",
        is_flag=False,
        flag_value="quick",
        default="",
        metavar="[NAME|FILE]",
        shell_complete=completion.grids,
        default_text="the grid in --out; quick without a value",
        help="quick, table1 to table6, fig5-mmssl, fig5-mlssl, clusters, or a YAML file.",
    ),
    other_data_option("grid"),
    option(
        "--out",
        type=FOLDER,
        metavar="DIR",
        default_text="runs/ablation-GRID",
        help="Folder of the ablation.",
    ),
    option("--dry-run", is_flag=True, help="Show what would be run, without running it."),
)
@option_group(
    "Method",
    option(
        "--seeds",
        callback=numbers,
        default="",
        metavar="0,1,2",
        default_text="the seeds of the grid",
        help="Seeds of each row. An ablation that was started keeps its seeds and adds these.",
    ),
    option(
        "--protocol",
        "protocols",
        multiple=True,
        metavar="NAME",
        default_text="the protocols of the grid",
        help="Evaluate with probe, finetune, knn, match or clusters. May be repeated.",
    ),
    option("--row", "rows", multiple=True, metavar="NAME", default_text="all", help="Row to run."),
    option("--retry-failed", is_flag=True, help="Rerun what failed."),
    plugin_file_option,
)
@option_group(
    "Hardware",
    option(
        "--jobs",
        type=Number(Annotated[int, ranges.Range(1, 1024)]),
        default=1,
        help="Tasks to run at the same time.",
    ),
    option(
        "--executor",
        type=click.Choice(list(EXECUTORS)),
        default="local",
        help="Run processes on this machine, tasks on a Ray cluster, or write a script for SLURM.",
    ),
    option(
        "--submit-script",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        default_text="none; required for slurm",
        help="File for the SLURM script.",
    ),
)
@option_group("Output", no_cache_option, output_options)
@option("--worker", is_flag=True, hidden=True)
@option("--parent", type=int, hidden=True)
@click.pass_context
def ablate(ctx: click.Context, /, **options: Any) -> None:
    """Train and evaluate a grid of variants, as tables.

    Work that rows share is done once, and finished work is never repeated: run the same command
    again to resume an ablation that was stopped. Several machines can work on one folder.

    Examples:
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
        raise click.UsageError("--worker needs --out with the folder of a grid.")
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
    look = f"an array of {jobs} tasks. Check the resources it asks for, then run: sbatch {script}"
    say(out, f"written  {script}, {look}")
    say(out, f"table    so far: sm3kit ablate show {run.folder.path}")
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
        say(out, "Everything else is done. Run again with --retry-failed.")
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
@cloup.argument("folder", type=FOLDER, metavar="DIR", help="Folder of the ablation.")
def show(folder: Path) -> None:
    """Print the tables of an ablation, finished or not."""
    from sm3kit.cli.tables import show_table
    from sm3kit.grids.standing import collect
    from sm3kit.results.grid_table import tabulate

    show_table(tabulate(collect(folder)), console())


@ablate.command()
@cloup.argument("first", type=FOLDER, metavar="A", help="Folder of an ablation.")
@cloup.argument("second", type=FOLDER, metavar="B", help="Folder of the other one.")
def diff(first: Path, second: Path) -> None:
    """Compare two ablations row by row: how much B improves on A."""
    from sm3kit.cli.tables import show_differences
    from sm3kit.grids.standing import collect
    from sm3kit.results.differences import diff as differences

    show_differences(differences(collect(first), collect(second)), console())
