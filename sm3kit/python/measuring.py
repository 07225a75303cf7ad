"""From the words of a user to what an evaluation measures, in one process or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm3kit.core.stage_settings import MachineSettings
from sm3kit.evaluation.comparison import Task, compare_runs
from sm3kit.evaluation.evaluate import Record
from sm3kit.evaluation.evaluate import evaluate as run_evaluation
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.result_files import result_file
from sm3kit.evaluation.settings import Protocol, settings_of
from sm3kit.evaluation.subject import Subject
from sm3kit.python.calls import RunLike, folder_of
from sm3kit.python.surroundings import Surroundings
from sm3kit.training.hardware import check_devices
from sm3kit.training.processes.work import Work, given_work

if TYPE_CHECKING:
    from sm3kit.training.processes.world import World  # It loads Lightning.

OWN = "evaluate"  # The owner of options that are settings of the evaluation.


def open_studies(
    run: RunLike,
    around: Surroundings,
    data: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    world: World | None = None,
) -> Subject:
    """The networks of a run on its studies, or on those of other data; see `open_subject`.

    Raises:
        SM3Error: no such run, or data that cannot be opened.
    """
    folder, images, features = folder_of(run), around.images, around.features
    return open_subject(folder, data, images, features, around.reporter, rename, options, world)


def join(devices: int, num_nodes: int) -> World | None:
    """The processes that evaluate together, and which of them this is; None is this one alone.

    Raises:
        SM3Error: there are no such processes, or fewer GPUs.
    """
    machine = MachineSettings(devices=devices, num_nodes=num_nodes)
    if machine.devices * machine.num_nodes == 1:
        return None
    from sm3kit.training.processes.world import join_world  # It loads Lightning.

    check_devices(devices)
    return join_world(devices, num_nodes)


def measure(tasks: Sequence[Task], label: str) -> Record:
    """Evaluates a run, or compares two; empty in all processes but the first.

    A process that was started for other work finds what its script asks for before that on disk.
    """
    work, names = given_work(), [str(result_file(*task, label)) for task in tasks]
    first = tasks[0][0]
    asked_for = Work(first.run.folder, " and ".join(names))
    if work is not None and (first.world is None or work != asked_for):
        if len(tasks) == 1:
            return read_record(Path(names[0]))
        tasks = [(dataclasses.replace(own, world=None), settings) for own, settings in tasks]
    if len(tasks) == 2:
        return compare_runs(tasks[0], tasks[1], label=label)
    return run_evaluation(*tasks[0], label=label)


def prepare(
    run: RunLike,
    around: Surroundings,
    protocol: Protocol | None,
    asked: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
    data: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    source: str = "command line",
    world: World | None = None,
) -> Task:
    """A run, opened for an evaluation, and the settings of it.

    Args:
        run: the run, or its folder.
        around: reporter and caches.
        protocol: None takes the run's own.
        asked: settings of the evaluation; None asks for nothing.
        options: {owner: {option: value}} of data sets and modalities; of "evaluate", more settings.
        data: other data than the run's.
        rename: {modality of the run: what the data call it}.
        source: where the settings come from, for messages.
        world: the processes that evaluate together; see `join`.

    Raises:
        SM3Error: no such run, settings that do not work, or data that cannot be opened.
    """
    settings = {name: value for name, value in asked.items() if value not in (None, ())}
    settings |= options.get(OWN, {})
    of_data = {owner: values for owner, values in options.items() if owner != OWN}
    subject = open_studies(run, around, data, rename, of_data, world)
    relation = subject.embedding is not None
    variant = subject.trained.variant
    return subject, settings_of(
        variant,
        protocol,
        settings,
        relation=relation,
        source=source,
        options=subject.variant.options,
    )
