"""The seven-point checklist of dermoscopy, scored from the classes of its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Label -> the class that counts, its points, and what the checklist calls it.
CRITERIA: dict[str, tuple[str, int, str]] = {
    "PN": ("ATP", 2, "atypical pigment network"),
    "BWV": ("PRS", 2, "blue-whitish veil"),
    "VS": ("IR", 2, "atypical vascular pattern"),
    "STR": ("IR", 1, "irregular streaks"),
    "PIG": ("IR", 1, "irregular pigmentation"),
    "DaG": ("IR", 1, "irregular dots and globules"),
    "RS": ("PRS", 1, "regression structures"),
}
SUSPICIOUS = 3
RULE = (
    "7-point checklist (Argenziano et al. 1998): 2 points each for PN ATP, BWV PRS, VS IR; 1 each "
    "for STR IR, PIG IR, DaG IR, RS PRS; 3 or more of 10 is suspicious of melanoma"
)


def checklist_of(labels: Mapping[str, Sequence[str]]) -> str | None:
    """What stands before the seven labels of the checklist, by name and class; None without them.

    It is empty, or a data set's name where labels come from a pool of several: `derm7pt/`.

    Args:
        labels: {label: its classes}.
    """
    for prefix in [name.removesuffix("PN") for name in labels if name.endswith("PN")]:
        if all(
            present in labels.get(prefix + name, ()) for name, (present, _, _) in CRITERIA.items()
        ):
            return prefix
    return None


def seven_points(
    probabilities: Mapping[str, Mapping[str, float]], prefix: str = ""
) -> dict[str, Any]:
    """The score of one lesion.

    Source: Argenziano, Fabbrocini, Carli, De Giorgi, Sammarco, Delfino 1998, "Epiluminescence
    microscopy for the diagnosis of doubtful melanocytic skin lesions: comparison of the ABCD
    rule of dermatoscopy and a new 7-point checklist based on pattern analysis", Archives of
    Dermatology 134(12), 1563-1570, https://doi.org/10.1001/archderm.134.12.1563; the classes
    that count are those of Derm7pt. The rule is made for melanocytic lesions and human readers.

    Args:
        probabilities: {label: {class: probability}} with the seven labels at least.
        prefix: what stands before their names.

    Returns:
        `score`, the points of the criteria whose most probable class counts; `expected`, the
        points weighed by the probabilities; `suspicious`, whether the score is 3 or more; and
        `criteria`, those that count.
    """
    of = {name: probabilities[prefix + name] for name in CRITERIA}
    decided = [
        name
        for name, (present, _, _) in CRITERIA.items()
        if max(of[name], key=of[name].__getitem__) == present
    ]
    score = sum(CRITERIA[name][1] for name in decided)
    return {
        "score": score,
        "expected": sum(
            points * of[name][present] for name, (present, points, _) in CRITERIA.items()
        ),
        "suspicious": score >= SUSPICIOUS,
        "criteria": [CRITERIA[name][2] for name in decided],
    }
