"""How many processes work on a run, and which of them this is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
    ClusterEnvironment,
    LightningEnvironment,
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from sm3kit.core.errors import VariantError
from sm3kit.core.libraries import number
from sm3kit.training.processes.work import ADDRESS


@dataclass(frozen=True)
class World:
    """The processes that train or evaluate one run together.

    Attributes:
        rank: number of this one, from 0.
        environment: what tells Lightning ranks and addresses.
        devices, num_nodes: how many there are on each machine, and machines.
    """

    rank: int
    environment: ClusterEnvironment
    devices: int = 1
    num_nodes: int = 1

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.devices * self.num_nodes

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0


def join_world(devices: int, num_nodes: int) -> World:
    """The place of this process among those that devices and machines make.

    One device on one machine is a world of its own, whatever launchers left in the environment.
    For more, a launcher that lives numbers the processes; where none does, Lightning starts them.

    Raises:
        VariantError: the environment tells of another world.
    """
    if devices * num_nodes == 1:
        return alone()
    return _launcher_world(devices, num_nodes) or _world_by_hand(devices, num_nodes)


def alone() -> World:
    """The world of this process alone."""
    environment = LightningEnvironment()
    environment.set_global_rank(0)  # Lightning took it from the environment when it was imported.
    return World(0, environment)


def _launcher_world(devices: int, num_nodes: int) -> World | None:
    """The world of a launcher that lives: of each one, what only its own processes are told."""
    kind: type[ClusterEnvironment]
    if "TORCHELASTIC_RUN_ID" in os.environ:
        kind, size = TorchElasticEnvironment, "WORLD_SIZE"
    elif "SLURM_STEP_ID" in os.environ and not _one_shell():
        kind, size = SLURMEnvironment, "SLURM_NTASKS"
    elif LSFEnvironment.detect():
        kind, size = LSFEnvironment, "JSM_NAMESPACE_SIZE"
    elif MPIEnvironment.detect():
        kind, size = MPIEnvironment, "OMPI_COMM_WORLD_SIZE"
    else:
        return None
    _check_size(size, devices, num_nodes)
    try:
        environment = kind()
        environment.validate_settings(devices, num_nodes)
        return World(environment.global_rank(), environment, devices, num_nodes)
    except (KeyError, RuntimeError, ValueError) as error:
        missing = f"{error.args[0]} is not set" if isinstance(error, KeyError) else ""
        raise VariantError(
            f"--devices {devices} and --num-nodes {num_nodes} do not fit what started this "
            f"process: {missing or ' '.join(str(error).split())}"
        ) from error


def _world_by_hand(devices: int, num_nodes: int) -> World:
    """The world of a process that no launcher numbers; Lightning starts the others beside it."""
    for name in ("WORLD_SIZE", "SLURM_NTASKS"):
        if name == "WORLD_SIZE" or not _one_shell():
            _check_size(name, devices, num_nodes)
    missing = [name for name in ("WORLD_SIZE", *ADDRESS) if name not in os.environ]
    if "LOCAL_RANK" in os.environ and missing:
        raise VariantError(
            f"LOCAL_RANK={os.environ['LOCAL_RANK']} is set, as a launcher would, but "
            f"{', '.join(missing)} is not. Without a launcher, run `unset LOCAL_RANK` first."
        )
    node = "NODE_RANK" if "NODE_RANK" in os.environ else "GROUP_RANK"
    for name, most, option in (
        (node, num_nodes, "--num-nodes"),
        ("LOCAL_RANK", devices, "--devices"),
    ):
        if not 0 <= number(name) < most:
            raise VariantError(
                f"{option} {most} needs {name} from 0 to {most - 1}, but {name}="
                f"{os.environ[name]} is set. Change one of them, or run `unset {name}` first."
            )
    local = number("LOCAL_RANK")
    rank = number(node) * devices + local
    return World(rank, LightningEnvironment(), devices, num_nodes)


def _check_size(name: str, devices: int, num_nodes: int) -> None:
    if number(name, devices * num_nodes) != devices * num_nodes:
        raise VariantError(
            f"--devices {devices} and --num-nodes {num_nodes} make {devices * num_nodes} "
            f"processes, but {name}={os.environ[name]} is set. Give as many as the launcher "
            f"starts, or, without a launcher, run `unset {name}` first."
        )


def _one_shell() -> bool:
    """Whether Slurm's only task is the shell that this was typed in, as Lightning tells it."""
    name = os.environ.get("SLURM_JOB_NAME")
    return name in ("bash", "interactive") and number("SLURM_NTASKS", 1) == 1
