"""The command of an evaluation, as a shell takes it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sm3kit.core.plugin_files import named_files
from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import (
    PLUGINS,
    Protocol,
    Settings,
    settings_of,
)
from sm3kit.evaluation.subject import Subject

# Settings with an option of their own; all others are set with -o.
FLAGS = (
    "split",
    "drop",
    "missing",
    "select",
    "classifier",
    "loss",
    "sampler",
    "members",
    "stack",
    "threshold",
    "scope",
    "epochs",
    "batch_size",
    "lr",
    "feature_views",
    "k",
    "seed",
)


def evaluate_command(
    subjects: Sequence[Subject], settings: Settings, label: str = "", set_all: Sequence[str] = ()
) -> str:
    """The command that evaluates a run with some settings, or compares two.

    Args:
        subjects: the run, or the two runs to compare.
        settings: of the first.
        label: the name of the evaluation; empty for none.
        set_all: settings that the command says even where they are the run's own.
    """
    first = subjects[0]
    own, variant = first.trained.variant, first.variant
    words = ["sm3kit", "evaluate", *(str(subject.run.folder) for subject in subjects)]
    words += ["--compare"] * (len(subjects) > 1)
    if settings.protocol != own.protocol:
        words += ["--protocol", settings.protocol]
    if list(variant.data) != list(own.data):
        words += [word for spec in variant.data for word in ("--data", spec)]
    if variant.map != own.map:
        words += [word for new, old in variant.map.items() for word in ("--map", f"{new}={old}")]
    relation = first.embedding is not None
    words += settings_words(own, settings.in_use(), relation=relation, set_all=set_all)
    before = own.as_dict()["options"]
    for owner, options in variant.as_dict()["options"].items():
        for name, value in options.items():
            if before.get(owner, {}).get(name) != value:
                words += ["-o", f"{owner}.{name}={option_text(value)}"]
    words += [word for file in named_files() for word in ("--plugin", str(file))]
    return shlex.join([*words, *(("--label", label) if label else ())])


def settings_words(
    variant: Variant,
    settings: Mapping[str, Any],
    *,
    relation: bool,
    set_all: Sequence[str] = (),
) -> list[str]:
    """The options that give these settings to a run that has others by default.

    Args:
        variant: of the run.
        settings: as a record keeps them; `views` is left out, as no option sets it.
        relation: whether the run has a relation for the labels at hand.
        set_all: settings that are said even where they are the run's own.
    """
    words: list[str] = []
    chosen = chosen_settings(variant, settings, relation=relation)
    for name in dict.fromkeys([*chosen, *set_all]):
        words += setting_words(name, settings[name])
    return words


def setting_words(name: str, value: Any) -> list[str]:
    """The options that set a setting to a value: one, or one for each modality that is dropped."""
    if name not in FLAGS:
        return ["-o", f"evaluate.{name}={option_text(value)}"]
    texts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    return [word for text in texts for word in (f"--{name.replace('_', '-')}", option_text(text))]


def chosen_settings(
    variant: Variant, settings: Mapping[str, Any], *, relation: bool
) -> dict[str, Any]:
    """{setting: value} of those that are not what a run has by default.

    Without `views`, which no option sets, and `options`, which are said by their own names.

    Args:
        variant: of the run.
        settings: as a record keeps them.
        relation: whether the run has a relation for the labels at hand.
    """
    protocol: Protocol = settings["protocol"]
    # These heads have the settings of a run of stage 1.
    scope = {"scope": "heads"} if settings.get("scope") == "heads" else {}
    own = settings_of(variant, protocol, scope, relation=relation).in_use()
    # The defaults of a classifier without label embeddings are those of a run of stage 1, too.
    named = {name: settings[name] for name in PLUGINS if name in settings}
    usual = settings_of(variant, protocol, scope | named, relation=relation).in_use()
    usual |= {name: own[name] for name in PLUGINS if name in own}
    chosen = {
        name: value
        for name, value in settings.items()
        if name not in ("protocol", "views", "options") and usual.get(name, value) != value
    }
    return scope | chosen


def option_text(value: Any) -> str:
    """A value as an option takes it: 0.1, true, ct,mri."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(option_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
