"""The page of a run."""

from __future__ import annotations

from dataclasses import replace

import yaml

from sm3kit.evaluation.record_text import Record
from sm3kit.networks.plugins_in_use import other_sampler
from sm3kit.report.drawing import Figures, renderings
from sm3kit.report.gallery import BEST, Thumbnails
from sm3kit.report.material import Material
from sm3kit.report.repeating import Command, evaluation, pretraining
from sm3kit.results.evaluation_table import evaluation_section
from sm3kit.results.html import render
from sm3kit.results.numbers import data_name
from sm3kit.results.section import Section
from sm3kit.runs.verdict import judge

STATEMENT = (
    "This is the output of research software, not of a medical device. It is not intended for "
    "diagnosis or treatment and does not replace the judgement of a physician."
)
OLD = "This result was measured with other weights than the run has now. Evaluate again."


def run_page(material: Material, figures: Figures) -> str:
    """The whole page as HTML."""
    advice = _missing(material)
    contents = {
        "trained": "Training setup",
        **({"results": "Results"} if material.results or advice else {}),
        "training": "Training curves",
        **({"labels": "Labels"} if figures.labels else {}),
        **({"matching": "Pair matching"} if figures.searches and material.subject else {}),
        "repeat": "How to reproduce",
        "variant": "All settings",
    }
    subject = material.subject
    images = Thumbnails(subject) if subject else None
    model = subject.trained.file_hash if subject else ""
    sections = [result_section(result.record, result.title, model) for result in material.results]
    return render(
        "run.html",
        title=f"sm3kit: {material.run.folder.resolve().name}",
        statement=STATEMENT,
        contents=contents,
        notes=[*material.notes, *figures.notes],
        facts=_facts(material),
        sections=sections,
        advice=advice,
        verdict=judge(material.rows, material.record.variant, str(material.run.folder)),
        training=renderings(figures.training),
        labels={name: renderings(pictures) for name, pictures in figures.labels.items()},
        attention=renderings(figures.attention),
        galleries=[(search, images.of_search(search)) for search in figures.searches]
        if images
        else [],
        best=BEST,
        commands=_commands(material),
        variant=yaml.safe_dump(
            material.record.variant.as_dict(), sort_keys=False, allow_unicode=True
        ),
    )


def result_section(record: Record, title: str, model: str) -> Section:
    """The table of one evaluation; it says so if it is of other networks.

    Args:
        record: of labels or of pairs.
        title: of the table.
        model: hash of the model file of the run; empty if it is not known.
    """
    section = evaluation_section(record, title)
    if not model or record["of"]["model"] == model:
        return section
    return replace(section, notes=(OLD, *section.notes))


def _facts(material: Material) -> dict[str, str]:
    record = material.record
    v = record.variant
    subject = material.subject
    stages = {"both": "stage 1 and stage 2", "mmssl": "stage 1", "mlssl": "stage 2 only"}
    studies = ""
    if subject:
        studies = ", ".join(f"{split} {len(cases)}" for split, cases in subject.pool.cases.items())
    return {
        "run": str(material.run.folder),
        "state": "finished"
        if material.finished
        else f"not finished; resume with {material.run.resume_command}",
        "data": f"{', '.join(map(data_name, v.data))} (listing {record.data_hash})",
        "studies": studies,
        "pre-trained on": f"split {', '.join(v.splits)}, without labels",
        "modalities": _modalities(material),
        "method": f"{stages[v.stage]}: {' + '.join(v.objective)}, fusion {v.fusion}"
        + other_sampler(v)
        + (f"; relation {v.relation}, clusterer {v.clusterer}" if v.stage != "mmssl" else ""),
        "backbone": f"{v.backbone}, weights {v.weights}, {v.image_size} px",
        "per modality": "; ".join(
            f"{name}: " + ", ".join(f"{key} {value}" for key, value in own.items())
            for name, own in v.per_modality.items()
        ),
        "recipe": ", ".join(v.recipe),
        "seed": str(v.seed),
        "started from": ", ".join(
            f"{name} {value}" for name, value in record.started_from.items() if value
        ),
        "machine": ", ".join(map(str, record.hardware.values())),
        "versions": ", ".join(f"{name} {number}" for name, number in record.versions.items()),
    }


def _modalities(material: Material) -> str:
    subject = material.subject
    if subject is None:
        return ", ".join(material.record.variant.modality)
    cases = [case for cases in subject.pool.cases.values() for case in cases]
    return ", ".join(
        f"{name} ({sum(name in case.images for case in cases)} studies)"
        for name in subject.trained.channels
    )


def _missing(material: Material) -> list[tuple[str, str]]:
    """What has not been measured, and the command that measures it."""
    run, subject = material.run.folder, material.subject
    if not material.finished:
        return [("The training has not finished.", material.run.resume_command)]
    labels = subject is None or bool(subject.pool.labels)
    commands = []
    if labels and not any(result.labelled for result in material.results):
        commands.append(("No label has been evaluated yet.", f"sm3kit evaluate {run}"))
    pairs = subject is not None and len(subject.pool.modalities) > 1
    if pairs and not any("space" in result.record for result in material.results):
        line = f"sm3kit evaluate {run} --protocol match"
        commands.append(("Pair matching has not been measured yet.", line))
    return commands


def _commands(material: Material) -> list[tuple[str, Command]]:
    """What each command makes, and the command."""
    run = str(material.run.folder)
    return [
        ("The training", pretraining(material.record.variant)),
        *(
            (result.title, evaluation(result.record, material.record.variant, run))
            for result in material.results
        ),
        ("This page", Command(("sm3kit", "report", run))),
    ]
