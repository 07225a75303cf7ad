"""Two runs on the same studies."""

from __future__ import annotations

from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.evaluation.evaluate import evaluation_of
from sm3kit.evaluation.record_text import reporting_notes
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.summary import compare


def compare_runs(
    first: tuple[Subject, Settings], second: tuple[Subject, Settings]
) -> dict[str, Any]:
    """What the second run has more than the first, with paired intervals.

    A result that is on disk already, made with the same settings on the same data, is not made
    anew.

    Raises:
        VariantError: a protocol without labels, or two protocols.
        DataError: the studies or the labels differ.
    """
    protocols = [first[1].protocol, second[1].protocol]
    if "match" in protocols or len(set(protocols)) > 1:
        raise VariantError(
            f"--compare wants one protocol with labels for both runs, probe, finetune or knn; "
            f"not {' and '.join(dict.fromkeys(protocols))}. Give --protocol."
        )
    (first_record, first_scores), (second_record, second_scores) = (
        evaluation_of(*first),
        evaluation_of(*second),
    )
    settings = second[1]
    difference = compare(first_scores, second_scores, settings.resamples)
    return {
        "protocol": settings.protocol,
        "split": settings.split,
        "select": settings.select,
        "leaky": first_record["leaky"] or second_record["leaky"],
        **{
            name: _either(first_record.get(name), second_record.get(name))
            for name in ("seen", "replaced")
        },
        "runs": [first_record["of"]["run"], second_record["of"]["run"]],
        "of": [first_record["of"], second_record["of"]],
        "seeds": [*first_record["seeds"], *second_record["seeds"]],
        "differs": _differences(first_record["settings"], second_record["settings"]),
        "means": [first_record["mean"]["auc"], second_record["mean"]["auc"]],
        "notes": reporting_notes(difference["labels"], difference["min_positives"]),
        **difference,
    }


def _either(first: list[str] | None, second: list[str] | None) -> list[str] | None:
    """What is in either of two lists; None if neither is known."""
    known = [names for names in (first, second) if names is not None]
    return list(dict.fromkeys(name for names in known for name in names)) if known else None


def _differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    """{setting: both values} of the settings in which two evaluations differ."""
    return {
        name: [first[name], second.get(name)] for name in first if first[name] != second.get(name)
    }
