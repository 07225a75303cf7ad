"""Where the results of a run are written, and that no result replaces one with other settings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.names import quote
from sm3kit.datasets.base import SPLITS
from sm3kit.evaluation.command import evaluate_command
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.settings import PROTOCOLS, SCOPES, SELECTIONS, Settings
from sm3kit.evaluation.subject import Subject

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")
LONGEST_LABEL = 60
# What the name of a file says without a label, and how such names begin.
_BEGINNING = rf"({'|'.join(PROTOCOLS)})-({'|'.join(SPLITS)})(-.*)?"
TAKEN = re.compile(rf"{'|'.join((*SELECTIONS, *SCOPES))}|seed\d+|without-.*|{_BEGINNING}")
UNFIT = re.compile(r"[^A-Za-z0-9._+=-]+")


def result_file(subject: Subject, settings: Settings, label: str = "") -> Path:
    """The file of the result of an evaluation, `RUN/eval/<protocol>-<split>.json`.

    The name also says other data than the run's, the images that were dropped, the selection
    test_best, a scope or a seed that was chosen, and the label.
    """
    parts: list[str] = [settings.protocol, settings.split]
    if list(subject.variant.data) != list(subject.trained.variant.data):
        parts += [spec.partition(":")[0] for spec in subject.variant.data]
        # Two tables of one kind are told apart.
        parts.append(subject.pool.listing_hash()[:8])
    if settings.drop:
        parts.append(f"without-{_file_text(settings.drop)}")
    if settings.select == "test_best":
        parts.append("test_best")
    if settings.scope != "auto":
        parts.append(settings.scope)
    if settings.seed != subject.trained.variant.seed:
        parts.append(f"seed{settings.seed}")
    if label:
        parts.append(label)
    return subject.run.folder / "eval" / f"{'-'.join(parts)}.json"


def _file_text(words: Sequence[str]) -> str:
    """Words as a part of a file name: as they are, or with a hash where that is impossible."""
    text = "+".join(words)
    fit = UNFIT.sub("-", text)
    if fit == text.replace(":", "-") and len(fit) <= LONGEST_LABEL:
        return fit
    return f"{fit[:LONGEST_LABEL]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def predictions_file(result: Path) -> Path:
    """The file of the predictions beside a result."""
    return result.with_suffix(".predictions.npz")


def check_label(label: str) -> None:
    """Refuses the name of an evaluation that cannot be part of a file name, or is taken.

    Raises:
        VariantError: it is no such name.
    """
    fits = LABEL.fullmatch(label) and len(label) <= LONGEST_LABEL
    if label and not fits:
        raise VariantError(
            f"--label takes a name of up to {LONGEST_LABEL} letters, digits and . _ - + =, such as "
            f"lr-0.1, not {quote(label)}."
        )
    if TAKEN.fullmatch(label):
        raise VariantError(
            f"--label {label} is reserved for files made with this setting. Choose another name, "
            f"such as my-{label}."
        )


def check_place(
    subject: Subject,
    settings: Settings,
    label: str = "",
    command: Callable[[str], str] | None = None,
) -> None:
    """Refuses an evaluation that would replace one with other settings.

    A result with the same settings may be replaced, and so may a damaged one, or one of networks
    that the run no longer has.

    Args:
        subject: the networks and the studies.
        settings: how they are to be evaluated.
        label: the name of the evaluation; empty for none.
        command: label -> the command that was given, with this label; by default that of an
            evaluation.

    Raises:
        VariantError: there is a result of the same name with other settings, or the label cannot be
            a name.
    """
    check_label(label)
    file = result_file(subject, settings, label)
    try:
        record = read_record(file)
    except (OSError, DataError):
        return
    differing = _changed_settings(record, subject, settings)
    if not differing or record["of"]["model"] != subject.trained.file_hash:
        return
    texts = [f"{name} {old}, not {new}" for name, (old, new) in differing.items()]
    name = label_of(differing)
    again = command(name) if command else evaluate_command([subject], settings, name)
    raise VariantError(
        f"{file} holds an evaluation with other settings ({'; '.join(texts)}). Delete it, or give "
        f"this one a name to keep both: {again}"
    )


def label_of(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """A name for an evaluation, made of what is new in it: "lr-0.1"."""
    parts = [f"{name}-{new}" for name, (_, new) in differing.items()]
    name = re.sub(r"[^A-Za-z0-9._+=]+", "-", "-".join(parts)).strip("-.")
    return name if LABEL.fullmatch(name) and len(name) <= LONGEST_LABEL else "second"


def _changed_settings(
    record: Mapping[str, Any], subject: Subject, settings: Settings
) -> dict[str, tuple[Any, Any]]:
    """{setting: what the record says and what is asked for} of all that differs."""
    now = settings.in_use()
    # A record that is older than a setting was made with its default.
    usual = Settings(protocol=settings.protocol, select=settings.select).in_use()
    before = {**usual, **record["settings"]}
    pairs = {name: (before[name], now[name]) for name in now if name != "options"}
    pairs["map"] = record["map"], dict(subject.variant.map)
    options = subject.variant.as_dict()["options"]
    for owner in {**record["options"], **options}:
        old, new = record["options"].get(owner, {}), options.get(owner, {})
        for name in {**old, **new}:
            pairs[f"{owner}.{name}"] = old.get(name, "unset"), new.get(name, "unset")
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new}
