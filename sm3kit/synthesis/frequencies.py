"""How often each label, diagnosis and form of an attribute occurs, as in Derm7pt.

Source: Kawahara et al. 2019, "Seven-Point Checklist and Skin Lesion Classification using Multitask
Multimodal Neural Nets", https://doi.org/10.1109/JBHI.2018.2824327, the 1,011 cases of its release.
"""

from __future__ import annotations

import numpy as np

# Name, classes in index order, reported class.
LABELS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("DIAG", ("BCC", "NEV", "MEL", "MISC", "SK"), "MEL"),
    ("PN", ("ABS", "TYP", "ATP"), "ATP"),
    ("BWV", ("ABS", "PRS"), "PRS"),
    ("VS", ("ABS", "REG", "IR"), "IR"),
    ("PIG", ("ABS", "REG", "IR"), "IR"),
    ("STR", ("ABS", "REG", "IR"), "IR"),
    ("DaG", ("ABS", "REG", "IR"), "IR"),
    ("RS", ("ABS", "PRS"), "PRS"),
)

# Diagnosis in words, its class, cases.
DIAGNOSES: tuple[tuple[str, str, int], ...] = (
    ("basal cell carcinoma", "BCC", 42),
    ("clark nevus", "NEV", 399),
    ("reed or spitz nevus", "NEV", 79),
    ("dermal nevus", "NEV", 33),
    ("blue nevus", "NEV", 28),
    ("congenital nevus", "NEV", 17),
    ("combined nevus", "NEV", 13),
    ("recurrent nevus", "NEV", 6),
    ("melanoma (less than 0.76 mm)", "MEL", 102),
    ("melanoma (in situ)", "MEL", 64),
    ("melanoma (0.76 to 1.5 mm)", "MEL", 53),
    ("melanoma (more than 1.5 mm)", "MEL", 28),
    ("melanoma metastasis", "MEL", 4),
    ("melanoma", "MEL", 1),
    ("vascular lesion", "MISC", 29),
    ("lentigo", "MISC", 24),
    ("dermatofibroma", "MISC", 20),
    ("melanosis", "MISC", 16),
    ("miscellaneous", "MISC", 8),
    ("seborrheic keratosis", "SK", 45),
)

# Cases per diagnosis class (a row, in the order of DIAG) and class of the attribute (a column).
# Both margins are those of Derm7pt; the cells are our estimate, since the release may not be copied:
# plausible shares, brought to the margins by iterative proportional fitting.
ATTRIBUTES: dict[str, tuple[tuple[int, ...], ...]] = {
    "PN": ((41, 1, 0), (180, 318, 77), (70, 33, 149), (71, 23, 3), (38, 6, 1)),
    "BWV": ((35, 7), (527, 48), (123, 129), (89, 8), (42, 3)),
    "VS": ((10, 28, 4), (527, 33, 15), (175, 36, 41), (76, 12, 9), (35, 8, 2)),
    "PIG": ((34, 2, 6), (380, 82, 113), (77, 12, 163), (69, 14, 14), (28, 8, 9)),
    "STR": ((39, 1, 2), (382, 86, 107), (107, 12, 133), (87, 5, 5), (38, 3, 4)),
    "DaG": ((21, 4, 17), (116, 256, 203), (25, 37, 190), (49, 24, 24), (18, 13, 14)),
    "RS": ((38, 4), (470, 105), (125, 127), (82, 15), (43, 2)),
}

# The forms that one class of an attribute takes, in the words of Derm7pt, with their cases.
FORMS: dict[str, tuple[tuple[str, int], ...]] = {
    "VS REG": (
        ("arborizing", 31),
        ("comma", 23),
        ("hairpin", 15),
        ("within regression", 46),
        ("wreath", 2),
    ),
    "VS IR": (("dotted", 53), ("linear irregular", 18)),
    "PIG REG": (("diffuse regular", 115), ("localized regular", 3)),
    "PIG IR": (("diffuse irregular", 265), ("localized irregular", 40)),
    "RS PRS": (("blue areas", 116), ("white areas", 38), ("combinations", 99)),
}


def draw(rng: np.random.Generator) -> tuple[str, dict[str, str], dict[str, str]]:
    """One diagnosis in words, {label: class}, and {attribute and class: form}.

    A form is drawn for every class that has forms, so that a class can be changed later.
    """
    words, diagnosis, _ = DIAGNOSES[_pick(rng, [cases for _, _, cases in DIAGNOSES])]
    row = LABELS[0][1].index(diagnosis)
    labels = {"DIAG": diagnosis}
    for name, classes, _ in LABELS[1:]:
        labels[name] = classes[_pick(rng, ATTRIBUTES[name][row])]
    forms = {key: kinds[_pick(rng, [n for _, n in kinds])][0] for key, kinds in FORMS.items()}
    # Tree-like vessels are the mark of basal cell carcinoma; vessels within regression need some.
    if diagnosis == "BCC":
        forms["VS REG"] = "arborizing"
    elif forms["VS REG"] == "within regression" and labels["RS"] == "ABS":
        forms["VS REG"] = "comma"
    return words, labels, forms


def _pick(rng: np.random.Generator, cases: list[int] | tuple[int, ...]) -> int:
    edges = np.cumsum(cases)
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
