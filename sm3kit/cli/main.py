"""The `sm3kit` command: a table of commands, each imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from sm3kit import __version__
from sm3kit.cli.help.command import SETTINGS, Group, group
from sm3kit.cli.help.option import option
from sm3kit.cli.streams import check_stdout, end_streams, prepare_streams
from sm3kit.core.errors import Interrupted, SM3Error, TimeUp, of_system
from sm3kit.core.libraries import settle_numbers
from sm3kit.core.names import suggestion

# name -> (module:attribute, help line); the lines stand here so that --help imports nothing.
COMMANDS = {
    "pretrain": ("sm3kit.cli.pretrain:pretrain", "Pre-train on images without labels."),
    "evaluate": ("sm3kit.cli.evaluate:evaluate", "Evaluate the representations of a run."),
    "predict": ("sm3kit.cli.predict:predict", "Predict the labels of new studies."),
    "embed": ("sm3kit.cli.embed:embed", "Save the features of studies to a file."),
    "export": ("sm3kit.cli.export:export", "Export the networks of a run for other programs."),
    "ablate": ("sm3kit.cli.ablate:ablate", "Train and evaluate a grid of variants, as tables."),
    "report": ("sm3kit.cli.report:report", "Write an HTML report on a run or an ablation."),
    "data": ("sm3kit.cli.data:data", "Check or pack your data, or create synthetic data."),
    "plugins": ("sm3kit.cli.plugins:plugins", "List, show, create and check plugins."),
    "cache": ("sm3kit.cli.cache:cache", "Show or clear the caches of images, features and shards."),
    "doctor": ("sm3kit.cli.doctor:doctor", "Diagnose the installation and suggest fixes."),
    "completion": ("sm3kit.cli.completion:completion", "Print a completion script for a shell."),
}


LONGEST = 2000  # Characters of an answer; a value in it may be endless.
TIME_UP = 75  # EX_TEMPFAIL of sysexits.h: the same command with --resume goes on.
COMPLETE = "_SM3KIT_COMPLETE"  # Click makes this name from that of the program.


class LazyGroup(Group):
    """A group that knows its commands by name and imports them on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command behind a name, imported now."""
        if cmd_name not in COMMANDS and ctx.resilient_parsing:
            return None  # A shell asks what it could complete.
        if cmd_name not in COMMANDS:
            near = suggestion(cmd_name, COMMANDS)
            ctx.fail(f"No command named {cmd_name!r}. {near}Known: {', '.join(COMMANDS)}.")
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command table of --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; a user's mistake becomes one line and exit code 1."""
        try:
            settle_numbers()
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Interrupted as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(TIME_UP if isinstance(error, TimeUp) else 1) from error
        except Exception as error:
            if isinstance(error, OSError):
                check_stdout()  # Another answer, if it is this that cannot be written.
            if ctx.params.get("debug"):
                raise
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    said = str(error) if isinstance(error, SM3Error) else of_system(error)
    if said:
        return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return (
        f"Unexpected error in sm3kit or in a plugin: {type(error).__name__}: {reason}. "
        "Run `sm3kit --debug …` for the traceback."
    )


@group(LazyGroup, context_settings=SETTINGS)
@option("--debug", is_flag=True, help="Show the full traceback of an error.")
@click.version_option(__version__, prog_name="sm3kit", help="Show the version and exit.")
def cli(debug: bool) -> None:
    """Self-supervised learning on paired medical images.

    `sm3kit COMMAND --help` explains a command and its options.

    Examples:
      sm3kit pretrain                               # on built-in synthetic data
      sm3kit pretrain --data manifest:my.csv        # on your own images
      sm3kit evaluate runs/NAME                     # how good the representations are
      sm3kit report runs/NAME                       # tables and figures on one page
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of the console script."""
    if COMPLETE in os.environ:  # A shell asks, and click answers it.
        from sm3kit.cli.completion import install

        install()
    prepare_streams()
    code = 1
    try:
        cli.main(args=arguments, prog_name="sm3kit")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError:  # Of stdout or stderr; those of files were answered.
        pass
    sys.exit(end_streams(code))
