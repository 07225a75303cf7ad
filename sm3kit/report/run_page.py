"""The page of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import yaml

from sm3kit.report.drawing import Drawn
from sm3kit.report.gallery_html import gallery
from sm3kit.report.material import Material
from sm3kit.report.picture import Picture
from sm3kit.report.repeating import Command, evaluation, pretraining
from sm3kit.report.result_tables import result_table
from sm3kit.results.html_page import document
from sm3kit.results.lines import data_name
from sm3kit.runs.run import Run

STATEMENT = (
    "This is the output of research software, not of a medical device. Nothing here is for "
    "diagnosis or treatment, and nothing here takes the place of a physician."
)
SKIP = '<a class="skip" href="#content">Skip to the content</a>\n'
BROAD = 6.0  # Inches; wider figures take a whole line in print.

Parts = Sequence[tuple[str, str, str]]


def run_page(material: Material, drawn: Drawn) -> str:
    """The whole page as HTML."""
    parts = [
        ("trained", "What was trained", _facts(material)),
        ("results", "Results", _results(material)),
        ("training", "Training", pictures(drawn.training) or "<p>There are no metrics yet.</p>"),
        ("labels", "Labels", _labels(drawn)),
        ("matching", "Pair matching", _matching(material, drawn)),
        ("repeat", "How to repeat it", _repeat(material)),
        ("variant", "Every choice", _variant(material)),
    ]
    notes = [*material.notes, *drawn.notes]
    body = page_body([one for one in parts if one[2]], notes)
    return document(f"sm3kit: {material.folder.resolve().name}", body, SKIP)


def page_body(parts: Parts, notes: Sequence[str]) -> str:
    """Statement, table of contents and sections.

    Args:
        parts: (anchor, title, HTML) of each section.
        notes: what is missing, a sentence each.
    """
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in parts)
    lines = [
        f'<p class="statement" role="note">{escape(STATEMENT)}</p>',
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>',
        '<main id="content" tabindex="-1">',
    ]
    if notes:
        told = "".join(f"<li>{escape(note)}</li>" for note in notes)
        lines.append(f"<ul>{told}</ul>")
    for place, (name, title, content) in enumerate(parts):
        mark = ' class="page"' if place else ""
        lines.append(f'<section aria-labelledby="{name}">')
        lines.append(f'<h2 id="{name}"{mark}>{escape(title)}</h2>\n{content}\n</section>')
    return "\n".join([*lines, "</main>"])


def pictures(found: Sequence[Picture]) -> str:
    """Figures with their captions; nothing for none."""
    if not found:
        return ""
    drawn = "\n".join(map(_picture, found))
    return f'<div class="pictures">\n{drawn}\n</div>'


def command(found: Command) -> str:
    """A command, and the file that it wants beside it."""
    text = f"<pre>{escape(found.text())}</pre>"
    if found.file:
        text += f"<p>with a file <code>more.yaml</code>:</p><pre>{escape(found.file)}</pre>"
    return text


def facts(pairs: Mapping[str, str]) -> str:
    """Names and values as a list."""
    lines = [
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs.items() if text
    ]
    return f"<dl>{''.join(lines)}</dl>"


def _picture(one: Picture) -> str:
    width, height = one.figure.get_size_inches()
    broad = ' class="broad"' if width > BROAD else ""
    style = f"max-width:{96 * width:.0f}px"
    return (
        f'<figure{broad} style="{style}"><img src="{one.source()}" alt="{escape(one.told)}" '
        f'width="{96 * width:.0f}" height="{96 * height:.0f}"><figcaption>'
        f"<strong>{escape(one.title)}</strong>{escape(one.caption)}</figcaption></figure>"
    )


def _facts(material: Material) -> str:
    v, told = material.variant, material.facts
    subject = material.subject
    stages = {"both": "stage 1 and stage 2", "mmssl": "stage 1", "mlssl": "stage 2 alone"}
    studies = ""
    if subject:
        studies = ", ".join(f"{split} {len(cases)}" for split, cases in subject.pool.cases.items())
    started = told["started_from"]
    pairs = {
        "run": str(material.folder),
        "state": "finished"
        if material.finished
        else f"not finished: go on with {Run(material.folder).resume_command}",
        "data": f"{', '.join(map(data_name, v.data))} (listing {told['data_hash']})",
        "studies": studies,
        "pre-trained on": f"split {', '.join(v.splits)}, without labels",
        "modalities": _modalities(material),
        "method": f"{stages[v.stage]}: {' + '.join(v.objective)}, fusion {v.fusion}"
        + (f"; relation {v.relation}, clusterer {v.clusterer}" if v.stage != "mmssl" else ""),
        "networks": f"{v.backbone}, weights {v.weights}, {v.image_size} px",
        "of their own": "; ".join(
            f"{name}: " + ", ".join(f"{key} {value}" for key, value in own.items())
            for name, own in v.per_modality.items()
        ),
        "recipe": ", ".join(v.recipe),
        "seed": str(v.seed),
        "started from": ", ".join(f"{name} {value}" for name, value in started.items() if value),
        "machine": ", ".join(map(str, told["machine"].values())),
        "versions": ", ".join(f"{name} {number}" for name, number in told["versions"].items()),
    }
    return facts(pairs)


def _modalities(material: Material) -> str:
    subject = material.subject
    if subject is None:
        return ", ".join(material.variant.modality)
    cases = [case for found in subject.pool.cases.values() for case in found]
    return ", ".join(
        f"{name} ({sum(name in case.images for case in cases)} studies)"
        for name in subject.trained.channels
    )


def _results(material: Material) -> str:
    model = material.subject.trained.file_hash if material.subject else ""
    tables = [f"<section>{result_table(one, model)}</section>" for one in material.results]
    missing = _missing(material)
    advice = [f"<p>{escape(text)}</p><pre>{escape(line)}</pre>" for text, line in missing]
    return "\n".join([*tables, *advice])


def _missing(material: Material) -> list[tuple[str, str]]:
    """What has not been measured, and the command that measures it."""
    run, subject = material.folder, material.subject
    if not material.finished:
        return [("The training is not finished.", Run(run).resume_command)]
    labels = subject is None or bool(subject.pool.labels)
    found = []
    if labels and not any(one.labelled for one in material.results):
        found.append(("No label has been evaluated yet.", f"sm3kit evaluate {run}"))
    pairs = subject is not None and len(subject.pool.modalities) > 1
    if pairs and all(one.labelled for one in material.results):
        line = f"sm3kit evaluate {run} --protocol match"
        found.append(("Pair matching has not been measured yet.", line))
    return found


def _labels(drawn: Drawn) -> str:
    if not drawn.labels:
        return ""
    tabs, panels = [], []
    for number, (name, found) in enumerate(drawn.labels.items()):
        tabs.append(
            f'<button type="button" role="tab" id="tab-{number}" aria-controls="panel-{number}">'
            f"{escape(name)}</button>"
        )
        panels.append(
            f'<div role="tabpanel" id="panel-{number}" aria-labelledby="tab-{number}" '
            f'tabindex="0"><h3>{escape(name)}</h3>{pictures(found)}</div>'
        )
    shown = "".join(tabs)
    parts = [f'<div role="tablist" aria-label="Labels" hidden>{shown}</div>', *panels]
    if drawn.attention:
        parts.append(f"<h3>Between labels</h3>{pictures(drawn.attention)}")
    return "\n".join(parts)


def _matching(material: Material, drawn: Drawn) -> str:
    if not drawn.searches or material.subject is None:
        return ""
    subject = material.subject
    return "\n".join(gallery(subject, search) for search in drawn.searches)


def _repeat(material: Material) -> str:
    v = material.variant
    lines = ["<p>The training:</p>", command(pretraining(v))]
    for one in material.results:
        again = evaluation(one.record, v, str(material.folder))
        lines += [f"<p>{escape(one.title)}:</p>", command(again)]
    lines.append("<p>This page:</p>")
    lines.append(command(Command(("sm3kit", "report", str(material.folder)))))
    return "\n".join(lines)


def _variant(material: Material) -> str:
    text = yaml.safe_dump(material.variant.as_dict(), sort_keys=False, allow_unicode=True)
    label = "All choices of the run as YAML"
    return f'<pre class="long" tabindex="0" role="region" aria-label="{label}">{escape(text)}</pre>'
