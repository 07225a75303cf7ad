"""Two runs on the same studies."""

from __future__ import annotations

from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.evaluation.evaluate import evaluated
from sm3kit.evaluation.record_text import reporting_notes
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.summary import compare


def compared(first: tuple[Subject, Settings], second: tuple[Subject, Settings]) -> dict[str, Any]:
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
    (one, one_scores), (other, other_scores) = evaluated(*first), evaluated(*second)
    settings = second[1]
    found = compare(one_scores, other_scores, settings.resamples)
    return {
        "protocol": settings.protocol,
        "split": settings.split,
        "select": settings.select,
        "leaky": one["leaky"] or other["leaky"],
        **{name: _either(one.get(name), other.get(name)) for name in ("seen", "replaced")},
        "runs": [one["of"]["run"], other["of"]["run"]],
        "of": [one["of"], other["of"]],
        "seeds": [*one["seeds"], *other["seeds"]],
        "differs": _differences(one["settings"], other["settings"]),
        "means": [one["mean"]["auc"], other["mean"]["auc"]],
        "notes": reporting_notes(found["labels"], found["min_positives"]),
        **found,
    }


def _either(one: list[str] | None, other: list[str] | None) -> list[str] | None:
    """What is in either of two lists; None if neither is known."""
    known = [names for names in (one, other) if names is not None]
    return list(dict.fromkeys(name for names in known for name in names)) if known else None


def _differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """{setting: both values} of the settings in which two evaluations differ."""
    return {name: [one[name], other.get(name)] for name in one if one[name] != other.get(name)}
