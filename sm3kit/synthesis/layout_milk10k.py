"""The layouts of MILK10k: the challenge folders, the archive download and a flat copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sm3kit.synthesis.clinical import clinical
from sm3kit.synthesis.dermoscopic import dermoscopic
from sm3kit.synthesis.folder import save_picture, save_table
from sm3kit.synthesis.lesion import Lesion, lesion

CONCEPTS = (
    "MONET_ulceration_crust",
    "MONET_hair",
    "MONET_vasculature_vessels",
    "MONET_erythema",
    "MONET_pigmented",
    "MONET_gel_water_drop_fluid_dermoscopy_liquid",
    "MONET_skin_markings_pen_ink_purple_pen",
)
METADATA = (
    *("lesion_id", "image_type", "isic_id", "attribution", "copyright_license"),
    *("image_manipulation", "age_approx", "sex", "skin_tone_class", "site", *CONCEPTS),
)
SUPPLEMENT = ("isic_id", "diagnosis_full", "diagnosis_confirm_type", "invasion_thickness_interval")
ARCHIVE = (
    *("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general"),
    *("anatom_site_special", "concomitant_biopsy", "diagnosis_1", "diagnosis_2", "diagnosis_3"),
    *("diagnosis_4", "diagnosis_confirm_type", "image_manipulation", "image_type", "lesion_id"),
    *("melanocytic", "sex"),
)
CLASSES = (
    *("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF"),
    *("MAL_OTH", "MEL", "NV", "SCCKA", "VASC"),
)
VIEWS = (("clinical: close-up", clinical), ("dermoscopic", dermoscopic))
# Lesions of the training and of the test set of the challenge.
TRAINING, TEST = 5240, 479
# Site in the words of the challenge and of the archive.
SITES = (
    ("head_neck_face", "head/neck"),
    ("trunk", "anterior torso"),
    ("lower_extremity", "lower extremity"),
    ("upper_extremity", "upper extremity"),
    ("foot", "palms/soles"),
    ("hand", "palms/soles"),
    ("genital", "oral/genital"),
    ("", ""),
)
# Class, then the levels of the archive from general to special.
_MELANOMA = ("MEL", "Malignant", "Malignant melanocytic proliferations (Melanoma)")
_NEVUS = ("NV", "Benign", "Benign melanocytic proliferations")
_EPIDERMAL = ("BKL", "Benign", "Benign epidermal proliferations")
DIAGNOSES: dict[str, tuple[str, ...]] = {
    "basal cell carcinoma": (
        "BCC",
        "Malignant",
        "Malignant adnexal epithelial proliferations - Follicular",
        "Basal cell carcinoma",
    ),
    "clark nevus": (*_NEVUS, "Nevus"),
    "reed or spitz nevus": (*_NEVUS, "Nevus", "Nevus, Spitz"),
    "dermal nevus": (*_NEVUS, "Nevus", "Nevus, NOS, Dermal"),
    "blue nevus": (*_NEVUS, "Nevus", "Blue nevus"),
    "congenital nevus": (*_NEVUS, "Nevus", "Nevus, Congenital"),
    "combined nevus": (*_NEVUS, "Nevus", "Nevus, Combined"),
    "recurrent nevus": (*_NEVUS, "Nevus", "Nevus, Recurrent or persistent"),
    "melanoma (in situ)": (*_MELANOMA, "Melanoma in situ"),
    "melanoma (less than 0.76 mm)": (*_MELANOMA, "Melanoma Invasive"),
    "melanoma (0.76 to 1.5 mm)": (*_MELANOMA, "Melanoma Invasive"),
    "melanoma (more than 1.5 mm)": (*_MELANOMA, "Melanoma Invasive"),
    "melanoma": (*_MELANOMA, "Melanoma Invasive"),
    "melanoma metastasis": (*_MELANOMA, "Melanoma metastasis"),
    "vascular lesion": (
        "VASC",
        "Benign",
        "Benign soft tissue proliferations - Vascular",
        "Hemangioma",
    ),
    "lentigo": (*_EPIDERMAL, "Solar lentigo"),
    "seborrheic keratosis": (*_EPIDERMAL, "Seborrheic keratosis"),
    "dermatofibroma": (
        "DF",
        "Benign",
        "Benign soft tissue proliferations - Fibro-histiocytic",
        "Dermatofibroma",
    ),
    "melanosis": ("BEN_OTH", "Benign", "Benign - Other", "Mucosal melanotic macule"),
}
# What stands for "miscellaneous", drawn evenly.
OTHERS: tuple[tuple[str, ...], ...] = (
    (
        "AKIEC",
        "Indeterminate",
        "Indeterminate epidermal proliferations",
        "Solar or actinic keratosis",
    ),
    (
        "SCCKA",
        "Malignant",
        "Malignant epidermal proliferations",
        "Squamous cell carcinoma, Invasive",
    ),
    ("INF", "Benign", "Inflammatory or infectious diseases"),
    ("MAL_OTH", "Malignant", "Collision - At least one malignant proliferation"),
)
_FROM = ("sm3kit, drawn", "CC-BY-NC")


@dataclass(frozen=True)
class Case:
    """One lesion with its ids and what its patient would tell."""

    lesion: Lesion
    levels: tuple[str, ...]
    site: tuple[str, str]
    age: str
    sex: str

    @property
    def id(self) -> str:
        """The lesion's id."""
        return f"IL_{_scatter(self.lesion.index):07d}"

    def image(self, view: int) -> str:
        """The id of one of the two pictures, in the order of VIEWS."""
        return f"ISIC_{_scatter(2 * self.lesion.index + view):07d}"


