"""Commands and scripts in processes of their own, whose libraries are imported already.

Each process is forked from one that has imported them, so that only this one waits for that.
What is about starting Python itself uses `subprocess`.
"""

import importlib
import multiprocessing
import os
import runpy
import site
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
if sys.platform != "win32":
    CONTEXT.set_forkserver_preload(["sm3kit.python.request", "sm3kit.objectives.simclr"])


@dataclass
class WarmProcess:
    """A process at work, and the files that it writes its output to."""

    process: multiprocessing.Process
    folder: tempfile.TemporaryDirectory

    def wait(self, timeout=240):
        """Waits for its end; gives its exit code, and what it wrote to stdout and to stderr."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f"still at work after {timeout} seconds")
        said = [Path(self.folder.name, name).read_text("utf-8") for name in ("out", "err")]
        return self.process.exitcode, *said


def start(*words, script=None, cwd=None, environment=None, packages=None, terminal=None):
    """Starts `sm3kit WORDS...`, or a script with these words.

    Args:
        words: of the command line.
        script: path of a file.
        cwd: the folder in which it runs.
        environment: variables that are set beside those of this process.
        packages: a folder of installed distributions that it sees beside those of this process.
        terminal: the path of a terminal that it reads and writes instead of files.
    """
    folder = tempfile.TemporaryDirectory()
    variables = {**os.environ, **(environment or {})}
    place = str(cwd or Path.cwd())
    settings = ([str(word) for word in words], script and str(script), place, variables, packages)
    process = CONTEXT.Process(target=_work, args=(*settings, terminal or folder.name))
    process.start()
    return WarmProcess(process, folder)


def run(*words, timeout=240, **settings):
    """`start`, and waits: exit code, stdout and stderr."""
    return start(*words, **settings).wait(timeout)


def _work(words, script, place, variables, packages, shown):
    if Path(shown).is_dir():
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(Path(shown, name), os.O_WRONLY | os.O_CREAT), number)
    else:
        terminal = os.open(shown, os.O_RDWR | os.O_NOCTTY)
        for number in range(3):
            os.dup2(terminal, number)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(variables)
    # As where Python was started: how this one was does not pass to those that it starts.
    multiprocessing.set_start_method(None, force=True)
    if packages:
        site.addsitedir(str(packages))
        importlib.invalidate_caches()
    if script:
        sys.argv = [script, *words]
        sys.path.insert(0, str(Path(script).parent))
        runpy.run_path(script, run_name="__main__")
        return
    from sm3kit.cli.main import cli

    sys.argv = ["sm3kit", *words]
    cli()
