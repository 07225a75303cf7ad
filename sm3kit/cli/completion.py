"""`sm3kit completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

LINES = {
    "bash": ('eval "$(sm3kit completion bash)"', "~/.bashrc"),
    "zsh": ('eval "$(sm3kit completion zsh)"', "~/.zshrc, behind compinit"),
    "fish": ("sm3kit completion fish | source", "~/.config/fish/config.fish"),
}


@click.command()
@click.argument("shell", type=click.Choice(list(LINES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete words.

    Commands, options, and names of plugins, recipes, grids, data sets and runs.

    \b
    For good, add a line to a file and open a new shell:
      ~/.bashrc                   eval "$(sm3kit completion bash)"
      ~/.zshrc, behind compinit   eval "$(sm3kit completion zsh)"
      ~/.config/fish/config.fish  sm3kit completion fish | source
    """
    from sm3kit.cli import completing

    completing.install()
    shell_class = get_completion_class(shell)
    assert shell_class is not None  # Click knows the shells that the table lists.
    line, file = LINES[shell]
    click.echo(f"# For good, add this line to {file}:\n#   {line}")
    click.echo(shell_class(ctx.find_root().command, {}, "sm3kit", "_SM3KIT_COMPLETE").source())
