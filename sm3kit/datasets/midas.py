"""MRA-MIDAS: lesions photographed through a dermatoscope, from 15 cm and from 30 cm."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, OptionError
from sm3kit.core.names import unknown
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study
from sm3kit.tables.csv_table import Row, Table, class_name, read_table
from sm3kit.tables.joining import first_few, join_notes, one_per_key, one_value
from sm3kit.tables.photos import FilesByStem, notes_on_ways
from sm3kit.tables.spelling import UNKNOWN_WORDS, blank_unknown, fold, word_counts
from sm3kit.tables.splits import rarest, split_groups

TABLES = ("release_midas.csv", "release_midas.xlsx")
VIRTUAL = "n/a - virtual"
DISTANCES = {
    "dscope": "derm",
    "6in": "clinic15",
    "1ft": "clinic30",
    VIRTUAL: "virtual",
}
RECORD, FILE, DISTANCE = "midas_record_id", "midas_file_name", "midas_distance"
CONTROL, PATHOLOGY, LOCATION = "midas_iscontrol", "midas_path", "midas_location"
# What tells lesions apart. A CSV file of the data portal writes length__mm_ for length_(mm).
PROFILE = (
    *(RECORD, CONTROL, LOCATION, PATHOLOGY, "midas_pathreport"),
    *("clinical_impression_1", "clinical_impression_2", "clinical_impression_3"),
    *("length_(mm)", "length__mm_", "width_(mm)", "width__mm_"),
)
# How a pathology or an impression begins, without its number and the blanks beside the dash.
DIAGNOSES = {
    "malignant-melanoma": "MEL",
    "malignant-bcc": "BCC",
    "malignant-sccis": "SCCIS",
    "malignant-scc": "SCC",
    "malignant-ak": "AK",
    "malignant-": "MAL_OTH",
    "benign-melanocytic nevus": "NEV",
    "benign-seborrheic keratosis": "SK",
    "benign-dermatofibroma": "DF",
    "benign-hemangioma": "HEM",
    "benign-fibrous papule": "FP",
    "benign-": "BEN_OTH",
    "other-melanocytic lesion": "MCT",
    "melanocytic tumor": "MCT",
    "other-non-neoplastic": "INF",
}
CLASSES = tuple(sorted(set(DIAGNOSES.values())))
# No table says what a control is. It has a clinical impression and no pathology, as a lesion has
# that was not biopsied.
OF_CONTROLS = "CONTROL"
WHAT_BECOMES_OF_CONTROLS = {
    "class": f"in the class {OF_CONTROLS} of DIAG unless they have a pathology",
    "unlabelled": "without a DIAG unless they have a pathology",
    "left_out": "left out",
}
# Nobody can say of a melanocytic tumour of uncertain kind whether it is malignant.
UNCERTAIN = "MCT"
# The site that a word of a location names; the first that is there counts. Two words may stand for
# one (`supra pubic`), and a plural for the singular.
SITES = {
    "foot": "foot feet toe hallux toenail plantar sole heel calcaneus metatarsal instep",
    "hand": "hand finger thumb pinky pinkie digit fingernail thumbnail fingertip palm palmar "
    "knuckle metacarpal thenar hypothenar",
    "genital": "genital genitalia penis penile glans scrotum scrotal vulva vulvar vagina "
    "labia labium mons pubis perineum perineal perianal",
    "head_neck_face": "head neck nape face facial scalp crown cheek malar zygoma zygomatic nose "
    "nasal nostril columella ala alar nasolabial melolabial melolabia ear earlobe lobule helix "
    "helical antihelix tragus concha conchal forehead glabella temple eye eyelid eyebrow brow "
    "canthus canthal orbital periorbital infraorbital lip vermilion mouth perioral chin mental "
    "submental jaw jawline jowl mandible mandibular philtrum preauricular postauricular auricular "
    "mastoid vertex occiput occipital parietal sideburn hairline supraclavicular",
    "upper_extremity": "arm forearm elbow olecranon wrist shoulder antecubital deltoid bicep biceps "
    "tricep triceps upperextremity",
    "lower_extremity": "leg thigh knee patella calf calves shin ankle malleolus malleoli pretibial "
    "tibia tibial popliteal hip lowerextremity",
    "trunk": "back chest pectoral abdomen abdominal belly stomach epigastric flank waist breast "
    "nipple areola mammary inframammary trunk torso buttock buttox gluteal scapula scapular "
    "infrascapular clavicle clavicular sternum sternal presternal umbilicus umbilical navel axilla "
    "axillae axillary armpit rib ribcage spine lumbar sacrum sacral groin inguinal pubic "
    "suprapubic",
}
SITE_OF_WORD = {word: site for site, words in SITES.items() for word in words.split()}
ELSEWHERE = "other"
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}
LICENCE = (
    "Licence: the data use agreement of Stanford AIMI, for non-commercial research; the images may "
    "not be passed on (https://doi.org/10.71718/15nz-jv40)."
)


@dataclass(frozen=True)
class Photo:
    """One row that is used: the lesion, the modality and the file that it names."""

    row: Row
    lesion: str
    modality: str
    path: str


class Midas(Dataset):
    """The lesions of an MRA-MIDAS folder, `midas:DIR`, split by patient and diagnosis.

    Source: Chiou, Omiye, Gui et al. 2025, "Multimodal Image Dataset for AI-based Skin Cancer
    (MIDAS) Benchmarking", NEJM AI, https://doi.org/10.1056/aidbp2400732; the data are at Stanford
    AIMI, https://doi.org/10.71718/15nz-jv40.

    Modalities: derm (`dscope`), clinic15 (`6in`, a photo from 15 cm) and clinic30 (`1ft`, from 30
    cm). The table has no lesion id: rows of the same record, control flag, location, pathology,
    impressions and size are taken for one lesion, and a note says how many came together. Two
    images of one distance are refused unless `several` is on. A file is found by its name, else by
    its name without the suffix, else as NAME_cropped; what stays without a file is left out. Notes
    count all of this.

    Labels: DIAG and MALIGNANT from the pathology; IMPRESSION, the first clinical impression, in the
    classes of DIAG; site from words of the location; fitzpatrick and sex. AK counts as malignant, as
    in the table, and MALIGNANT is unknown for MCT, a melanocytic tumour that may need re-excision.
    What begins with malignant or benign and has no class of its own is MAL_OTH or BEN_OTH. Controls
    have no pathology, so CONTROL is no diagnosis: it may hold the same moles as NEV. Where
    rows of a lesion contradict each other, the label is unknown. The column midas_melanoma is not
    used: some readers take it for the diagnosis, others for the patient's history.

    Args:
        argument: the folder with release_midas.csv or release_midas.xlsx and the images, which may
            be in folders below it.
        labels: the labels to use; by default all.
        controls: rows with midas_iscontrol = yes are a "class" of DIAG, or "unlabelled" (without
            DIAG and MALIGNANT), or "left_out".
        virtual: use the photos of virtual visits, as a fourth modality `virtual`.
        several: lesions may have several images of one distance.
        val: share of the patients for validation; there is no official split.
        test: share of the patients for testing.
        split_seed: a different seed gives a different split.

    Raises:
        DataError: a folder, table, column or value is missing or wrong, or a lesion has several
            images of one distance.
        OptionError: a label that is not there, or shares that leave nothing to train on.
    """

    def __init__(
        self,
        argument: str,
        *,
        labels: tuple[str, ...] = (),
        controls: Literal["class", "unlabelled", "left_out"] = "class",
        virtual: bool = False,
        several: bool = False,
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        folder = Path(argument).expanduser()
        table, self.notes = _read(folder)
        self.label_files = [table.path]
        lesions = _lesions(table)
        rows, left_out = _used_rows(table, controls, virtual)
        photos, found = _photos(folder, table, rows, lesions)
        images = _images(table, photos, several)
        self.modalities = {
            name: ModalitySpec("photo")
            for kind, name in DISTANCES.items()
            if virtual or kind != VIRTUAL
        }
        sources = _sources(table, controls)
        self.labels = [source.spec for source in _choose(sources, labels)]
        values, doubts = _values(table, photos, sources)
        groups = {photo.lesion: class_name(photo.row[RECORD]) for photo in photos}
        diagnoses = [str(values["DIAG"].get(lesion, "")) for lesion in images]
        strata = rarest([groups[lesion] for lesion in images], diagnoses)
        splits = split_groups(strata, val=val, test=test, seed=split_seed)
        self._studies = []
        for lesion, paths in sorted(images.items()):
            names = [spec.name for spec in self.labels if lesion in values[spec.name]]
            classes = {name: values[name][lesion] for name in names}
            group = groups[lesion]
            self._studies.append(Study(lesion, paths, classes, group, splits[group]))
        by = f"patient, stratified on DIAG, seed {split_seed}"
        self.notes += [_pair_note(table, lesions, self._studies), *left_out, *found, *doubts]
        self.notes += [f"There is no official split: split by {by}.", LICENCE]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty drawn lesions in a folder of this layout."""
        from sm3kit.synthesis.layouts import write

        write("midas", folder / "midas", 40, 32)
        return str(folder / "midas")

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of their ids."""
        return [study for study in self._studies if split in (None, study.split)]


def _read(folder: Path) -> tuple[Table, list[str]]:
    """The table, a row per image, unknown values blank, and notes on it."""
    there = [folder / name for name in TABLES if (folder / name).is_file()]
    if not there:
        raise DataError(
            f"{folder} does not have the layout of MRA-MIDAS. midas:DIR needs "
            f"{' or '.join(TABLES)} with the images beside it."
        )
    read = read_table(there[0], "a row per image")
    read.require([RECORD, FILE, DISTANCE, CONTROL, PATHOLOGY, LOCATION])
    entries = ((row[FILE], row, read, row) for row in read.rows)
    rows, notes = one_per_key(entries, FILE, "Each image needs one row, and a file name.")
    once = replace(read, rows=tuple(rows.values()))
    # The pathology of some rows is a 0.
    table, blanks = blank_unknown(once, [PATHOLOGY], (*UNKNOWN_WORDS, "0"))
    others = [column for column in PROFILE if column not in (RECORD, PATHOLOGY)]
    table, more = blank_unknown(table, [*others, "midas_fitzpatrick", "midas_gender"])
    both = [f"{there[0].name} is read, and {there[1].name} is not."] if len(there) > 1 else []
    return table, [*both, *notes, *blanks, *more]


def _lesions(table: Table) -> dict[int, str]:
    """{number of a row: id of its lesion}, the record and the place of the profile in it."""
    columns = [column for column in PROFILE if column in table]
    profiles: dict[str, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in table.rows:
        if not row[RECORD]:
            raise DataError(
                f"{table.place(row, RECORD)}: blank. Each image needs the id of its patient."
            )
        profile = tuple(fold(class_name(row[column])) for column in columns)
        profiles[class_name(row[RECORD])][profile].append(row.number)
    return {
        number: f"{record}-{place}"
        for record, of_record in profiles.items()
        for place, (_, numbers) in enumerate(sorted(of_record.items()), start=1)
        for number in numbers
    }


def _used_rows(
    table: Table, controls: str, virtual: bool
) -> tuple[list[tuple[Row, str]], list[str]]:
    """The rows that are used, each with its modality, and notes on controls and on other rows."""
    modality_of = {fold(kind): name for kind, name in DISTANCES.items()}
    used, told = [], Counter[str]()
    of_controls = f"Rows of controls, {WHAT_BECOMES_OF_CONTROLS[controls]}"
    for row in table.rows:
        if fold(row[DISTANCE]) not in modality_of:
            raise table.wrong(row, DISTANCE, DISTANCES)
        if row[CONTROL].casefold() not in ("yes", "no", ""):
            raise table.wrong(row, CONTROL, ("yes", "no"))
        modality = modality_of[fold(row[DISTANCE])]
        if controls == "left_out" and _is_control(row):
            told[of_controls] += 1
        elif modality == DISTANCES[VIRTUAL] and not virtual:
            told["Rows of virtual visits, left out (-o midas.virtual=true uses them)"] += 1
        else:
            used.append((row, modality))
            told[of_controls] += _is_control(row)
    if not used:
        raise DataError(f"{table.path} has no row that is used: all are controls or virtual.")
    return used, [f"{what}: {count}." for what, count in told.items() if count]


def _is_control(row: Row) -> bool:
    return row[CONTROL].casefold() == "yes"


def _photos(
    folder: Path, table: Table, rows: list[tuple[Row, str]], lesions: Mapping[int, str]
) -> tuple[list[Photo], list[str]]:
    """What is used and has a file, and notes on how files were found."""
    files = FilesByStem(folder, also="_cropped")
    photos, ways = [], Counter[str]()
    for row, modality in rows:
        path, way = files.find(row[FILE], table.place(row, FILE))
        if path:
            ways[way] += 1
            photos.append(Photo(row, lesions[row.number], modality, str(path)))
    names, there = [row[FILE] for row, _ in rows], [photo.row[FILE] for photo in photos]
    notes = notes_on_ways(ways, len(rows))
    notes += join_notes(
        table.path,
        (f"rows of {table.path.name}", names),
        ("image files", [*there, *files.without({photo.path for photo in photos})]),
        "these rows are left out",
    )
    return photos, notes


def _images(
    table: Table, photos: Iterable[Photo], several: bool
) -> dict[str, dict[str, str | tuple[str, ...]]]:
    """{lesion: {modality: its path, or paths}}."""
    together: dict[str, dict[str, list[Photo]]] = defaultdict(lambda: defaultdict(list))
    for photo in photos:
        together[photo.lesion][photo.modality].append(photo)
    lists = [found for of_lesion in together.values() for found in of_lesion.values()]
    repeated = [found for found in lists if len(found) > 1]
    if repeated and not several:
        first, second = repeated[0][:2]
        lesions = len({found[0].lesion for found in repeated})
        raise DataError(
            f"{table.place(second.row, FILE)}: {second.row[FILE]!r} is a second "
            f"{second.row[DISTANCE]!r} image of the lesion of row {first.row.number}, or of another "
            f"lesion with the same profile. This concerns {lesions} of {len(together)} lesions. Use "
            "all their images with -o midas.several=true, or remove rows."
        )
    return {
        lesion: {name: _paths(of_lesion[name]) for name in DISTANCES.values() if name in of_lesion}
        for lesion, of_lesion in together.items()
    }


def _paths(photos: Sequence[Photo]) -> str | tuple[str, ...]:
    paths = tuple(sorted(photo.path for photo in photos))
    return paths if len(paths) > 1 else paths[0]


def _pair_note(table: Table, lesions: Mapping[int, str], studies: Sequence[Study]) -> str:
    """How many lesions there are, and how they came to be."""
    columns = [column for column in PROFILE if column in table]
    kinds = [name for kind, name in DISTANCES.items() if kind != VIRTUAL]
    complete = sum(all(name in study.images for name in kinds) for study in studies)
    repeated = sum(
        any(isinstance(paths, tuple) for paths in study.images.values()) for study in studies
    )
    more = f", {repeated} with several images of one distance" if repeated else ""
    return (
        f"There is no lesion id: {len(lesions)} rows make {len(set(lesions.values()))} lesions, each "
        f"with the same {', '.join(columns)}. Of {len(studies)} that are used, {complete} have "
        f"{', '.join(kinds)}{more}."
    )


# Labels


@dataclass(frozen=True)
class Source:
    """A label, its column, and the class that a row says, "" if it says none."""

    spec: LabelSpec
    column: str
    read: Callable[[Row], str]


def _sources(table: Table, controls: str) -> list[Source]:
    """The labels whose column is there."""
    of_controls = OF_CONTROLS if controls == "class" else ""

    def diagnosis(row: Row) -> str:
        return _diagnosis(row[PATHOLOGY]) or (of_controls if _is_control(row) else "")

    impression = "clinical_impression_1"
    sites = LabelSpec("site", (*SITES, ELSEWHERE), "head_neck_face")
    types = LabelSpec("fitzpatrick", ("I", "II", "III", "IV", "V", "VI"))
    known = [
        Source(
            LabelSpec("DIAG", (*CLASSES, *filter(None, [of_controls])), "MEL"), PATHOLOGY, diagnosis
        ),
        Source(LabelSpec("MALIGNANT", ("no", "yes")), PATHOLOGY, _malignant),
        Source(
            LabelSpec("IMPRESSION", CLASSES, "MEL"),
            impression,
            lambda row: _diagnosis(row[impression]),
        ),
        Source(sites, LOCATION, lambda row: _site(row[LOCATION])),
        Source(types, "midas_fitzpatrick", lambda row: _skin_type(row["midas_fitzpatrick"])),
        Source(
            LabelSpec("sex", ("female", "male"), "male"),
            "midas_gender",
            lambda row: SEXES.get(row["midas_gender"].casefold(), ""),
        ),
    ]
    return [source for source in known if source.column in table]


def _plain(cell: str) -> str:
    """What a pathology or an impression says, without number, case, and blanks beside dashes."""
    return re.sub(r"^\d+-", "", re.sub(r"\s*-\s*", "-", " ".join(cell.casefold().split())))


def _diagnosis(cell: str) -> str:
    plain = _plain(cell)
    return next((name for start, name in DIAGNOSES.items() if plain.startswith(start)), "")


def _malignant(row: Row) -> str:
    name = _diagnosis(row[PATHOLOGY])
    if name in ("", UNCERTAIN):
        return ""
    return "yes" if _plain(row[PATHOLOGY]).startswith("malignant") else "no"


def _site(cell: str) -> str:
    words = re.findall(r"[a-z]+", cell.casefold())
    pairs = [pair for pair in pairwise(words) if "".join(pair) in SITE_OF_WORD]
    alone = [word for word in words if not any(word in pair for pair in pairs)]
    known = {_site_of_word(word) for word in (*alone, *map("".join, pairs))}
    return next((site for site in SITES if site in known), ELSEWHERE if cell else "")


def _site_of_word(word: str) -> str:
    return SITE_OF_WORD.get(word) or SITE_OF_WORD.get(word.removesuffix("s"), "")


def _skin_type(cell: str) -> str:
    """The Fitzpatrick type that a cell such as `ii fair skin, blue eyes` begins with."""
    roman = re.match(r"(iv|vi?|i{1,3})\b", cell.casefold())
    return roman[1].upper() if roman else ""


def _choose(known: list[Source], names: tuple[str, ...]) -> list[Source]:
    for name in names:
        if name not in {source.spec.name for source in known}:
            message = unknown("label", name, [source.spec.name for source in known])
            raise OptionError(f"The dataset 'midas': option 'labels': {message}")
    return [source for source in known if not names or source.spec.name in names]


def _values(
    table: Table, photos: Sequence[Photo], sources: Sequence[Source]
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """{label: {lesion: class index}}, and notes on what says nothing, or contradicts itself."""
    values, notes = {}, []
    for source in sources:
        said, silent, elsewhere = [], Counter[str](), Counter[str]()
        for photo in photos:
            name, cell = source.read(photo.row), photo.row[source.column]
            if name == ELSEWHERE:
                elsewhere[cell] += 1
            if name:
                said.append((photo.lesion, source.spec.classes.index(name)))
            elif cell and source.column != PATHOLOGY:
                silent[cell] += 1
            elif cell and not _diagnosis(cell):
                raise table.wrong(photo.row, PATHOLOGY, DIAGNOSES)
        values[source.spec.name], doubtful = one_value(said)
        notes += _few(f"Rows that name no {source.spec.name}", silent)
        notes += _few(f"Rows whose {source.column} has no known word, {ELSEWHERE!r}", elsewhere)
        if doubtful:
            notes.append(
                f"Lesions whose rows contradict each other in {source.spec.name}, which is unknown "
                f"there: {len(doubtful)} ({first_few(doubtful)})."
            )
    return values, notes


def _few(what: str, cells: Counter[str]) -> list[str]:
    """A note with the number of some cells and the most frequent ones, if there are any."""
    few = word_counts(dict(cells.most_common(3)))
    return [f"{what}: {cells.total()}, such as {few}."] if cells else []
