"""Several processes work together: they are started, meet, and end all if one of them fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from pytorch_lightning.accelerators import CPUAccelerator, CUDAAccelerator
from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
    LightningEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch import distributed

from sm3kit.core.errors import Interrupted, SM3Error
from sm3kit.nn.processes import process_count, wait_for_all
from sm3kit.training.fitting import quiet_lightning
from sm3kit.training.processes.work import Work, given_work, tell_work
from sm3kit.training.processes.world import World

# Seconds that a process leaves to the first one to say what went wrong, and that the first one leaves
# to the others where all that it knows is that they are gone.
GRACE, PATIENCE = 3.0, 10.0
# The first one may work alone for long, as when it clusters; a process that fails ends all before.
TIMEOUT = timedelta(hours=6)


@contextmanager
def together(world: World, work: Work) -> Iterator[None]:
    """All processes of a world at the same work, which exchange values meanwhile.

    Where no launcher started the others of this machine, they are started, and run the command or the
    script from its top. If one of them fails, all end with exit code 1, and one says why. Within
    another such context, and in a world of one process, nothing happens.

    Args:
        world: the processes.
        work: what they do, for those that are started.
    """
    if world.size == 1 or process_count() > 1:
        yield
        return
    started = given_work() is not None
    with tell_work(work):
        launcher = _SubprocessScriptLauncher(world.environment, world.devices, world.num_nodes)
        if not world.environment.creates_processes_externally:
            launcher._call_children_scripts()
        others = launcher.procs
        watch = Watch(others, started)
        try:
            with quiet_lightning():
                launcher.launch(_strategy(world).setup_environment)  # They have been started.
            yield
            wait_for_all()
        except BaseException as error:
            if others or world.is_first:
                watch.end(error)
            else:
                # Whoever started this one ends it, if it has met the same mistake.
                time.sleep(GRACE if isinstance(error, SM3Error | Interrupted) else 2 * PATIENCE)
            raise
        finally:
            watch.stop()
            if isinstance(world.environment, LightningEnvironment) and distributed.is_initialized():
                # The others end with this work, and the next one starts its own.
                distributed.destroy_process_group()


def _strategy(world: World) -> DDPStrategy:
    """What lets the processes meet, each of them with a device of its own from then on."""
    on_gpu = torch.cuda.is_available()
    places = range(world.devices)
    strategy = DDPStrategy(
        CUDAAccelerator() if on_gpu else CPUAccelerator(),
        [torch.device("cuda", place) if on_gpu else torch.device("cpu") for place in places],
        world.environment,
        timeout=TIMEOUT,
    )
    strategy.num_nodes = world.num_nodes
    return strategy


class Watch:
    """Looks after the processes that this one has started, or after the one that started it.

    It ends this one if they fail: a GPU that waits for another process cannot be interrupted, so that
    nothing else would.

    Args:
        others: the processes.
        started: whether this one was started by another.
    """

    def __init__(self, others: Sequence[subprocess.Popen[bytes]], started: bool) -> None:
        self.others, self.parent = others, os.getppid()
        self.over = threading.Event()
        if others or started:
            threading.Thread(target=self._look, name="sm3kit-watch", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether one of them has ended, with or without an error."""
        return any(process.poll() is not None for process in self.others)

    @property
    def silent(self) -> str:
        """What there is to say where one has ended without an error, and none with one."""
        codes = [process.poll() for process in self.others]
        if any(codes) or 0 not in codes:
            return ""
        return (
            f"Process {codes.index(0) + 1} has ended before the work was done, without an error. Each "
            "process runs the script from its top: let all of them reach this call."
        )

    def stop(self) -> None:
        """Looks no more."""
        self.over.set()

    def end(self, error: BaseException) -> None:
        """Ends the others, after an error in this process.

        Raises:
            SystemExit: it is because of another process, which has said what happened.
            SM3Error: it is because of another process, which has ended without a word.
        """
        self.stop()
        own = isinstance(error, SM3Error | Interrupted | KeyboardInterrupt | SystemExit)
        patience = time.monotonic() + (0 if own else PATIENCE)
        while self.others and not self.ended and time.monotonic() < patience:
            time.sleep(0.1)
        ended, silent = self.ended and not own, self.silent
        for process in self.others:
            process.kill()
            process.wait()
        if ended and silent:
            raise SM3Error(silent) from error
        if ended:
            raise SystemExit(1) from error

    def _look(self) -> None:
        while not self.over.wait(0.5):
            gone = not self.others and os.getppid() != self.parent
            if gone or (self.ended and not self.over.wait(PATIENCE)):
                if silent := self.silent:
                    sys.stderr.write(f"Error: {silent}\n")
                for process in self.others:
                    process.kill()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(1)
