"""`sm3kit ablate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from sm3kit.cli import completing
from sm3kit.cli.settings import (
    Number,
    console,
    data_option,
    no_cache_option,
    output_options,
    plugin_file_option,
    say,
)
from sm3kit.cli.streams import only_ascii
from sm3kit.core import ranges

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.grids.runner import Finished, Job

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
    shell_complete=completing.grids,
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
    type=click.Choice(["local", "ray", "slurm"]),
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
def ablate(ctx: click.Context, /, **given: Any) -> None:
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
    if given["worker"]:
        _work(given)
        return
    from sm3kit.grids.runner import begin

    if (given["executor"] == "slurm") != bool(given["submit_script"]):
        raise click.UsageError("--executor slurm and --submit-script FILE go together.")
    out = console(stderr=given["as_json"])
    settings = {name: given[name] for name in ("seeds", "protocols", "rows")}
    job = begin(
        given["grid"],
        given["data"],
        given["out"],
        cache=not given["no_cache"],
        write=not given["dry_run"],
        **settings,
    )
    _begun(job, given, out)


def _begun(job: Job, given: dict[str, Any], out: Console) -> None:
    """What is left once the plan stands."""
    from sm3kit.cli.grid_progress import said_plan, shown
    from sm3kit.grids.runner import carry_on, finish
    from sm3kit.grids.worker import forget_failures

    if given["retry_failed"] and not given["dry_run"]:
        forget_failures(job.folder, job.standing().stages)
    standing = job.standing()
    if given["dry_run"] or not given["quiet"]:
        for line in said_plan(job, standing, given["jobs"], verbose=given["dry_run"]):
            say(out, line)
    if given["dry_run"]:
        if given["as_json"]:
            left = [{"key": one.key, "stage": one.title} for one in standing.left]
            click.echo(json.dumps({"folder": str(job.folder.path), "left": left}, indent=2))
        return
    if given["executor"] == "slurm":
        _submit(job, given, out)
        return
    with shown(job, given["jobs"], out, given["quiet"]) as look:
        carry_on(job, given["jobs"], given["executor"], look)
    _finished(job, finish(job), given["as_json"], out, given["quiet"])


def _finished(job: Job, end: Finished, as_json: bool, out: Console, quiet: bool) -> None:
    """The table and the failures of a grid that came to its end."""
    from sm3kit.cli.grid_table import show_table

    standing = job.standing()
    if not quiet:
        show_table(end.table, out)
    files = [str(file) for file in end.files]
    say(out, f"written  {', '.join(files)}")
    failures = [(cell.row, cell.seed, reason) for cell, reason in standing.failures]
    for row, seed, reason in failures:
        text = f"failed   {row}, seed {seed}: {reason}"
        say(out, text, style="red")
    if as_json:
        rows = [
            {"row": one.name, "seeds_done": one.seeds[0], "seeds": one.seeds[1], "auc": one.auc}
            for one in standing.rows()
        ]
        failed = [{"row": row, "seed": seed, "reason": said} for row, seed, said in failures]
        document = {"folder": str(job.folder.path), "rows": rows, "failed": failed, "files": files}
        click.echo(json.dumps(document, indent=2, ensure_ascii=only_ascii()))
    if failures:
        say(out, "The rest is done. Try again with --retry-failed.")
        raise click.exceptions.Exit(1)


def _work(given: dict[str, Any]) -> None:
    """A worker: no plan is made, and nothing is shown."""
    from sm3kit.grids.folder import Folder
    from sm3kit.grids.stopping import stop_without, stoppable
    from sm3kit.grids.worker import work

    if given["out"] is None:
        raise click.UsageError("--worker wants --out with the folder of a grid.")
    if given["parent"]:
        stop_without(given["parent"])
    with stoppable():
        work(Folder(given["out"]), given["rows"], not given["no_cache"])


def _submit(job: Job, given: dict[str, Any], out: Console) -> None:
    from sm3kit.grids.executors.slurm import write_script

    file = given["submit_script"]
    write_script(file, job.folder, given["jobs"], job.words)
    text = (
        f"written  {file}, an array of {given['jobs']} tasks. Look through its resources, then: "
        f"sbatch {file}"
    )
    say(out, text)
    again = f"table    as it grows: sm3kit ablate show {job.folder.path}"
    say(out, again)
    if given["as_json"]:
        click.echo(json.dumps({"folder": str(job.folder.path), "script": str(file)}, indent=2))


@ablate.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
def show(folder: Path) -> None:
    """Print the table of a grid, as far as it is done."""
    from sm3kit.cli.grid_table import show_table
    from sm3kit.grids.collecting import collect
    from sm3kit.results.table import tabulate

    show_table(tabulate(collect(folder)), console())


@ablate.command()
@click.argument("first", type=FOLDER, metavar="A")
@click.argument("second", type=FOLDER, metavar="B")
def diff(first: Path, second: Path) -> None:
    """Compare two grids row by row."""
    from sm3kit.cli.grid_table import show_differences
    from sm3kit.grids.collecting import collect
    from sm3kit.results.differences import diff as differences

    show_differences(differences(collect(first), collect(second)), console())
