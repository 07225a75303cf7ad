"""The commands that would do a run, or an evaluation, once more."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from sm3kit.core.errors import SM3Error
from sm3kit.core.settings import by_address, plain
from sm3kit.core.variant import Variant, table_at
from sm3kit.evaluation.command import option_text, settings_words
from sm3kit.networks.assemble import fill_in
from sm3kit.runs import recipes
from sm3kit.runs.recipes import Layer

OWN_FLAGS = (
    "fusion", "backbone", "weights", "relation", "clusterer", "sampler", "stage", "init", "epochs",
    "mlssl_epochs", "feature_views", "batch_size", "image_size", "lr", "seed", "precision",
    "devices", "num_nodes", "workers",
)  # fmt: skip
FLAGS = {recipes.FLAGS.get(name, name): name for name in OWN_FLAGS}  # By address.
REPEATED = ("objective", "modality")
# What only a recipe file can say.
IN_A_FILE = ("stage2.views", "evaluate")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command for a shell.

    Attributes:
        words: that a shell hands over.
        file: what must stand in a recipe file `more.yaml` beside it; empty if nothing.
    """

    words: tuple[str, ...]
    file: str = ""

    def text(self) -> str:
        """The command on several lines, an option on each."""
        starts = [
            place
            for place, word in enumerate(self.words)
            if word.startswith("-") and self.words[place - 1] != "-o"
        ]
        ends = [*starts, len(self.words)]
        lines = [shlex.join(self.words[: ends[0]])]
        pairs = zip(starts, ends[1:], strict=True)
        lines += [f"  {shlex.join(self.words[start:end])}" for start, end in pairs]
        return " \\\n".join(lines)


def pretraining(variant: Variant) -> Command:
    """The command that trains a variant, with every option in which it differs from its recipe."""
    # What is taken for own data depends on the machine, so a recipe is always named.
    names = list(variant.recipe) or [recipes.RELEASED.name]
    words = ["sm3kit", "pretrain"]
    try:
        recipes.resolve(Layer({"recipe": names}))
    except SM3Error:
        # A recipe file that has gone: all that it said is an option then.
        names = [recipes.RELEASED.name]
    words += [word for name in names for word in ("--recipe", name)]
    words += [word for spec in variant.data for word in ("--data", spec)]
    base, _ = recipes.resolve(Layer({"recipe": names, "data": list(variant.data)}))
    own, others = plain(by_address(variant)), plain(by_address(base))
    fields = [address for address in own if address not in ("recipe", "options")]
    changed = {address: own[address] for address in fields if own[address] != others[address]}
    for name in REPEATED:
        if name in changed:
            words += [word for value in changed[name] for word in (f"--{name}", str(value))]
    words += [w for new, old in changed.get("map", {}).items() for w in ("--map", f"{new}={old}")]
    for address, name in FLAGS.items():
        if address in changed and (name, changed[address]) != ("workers", -1):
            words += [_flag(name), str(changed[address])]
    for modality, settings in changed.get("per_modality", {}).items():
        for name, value in settings.items():
            words += [_flag(name), f"{modality}={value}"]
    with_words = {"data", *REPEATED, *FLAGS, *IN_A_FILE, "map", "per_modality", "protocol"}
    for address, value in changed.items():
        if address not in with_words:
            words += ["-o", f"{address}={option_text(value)}"]
    return _with_options(words, variant, base, changed)


def _with_options(
    words: list[str], variant: Variant, base: Variant, changed: Mapping[str, Any]
) -> Command:
    """Adds the options of plugins, and what only a file can say."""
    bare = dataclasses.replace(variant, options=base.options)
    known = fill_in(bare).options
    for plugin, options in variant.options.items():
        for name, value in options.items():
            if name not in known.get(plugin, {}) or known[plugin][name] != value:
                words += ["-o", f"{plugin}.{name}={option_text(value)}"]
    # An evaluation that is as ever says nothing.
    more: dict[str, Any] = {}
    for address in (*IN_A_FILE, "protocol"):
        if changed.get(address):
            more |= table_at(address, changed[address])
    if not more:
        return Command(tuple(words))
    place = 2 + 2 * words.count("--recipe")
    words[place:place] = ["--recipe", "more.yaml"]
    return Command(tuple(words), yaml.safe_dump(more, sort_keys=False))


def evaluation(record: Mapping[str, Any], variant: Variant, run: str) -> Command:
    """The command that made a result, with every setting that is not the run's own default.

    Args:
        record: of the result.
        variant: of the run.
        run: its folder.
    """
    protocol = record["protocol"]
    words = ["sm3kit", "evaluate", run, "--protocol", protocol]
    if record["transfer"]:
        words += [word for spec in record["data"] for word in ("--data", spec)]
        words += [w for new, old in record["map"].items() for w in ("--map", f"{new}={old}")]
    relation = record.get("scope") == "relation" or (
        record["of"]["stage"] == "mlssl" and not record["transfer"]
    )
    words += settings_words(variant, record["settings"], relation=relation)
    if record.get("label"):
        words += ["--label", record["label"]]
    return Command(tuple(words))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
