"""Which of the classifiers of a run is meant."""

from __future__ import annotations

from pathlib import Path

from sm3kit.core.errors import CheckpointError, VariantError
from sm3kit.core.names import unknown
from sm3kit.evaluation.classifier_file import ClassifierFile, read_classifier
from sm3kit.runs.model import TrainedModel

SPLITS = ("test", "val", "train")  # In the order in which a classifier of theirs is taken.


def find_classifier(
    trained: TrainedModel, protocol: str | None = None, select: str | None = None, name: str = ""
) -> ClassifierFile:
    """The classifier that `sm3kit evaluate` left in a run.

    Of several: the run's own protocol before the other, one that is neither leaky nor measured on
    what pre-training saw before one that is, the run's own data before others, one without a label
    before those with one, one that was measured on all images before one that was not, the split
    test before val before train, the seed of the run before another, then by name.

    Args:
        protocol: "probe" or "finetune"; None takes either.
        select: how its epoch was chosen; None takes any.
        name: of its file in RUN/eval, without the ending, or the label of its evaluation.

    Raises:
        CheckpointError: there is none, or it was trained on networks that the run no longer has.
        VariantError: there is none of this name.
    """
    files = sorted((trained.folder / "eval").glob("*.safetensors"))
    names = {file.stem: file for file in files}
    if name in names:
        candidates = [read_classifier(names[name])]
    else:
        known, damage = _read_all(files)
        labels = dict.fromkeys(file.label for file in known if file.label)
        if name and name not in labels:
            raise VariantError(f"--classifier: {unknown('classifier', name, [*names, *labels])}")
        candidates = [
            file
            for file in known
            if protocol in (None, file.protocol)
            and select in (None, file.select)
            and name in ("", file.label)
        ]
        if damage and not known:
            raise damage
    if not candidates:
        raise CheckpointError(_nothing_there(trained, files, protocol, select))
    chosen = min(candidates, key=lambda file: _order(file, trained))
    if chosen.model != trained.file_hash:
        raise CheckpointError(
            f"The classifier {chosen.path} was trained on other networks than {trained.folder} "
            f"has now. Train it again: {_command(trained.folder, chosen.protocol, chosen.select)}"
        )
    return chosen


def _read_all(files: list[Path]) -> tuple[list[ClassifierFile], CheckpointError | None]:
    """The classifiers that can be used, and why the first of the others cannot."""
    known: list[ClassifierFile] = []
    damage = None
    for file in files:
        try:
            known.append(read_classifier(file))
        except CheckpointError as error:
            damage = damage or error
    return known, damage


def _order(file: ClassifierFile, trained: TrainedModel) -> tuple[object, ...]:
    return (
        file.protocol != trained.variant.protocol,
        file.leaky or file.seen,
        file.transfer,
        bool(file.label),
        file.dropped,
        SPLITS.index(file.split),
        file.seed != trained.variant.seed,
        len(file.path.stem),
        file.path.stem,
    )


def _nothing_there(
    trained: TrainedModel, files: list[Path], protocol: str | None, select: str | None
) -> str:
    asked = [f"--protocol {protocol}"] if protocol else []
    asked += [f"--select {select}"] if select else []
    what = f" with {' '.join(asked)}" if asked and files else ""
    there = f" (there are {', '.join(file.stem for file in files)})" if files else ""
    return (
        f"{trained.folder} has no classifier{what} yet{there}. Train one: "
        f"{_command(trained.folder, protocol, select)}"
    )


def _command(folder: Path, protocol: str | None, select: str | None) -> str:
    chosen = f" --select {select}" if select not in (None, "val_best") else ""
    return f"sm3kit evaluate {folder} --protocol {protocol or 'probe'}{chosen}"