def challenge(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes the folders of the challenge, and a test set without labels on top of `pairs`."""
    tests = max(1, round(pairs * TEST / TRAINING))
    for split, first, last in (("Training", 0, pairs), ("Test", pairs, pairs + tests)):
        cases = [draw_case(seed, index) for index in range(first, last)]
        pictures = folder / f"MILK10k_{split}_Input"
        _pictures(cases, size, [pictures / case.id for case in cases])
        save_table(folder / f"MILK10k_{split}_Metadata.csv", METADATA, _metadata(cases))
        if split == "Training":
            _truth(cases, folder, "MILK10k_Training_GroundTruth", "MILK10k_Training_Supplement")


def flat(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes the tables of the challenge beside images_train/, which has all pictures."""
    cases = [draw_case(seed, index) for index in range(pairs)]
    _pictures(cases, size, [folder / "images_train"] * pairs)
    save_table(folder / "MILK10k_Training_Metadata.csv", METADATA, _metadata(cases))
    _truth(cases, folder, "MILK10k_Training_GroundTruth", "MILK10k_Training_Supplement")


def archive(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes the download of the ISIC Archive: images/, metadata.csv and supplements/."""
    cases = [draw_case(seed, index) for index in range(pairs)]
    _pictures(cases, size, [folder / "images"] * pairs)
    save_table(folder / "metadata.csv", ARCHIVE, _archive(cases))
    supplements = folder / "supplements"
    save_table(supplements / "training_input.csv", METADATA, _metadata(cases))
    _truth(cases, supplements, "training_gt", "training_supp")
    notice = "Pictures drawn by sm3kit in the layout of MILK10k. No patient was photographed.\n"
    (folder / "attribution.txt").write_text(notice, encoding="utf-8")
    (folder / "licenses").mkdir()
    (folder / "licenses" / "CC-BY-NC.txt").write_text(notice, encoding="utf-8")


def draw_case(seed: int, index: int) -> Case:
    """Lesion `index` of a seed, with its patient; the same however many are drawn."""
    drawing = lesion(seed, index)
    rng = drawing.stream("milk10k")
    other, site = OTHERS[rng.integers(len(OTHERS))], SITES[rng.integers(len(SITES))]
    age, sex = str(5 * int(rng.integers(4, 18))), ("female", "male")[rng.integers(2)]
    return Case(drawing, DIAGNOSES.get(drawing.diagnosis, other), site, age, sex)


def _scatter(number: int) -> int:
    """Another number of seven digits for each number below ten million."""
    return (number * 7919 + 1) % 10_000_000


def _pictures(cases: list[Case], size: int, folders: list[Path]) -> None:
    """Writes both pictures of each case to its folder, cut to 4:3 as all of MILK10k."""
    cut = size // 8
    for case, folder in zip(cases, folders, strict=True):
        for view, (_, draw) in enumerate(VIEWS):
            picture = draw(case.lesion, size)[cut : size - cut]
            save_picture(folder / f"{case.image(view)}.jpg", np.ascontiguousarray(picture))


def _metadata(cases: list[Case]) -> list[list[str]]:
    """A row per picture, as the challenge gives them."""
    rows = []
    for case in cases:
        tone = str(5 - int(case.lesion.tone * 5.999))
        for view, (kind, _) in enumerate(VIEWS):
            ids = [case.id, kind, case.image(view), *_FROM, "instrument only"]
            rows.append([*ids, case.age, case.sex, tone, case.site[0], *_concepts(case, view)])
    return rows


def _concepts(case: Case, view: int) -> list[str]:
    """The MONET scores of one picture, which differ between the two of a lesion."""
    drawing, rng = case.lesion, case.lesion.stream(f"MONET {view}")
    vessels = drawing.labels["VS"] != "ABS"
    true = [
        0.7 if case.levels[0] == "BCC" else 0.1,
        drawing.hairiness,
        (0.8, 0.5)[1 - view] if vessels else 0.15,
        0.6 if vessels else 0.25,
        0.2 if case.levels[0] == "BCC" else 0.85,
        0.4 * view,
        0.05,
    ]
    return [f"{score:.4f}" for score in np.clip(rng.normal(true, 0.08), 0, 1)]


def _truth(cases: list[Case], folder: Path, truth: str, supplement: str) -> None:
    """Writes the diagnoses, one-hot with a row per lesion, and in words with a row per picture."""
    hot = [[case.id, *(f"{float(name == case.levels[0])}" for name in CLASSES)] for case in cases]
    save_table(folder / f"{truth}.csv", ("lesion_id", *CLASSES), hot)
    rows = []
    for case in cases:
        thickness = case.lesion.diagnosis.partition("(")[2].rstrip(")")
        thickness = thickness if thickness.endswith("mm") else ""
        for view in range(len(VIEWS)):
            rows.append([case.image(view), case.levels[-1], "histopathology", thickness])
    save_table(folder / f"{supplement}.csv", SUPPLEMENT, rows)


def _archive(cases: list[Case]) -> list[list[str]]:
    """A row per picture, as the archive gives them."""
    rows = []
    for case in cases:
        levels = [*case.levels[1:], "", "", ""][:4]
        melanocytic = str(case.levels[0] in ("MEL", "NV"))
        for view, (kind, _) in enumerate(VIEWS):
            start = [case.image(view), *_FROM, case.age, case.site[1], "", "True", *levels]
            end = ["histopathology", "instrument only", kind, case.id, melanocytic, case.sex]
            rows.append([*start, *end])
    return rows
