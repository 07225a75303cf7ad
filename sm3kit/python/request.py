"""A pre-training from the words of a user: settings are resolved, checked, and carried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.variant import PER_MODALITY, Variant, table_of
from sm3kit.evaluation.choices import check_evaluation
from sm3kit.python.surroundings import Surroundings
from sm3kit.results.pretraining_table import TITLE, rank_lines
from sm3kit.runs import recipes
from sm3kit.runs.epoch_rows import Rows
from sm3kit.runs.folder import RunFolder, free_folder
from sm3kit.runs.recipes import Layer
from sm3kit.runs.resumption import variant_to_resume
from sm3kit.runs.verdict import Verdict, judge
from sm3kit.training import pretrain as training
from sm3kit.training.hardware import base_for_own_data
from sm3kit.training.outline import Outline
from sm3kit.training.pretrain import Outcome
from sm3kit.training.processes.work import Work, given_work
from sm3kit.training.processes.world import join_world


@dataclass(frozen=True)
class Request:
    """A pre-training that was asked for, with all of its settings.

    Attributes:
        variant: what to train.
        folder: the run folder.
        why: where the settings come from, in a clause.
        resume: whether the run in the folder is continued.
        speaks: whether this process, of several, reports to the user.
        elsewhere: whether this process was started for other work, and the run is there already.
    """

    variant: Variant
    folder: Path
    why: str
    resume: bool
    speaks: bool
    elsewhere: bool


def layer(
    words: Mapping[str, Any], options: Iterable[tuple[str, Any]] = (), source: str = "command line"
) -> Layer:
    """The settings that a user asks for.

    Args:
        words: {option of `sm3kit pretrain`: value}, with underscores; None and () ask for nothing.
            One that may differ between modalities takes {modality: value} as well; "" is all.
        options: (address, value) of other settings.
        source: where they come from, for messages.
    """
    settings: list[tuple[str, Any]] = []
    table: dict[str, dict[str, Any]] = {}
    for name, value in words.items():
        if value is None or value == ():
            continue  # 0 is a value.
        if name in PER_MODALITY and isinstance(value, Mapping):
            settings += [(name, value[""])] if "" in value else []
            for modality in filter(None, value):
                table.setdefault(modality, {})[name] = value[modality]
        else:
            settings.append((recipes.FLAGS.get(name, name), value))
    settings += [("per_modality", table)] if table else []
    return Layer(table_of([*settings, *options]), source)


def request(asked: Layer, out: Path | None = None, *, resume: bool = False) -> Request:
    """What a user asks for, checked as far as it can be without looking at the data.

    Args:
        asked: the settings.
        out: the run folder; None takes a new one under runs/.
        resume: continue the run in it.

    Raises:
        SM3Error: unknown or contradictory settings, or no run to resume.
    """
    variant, why = recipes.resolve(asked, own_data=base_for_own_data())
    if resume:
        out = _run_to_resume(out)
        variant = variant_to_resume(RunFolder(out), asked, variant)
        why = f"the run in {out}"
    world = join_world(variant.machine.devices, variant.machine.num_nodes)
    work = given_work()
    folder = out or (work.folder if work else free_folder(variant))
    check_evaluation(variant)
    elsewhere = work is not None and (world.size == 1 or work != Work(folder))
    return Request(variant, folder, why, resume, world.is_first, elsewhere)


def carry_out(request: Request, surroundings: Surroundings) -> Outcome:
    """Trains what was asked for, and says how it goes.

    Raises:
        SM3Error: choices or data that do not work, before anything is trained or overwritten.
        Interrupted: the user stopped it; the run can be resumed.
    """
    images, features, reporter = surroundings.images, surroundings.features, surroundings.reporter
    outcome = training.pretrain(
        request.variant,
        request.folder,
        reporter,
        images,
        request.resume,
        features,
        request.why,
        _draw_training,
    )
    for number, line in enumerate(rank_lines(outcome.ranks)):
        if number == 0:
            reporter.say(f"matched  {TITLE}")
        reporter.say(line)
    if request.speaks:
        for line in verdict_of(outcome.run).lines():
            reporter.say(line)
    return outcome


def verdict_of(run: RunFolder) -> Verdict:
    """The verdict in words on stage 1 of a run."""
    return judge(run.history(), run.record().variant, str(run.folder))


def _draw_training(rows: Rows, folder: Path) -> list[Path]:
    from sm3kit.report.history import draw_training  # It loads matplotlib.

    return draw_training(rows, folder)


def outline_of(request: Request, surroundings: Surroundings) -> Outline:
    """What `carry_out` would do; nothing is written, and no weights are fetched.

    Raises:
        SM3Error: choices or data that do not work.
    """
    images, features, reporter = surroundings.images, surroundings.features, surroundings.reporter
    return training.outline(
        request.variant, request.folder, reporter, images, request.resume, features, request.why
    )


def document(outcome: Outcome) -> dict[str, Any]:
    """The run folder, its files, the ranks and the verdict, for programs."""
    folder = outcome.run.folder
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    matched = [
        {"split": split, "space": space, "direction": direction, "mean_rank": rank, "of": pairs}
        for split, spaces in outcome.ranks.items()
        for space, ranks in spaces.items()
        for direction, (rank, pairs) in ranks.items()
    ]
    verdict = asdict(verdict_of(outcome.run))
    return {"run": str(folder), "files": sorted(names), "matched": matched, "verdict": verdict}


def _run_to_resume(out: Path | None) -> Path:
    if out is None:
        raise VariantError("--resume needs to know which run: add --out RUN.")
    if not (out / "variant.yaml").is_file():
        raise VariantError(
            f"--out {out} holds no run to resume: there is no variant.yaml in it. "
            "Check the folder, or leave --resume out to start over."
        )
    return out
