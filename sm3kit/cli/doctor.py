"""`sm3kit doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.settings import console, json_option, say
from sm3kit.cli.streams import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sm3kit.diagnosis.finding import Finding

STYLES = {"ok": None, "hint": "yellow", "broken": "red"}


@command()
@option("-q", "--quiet", is_flag=True, help="Print only hints and what is broken.")
@json_option
def doctor(quiet: bool, as_json: bool) -> None:
    """Diagnose the installation and suggest fixes.

    Checks the libraries and whether they are compatible, GPUs, plugins, folders and the machine.
    Takes a few seconds and changes nothing. The exit code is 1 if something is broken; hints do
    not count.
    """
    from sm3kit.diagnosis.doctor import diagnose

    people = console(stderr=as_json)
    with people.status("importing every library and plugin"):
        findings = diagnose()
    broken = [finding for finding in findings if finding.level == "broken"]
    if as_json:
        import dataclasses

        document = {
            "ok": not broken,
            "findings": [dataclasses.asdict(finding) for finding in findings],
        }
        print_json(document)
    else:
        _show([finding for finding in findings if finding.level != "ok" or not quiet], people)
        hints = sum(finding.level == "hint" for finding in findings)
        say(people, _sum(len(broken), hints))
    if broken:
        raise click.exceptions.Exit(1)


def _show(findings: Sequence[Finding], people: Console) -> None:
    """Findings by section; remedies on lines of their own, never folded, to be copied."""
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            say(people, section, style="bold")
        say(people, f"  {finding.level:6} {finding.name}: {finding.text}", STYLES[finding.level])
        if finding.remedy:
            people.print(
                f"{'':9}{finding.remedy}",
                style="bold",
                soft_wrap=True,
            )


def _sum(broken: int, hints: int) -> str:
    told = [f"{broken} broken"] if broken else []
    told += [f"{hints} hint{'s' if hints > 1 else ''}"] if hints else []
    return f"{', '.join(told)}." if told else "No problem found."
