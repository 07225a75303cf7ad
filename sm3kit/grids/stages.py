"""One stage of a plan, carried out: a training into its run folder, or an evaluation."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any, TextIO, cast

from sm3kit.core.errors import Interrupted
from sm3kit.core.files import cache_root
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import open_subject
from sm3kit.grids.folder import MAKE_ANEW, Folder
from sm3kit.grids.plan import Stage
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.run import Run
from sm3kit.training.pretrain import pretrain


class LogFile:
    """Takes the lines of a reporter, as a console that is no terminal."""

    is_terminal = False

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def print(self, text: str, **style: Any) -> None:
        """Writes a line; style is for terminals."""
        self.file.write(f"{text}\n")
        self.file.flush()


@dataclasses.dataclass(frozen=True)
class Caches:
    """Where decoded images and features are kept."""

    images: ImageCache
    features: FeatureCache

    @staticmethod
    def of_user(wanted: bool) -> Caches:
        """The user's caches, or some that keep nothing."""
        if not wanted:
            return Caches(ImageCache(None), FeatureCache(None))
        root = cache_root()
        return Caches(ImageCache(root / "images"), FeatureCache(root / "features"))


def carry_out(stage: Stage, folder: Folder, caches: Caches) -> float | None:
    """Does the work of a stage, or what is left of it.

    Returns:
        The mean AUC of an evaluation with labels, else None.

    Raises:
        SM3Error: choices or data that do not work.
        Interrupted: the user stopped it; it can go on.
    """
    log = folder.log(stage.key)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{stage.title}\n")
        reporter = Reporter(cast(Any, LogFile(file)))
        try:
            if stage.trains:
                _train(stage, folder, caches, reporter)
                return None
            return _evaluate(stage, folder, caches, reporter)
        except Interrupted:
            raise
        except Exception:
            traceback.print_exc(file=file)
            raise


def _train(stage: Stage, folder: Folder, caches: Caches, reporter: Reporter) -> None:
    run = Run(folder.run(stage.key))
    variant = Variant().changed(stage.settings, str(folder.plan_file))
    if run.last.is_file():
        # As it was called then: another machine may reach the folder by another path.
        variant = dataclasses.replace(variant, init=run.read_variant()[0].init)
    elif stage.parent:
        variant = dataclasses.replace(variant, init=str(folder.run(stage.parent)))
    pretrain(variant, run.folder, reporter, caches.images, True, caches.features)


def _evaluate(stage: Stage, folder: Folder, caches: Caches, reporter: Reporter) -> float | None:
    file = folder.result(stage.key)
    if file.is_file():
        # Written last, by a process that was killed before it could say so.
        record = read_record(file, MAKE_ANEW)
    else:
        run = folder.run(stage.parent)
        subject = open_subject(run, (), caches.images, caches.features, reporter)
        given = {name: value for name, value in stage.settings.items() if name != "protocol"}
        start = Settings(protocol=stage.kind)  # type: ignore[arg-type]
        settings = start.changed(given, str(folder.plan_file))
        record = evaluate(subject, settings, file)
    return float(record["mean"]["auc"]) if "mean" in record else None
