"""The model card of an export: what it is, what it was made of, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sm3kit import __version__
from sm3kit.core.errors import SM3Error
from sm3kit.core.registry import registry
from sm3kit.deployment import STATEMENT
from sm3kit.evaluation.classifier_file import ClassifierFile
from sm3kit.evaluation.record_text import caveats_of_studies
from sm3kit.networks.backbone import provider_and_model
from sm3kit.networks.plugins_in_use import other_sampler
from sm3kit.results.evaluation_table import evaluation_section
from sm3kit.results.formats.markdown import table_text
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.supervision import supervision_note

Card = tuple[str, str, list[str]]  # Title, example, and what a user must know.
HEADS = (
    "label", "class", "AUC", "sensitivity", "specificity", "precision", "positive/labelled",
)  # fmt: skip
SELECTIONS = {
    "val_best": "the epoch with the best mean AUC on the validation split",
    "last": "the last epoch; nothing was selected",
    "test_best": "the epoch with the best mean AUC on the split that it is measured on. **This "
    "leaks: the numbers below are optimistically biased.**",
}


def model_card(
    trained: TrainedModel,
    title: str,
    example: str,
    file: ClassifierFile | None,
    result: Mapping[str, Any] | None,
    use: Sequence[str],
) -> str:
    """The README.md of an export.

    Args:
        title: what is exported.
        example: Python code of about five lines that loads it.
        file: the classifier, if it belongs to the export or to the run.
        result: the record of its evaluation, if it is there.
        use: what a user must know of inputs and outputs, a paragraph each.
    """
    parts = [f"# {title}", f"**{STATEMENT}**", "## How to load it"]
    parts += [f"```python\n{example.strip()}\n```", *use]
    parts += ["## Training", _training(trained), "## Evaluation"]
    parts += [_results(trained, file, result), "## Licences", _licences(trained)]
    return "\n\n".join(parts) + "\n"


def _training(trained: TrainedModel) -> str:
    v = trained.variant
    recipe, note = ", ".join(v.recipe) or "none", supervision_note(trained.record())
    lines = [
        f"- Pre-trained {'without labels ' * (not note)}by sm3kit {__version__}, stage "
        f"{trained.facts.stage}.",
        *([f"- {note}"] if note else []),
        f"- Data: {', '.join(v.data)}, splits {', '.join(v.splits)}; hash of the listing "
        f"`{trained.facts.data_hash}`.",
        f"- Modalities: {', '.join(f'{n} ({c} channels)' for n, c in trained.channels.items())}.",
        f"- Recipe: {recipe}; objective {', '.join(v.objective)}, fusion {v.fusion}"
        + other_sampler(v)
        + (f", relation {v.relation}, clusterer {v.clusterer}" if trained.facts.labels else "")
        + f", seed {v.seed}.",
        *(
            f"- Backbone of {name}: {v.of(name, 'backbone')}, {v.of(name, 'image_size')} px, "
            f"started from {_start(trained, name)}."
            for name in trained.channels
        ),
        f"- Hash of the run's model: `{trained.file_hash}`.",
    ]
    return "\n".join(lines)


def _start(trained: TrainedModel, name: str) -> str:
    if trained.variant.init:
        return f"the run {trained.variant.init}"
    weights = str(trained.variant.of(name, "weights"))
    if weights == "imagenet":
        return f"ImageNet weights of {provider_and_model(trained.variant, name)[0]}"
    return "random weights" if weights == "none" else f"the file {weights}"


def _results(
    trained: TrainedModel, file: ClassifierFile | None, result: Mapping[str, Any] | None
) -> str:
    if file is None or result is None or "labels" not in result:
        return "Not evaluated. Run `sm3kit evaluate`, then export again."
    chosen = ", ".join(f"{name} {value}" for name, value in file.chosen.items())
    section = evaluation_section(result)
    return "\n".join(
        [
            f"Protocol {file.protocol}, scope {file.scope}, on {', '.join(result['data'])}, split "
            f"{file.split}: {result['cases']} studies of {result['groups']} patients or lesions.",
            f"Selection: {SELECTIONS[file.select]} ({chosen}). One seed ({file.seed}).",
            "",
            table_text(replace(section, foot=section.foot[:1]), HEADS),
            "",
            f"In percent; in brackets 95 % intervals of {result['resamples']} resamples of the "
            "patients or lesions.",
            *[f"**{caveat}**" for caveat in caveats_of_studies(result)],
            *[f"Note: {note}" for note in result["notes"]],
        ]
    )


def _weights_page(trained: TrainedModel, name: str) -> str:
    """Where the licence of the weights that a backbone started from stands; empty if unknown."""
    try:
        provider, _ = provider_and_model(trained.variant, name)
        return str(registry("backbones").get(provider).weights_page)
    except SM3Error:
        return ""  # Its plugin is not here, and weights alone can be written without it.


def _licences(trained: TrainedModel) -> str:
    kinds = list(dict.fromkeys(spec.partition(":")[0] for spec in trained.variant.data))
    started = [n for n in trained.channels if trained.variant.of(n, "weights") != "none"]
    pages = dict.fromkeys(filter(None, (_weights_page(trained, name) for name in started)))
    lines = [
        "- Code of sm3kit: Apache-2.0.",
        f"- Weights: learned from {', '.join(kinds)}. The terms of these data govern how the "
        "weights may be used; many medical data sets allow research only. State the terms that "
        "apply before you share this folder.",
    ]
    if started:
        lines.append(
            "- The backbones started from third-party weights, whose licence applies as well"
            + (f": see their page at {' and '.join(pages)}" if pages else "")
            + "."
        )
    return "\n".join(lines)
