"""The three data sets: laws, columns, what is fit to the training split, and warnings."""

import csv
from collections import Counter

import numpy as np
import pytest

from sm3kit.api import DataError, OptionError, component
from sm3kit.testing import check_dataset
from sm3kit_tabular.derm7pt import Derm7ptMetadata
from sm3kit_tabular.fitting import explained
from sm3kit_tabular.manifest import MetadataManifest
from sm3kit_tabular.metadata import Metadata
from sm3kit_tabular.milk10k import Milk10kMetadata

LABELS = ("A", "B")


def modality(dataset):
    spec = dataset.modalities["meta"]
    assert spec.plugin == "metadata"
    return Metadata(**spec.options)


def told(dataset, text):
    """The one note with a text."""
    (note,) = [note for note in dataset.notes if text in note]
    return note


@pytest.fixture
def manifest(tmp_path):
    """Writes a manifest of 40 studies, 24 of them for training; changes is {column: values}."""

    def write(**changes):
        count = 40
        columns = {
            "id": [f"s{i}" for i in range(count)],
            "split": ["train"] * 24 + ["val"] * 8 + ["test"] * 8,
            "photo": [f"{i}.png" for i in range(count)],
            "DIAG": [LABELS[i % 2] for i in range(count)],
            "age": [str(20 + i // 2) for i in range(count)],
            "sex": [("female", "male", "")[i % 3] for i in range(count)],
            **changes,
        }
        path = tmp_path / "manifest.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return str(path)

    return write


def test_derm7pt_adds_a_modality_and_changes_nothing_else(drawn):
    folder = str(drawn("derm7pt"))
    check_dataset(Derm7ptMetadata, folder)
    plain, both = component("datasets", "derm7pt")(folder), Derm7ptMetadata(folder)
    assert list(both.modalities) == ["derm", "clinic", "meta"]
    assert both.labels == plain.labels
    for one, other in zip(plain.studies(), both.studies(), strict=True):
        assert other.images.items() >= one.images.items()
        assert (one.id, one.labels, one.group, one.split) == (
            other.id,
            other.labels,
            other.group,
            other.split,
        )
    assert modality(both).shape == (14, 1, 1)
    assert not any("Warning" in note for note in both.notes)


@pytest.mark.parametrize("layout", ["derm7pt", "derm7pt-flat"])
def test_the_set_of_fusionm4net_has_twenty_values_and_a_warning(drawn, edited, layout):
    folder = drawn(layout)
    tables = folder / "meta" if layout == "derm7pt" else folder
    rows = edited(tables / "meta.csv", lambda number, row: None)
    dataset = Derm7ptMetadata(str(folder), columns="paper_f4m")
    reader = modality(dataset)
    assert reader.channels == 20
    for study in dataset.studies():
        # Every value that is written has its place: one per column.
        assert reader.read(study.images["meta"]).sum() == 5
    managed = [row["management"] for row in rows if row["diagnosis"].startswith("melanoma")]
    spared = sum(row["management"] == "no further examination" for row in rows)
    assert managed
    assert told(dataset, "Warning") == (
        "Warning: management is decided after the diagnosis. Here "
        f"{managed.count('excision')} of {len(managed)} melanomas are 'excision', and "
        f"{managed.count('no further examination')} of {spared} cases of 'no further examination' "
        "are melanomas. Results with columns=paper_f4m are not comparable with those without it."
    )


def test_a_row_of_derm7pt_by_hand(drawn, edited):
    folder = drawn("derm7pt")

    def change(number, row):
        if number == 0:
            row |= {"elevation": "palpable", "location": "back", "sex": "male"}

    first = edited(folder / "meta" / "meta.csv", change)[0]
    dataset = Derm7ptMetadata(str(folder))
    (study,) = [one for one in dataset.studies() if one.id == first["case_num"]]
    vector = modality(dataset).read(study.images["meta"]).ravel().tolist()
    assert vector == [0, 1, 0, *[0, 0, 1, 0, 0, 0, 0, 0, 0], 0, 1]


def test_a_new_word_is_unknown_and_a_row_without_any_is_missing(drawn, edited):
    folder = drawn("derm7pt")

    def change(number, row):
        if number == 3:
            row |= {"elevation": "", "location": "unknown", "sex": ""}
        if number in (4, 5):
            row |= {"location": "lip"}

    edited(folder / "meta" / "meta.csv", change)
    dataset = Derm7ptMetadata(str(folder))
    lacking = [study.id for study in dataset.studies() if "meta" not in study.images]
    assert lacking == [dataset.studies()[3].id]
    assert told(dataset, "without meta").endswith("columns, and so without meta: 1.")
    assert told(dataset, "lip") == (
        "location: values that are not in its options, treated as unknown: 'lip'; studies: 2."
    )
    vector = modality(dataset).read(dataset.studies()[4].images["meta"]).ravel()
    assert vector[3:12].sum() == 0
    assert vector.sum() == 2


@pytest.mark.parametrize("layout", ["milk10k", "milk10k-flat", "milk10k-archive"])
def test_milk10k_takes_its_inputs_out_of_the_labels(drawn, layout):
    folder = str(drawn(layout))
    check_dataset(Milk10kMetadata, folder)
    plain, both = component("datasets", "milk10k")(folder), Milk10kMetadata(folder)
    left = [label.name for label in plain.labels if label not in both.labels]
    assert left == ["skin_tone_class", "site", "sex"]
    assert told(both, "not as labels").endswith(": skin_tone_class, site, sex.")
    assert not any(study.labels.keys() & set(left) for study in both.studies())
    assert modality(both).channels == 2 + 7 + 6 + 2
    one = Milk10kMetadata(folder, columns=("sex",), labels=("DIAG", "site"))
    assert [label.name for label in one.labels] == ["DIAG", "site"]
    assert [study.split for study in one.studies()] == [study.split for study in plain.studies()]


def test_milk10k_reads_the_row_of_the_dermoscopic_image(drawn, edited):
    folder = drawn("milk10k")

    def change(number, row):
        row["age_approx"] = "30" if row["image_type"] == "dermoscopic" else "80"

    edited(folder / "MILK10k_Training_Metadata.csv", change)
    reader = modality(Milk10kMetadata(str(folder), columns=("age_approx",)))
    assert reader.columns[0].mean == 30


def test_milk10k_refuses_other_columns_and_labels_that_are_inputs(drawn):
    folder = str(drawn("milk10k"))
    with pytest.raises(OptionError, match=r"must be some of age_approx, .*, not 'diagnosis_1'\."):
        Milk10kMetadata(folder, columns=("diagnosis_1",))
    with pytest.raises(OptionError, match="'sex' is both a label and a column of meta"):
        Milk10kMetadata(folder, labels=("DIAG", "sex"))


def test_manifest_laws(manifest, tmp_path):
    check_dataset(MetadataManifest, MetadataManifest.example(tmp_path))
    check_dataset(MetadataManifest, manifest())
    check_dataset(MetadataManifest, manifest(), columns=("sex",), labels=("DIAG",))


def test_statistics_and_values_are_of_the_training_split_alone(manifest):
    ages = [str(20 + i // 2) for i in range(24)]
    path = manifest(age=[*ages, *["900"] * 16], site=[*["arm", "leg"] * 12, *["lip"] * 15, "arm"])
    dataset = MetadataManifest(path, columns=("age", "site"), labels=("DIAG",))
    (age,) = [column for column in modality(dataset).columns if column.name == "age"]
    known = np.array(ages, dtype=float)
    assert age.mean == pytest.approx(known.mean(), rel=1e-5)
    assert age.deviation == pytest.approx(known.std(), rel=1e-5)
    assert dataset.modalities["meta"].options["categories"] == ("site:arm|leg",)
    assert (
        told(dataset, "lip")
        == "site: values that are not in its options, treated as unknown: 'lip'; studies: 15."
    )
    assert "Inferred from the values: age:number, site:category." in told(dataset, "Inferred")


def test_a_kind_that_is_named_is_not_guessed(manifest):
    path = manifest(code=[str(i % 8) for i in range(40)])
    guessed = MetadataManifest(path, columns=("code",), labels=("DIAG",))
    assert guessed.modalities["meta"].options["numbers"]
    named = MetadataManifest(path, columns=("code:category",), labels=("DIAG",))
    assert named.modalities["meta"].options["categories"] == ("code:0|1|2|3|4|5|6|7",)
    assert not any("Inferred" in note for note in named.notes)


def test_missing_values_are_allowed_and_a_row_without_any_is_missing(manifest):
    path = manifest(age=["", "nan", *["50", "60"] * 19], sex=["", "female", *["male"] * 38])
    dataset = MetadataManifest(path, columns=("age:number", "sex"), labels=("DIAG",))
    assert [one.id for one in dataset.studies() if "meta" not in one.images] == ["s0"]
    vector = modality(dataset).read(dataset.studies()[1].images["meta"]).ravel()
    assert vector.tolist() == [1, 0, 0, 0]


def test_a_column_that_is_a_guessed_label_becomes_an_input(manifest):
    dataset = MetadataManifest(manifest())
    assert [label.name for label in dataset.labels] == ["DIAG"]
    assert told(dataset, "not as labels") == "Used as inputs, so not as labels: age, sex."


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"columns": ("size",)}, DataError, "has no column 'size'. "),
        ({"columns": ()}, OptionError, "names no column. Write for example -o metadata-manifest"),
        ({"columns": ("group",)}, OptionError, "'group' is an id, a split, a group or an image"),
        ({"columns": ("photo",)}, OptionError, "'photo' is an id, a split, a group or an image"),
        (
            {"columns": ("sex:word",)},
            OptionError,
            "cannot be of the kind 'word'. Write sex:category or",
        ),
        ({"columns": ("sex:number",)}, DataError, "row 2, column 'sex': 'female' is not a number"),
        ({"labels": ("DIAG", "sex")}, OptionError, "'sex' is both a label and a column"),
        ({"reported": ("sex:male",)}, OptionError, "'sex' is both a label and a column"),
        (
            {"columns": ("name",)},
            DataError,
            "column 'name' has 24 different values in 24 training rows: an id or free text. Leave it out.",
        ),
        (
            {"columns": ("number",)},
            DataError,
            "Leave it out, or write number:number if it is a measurement.",
        ),
        ({"columns": ("empty",)}, DataError, "column 'empty': no value in the training split."),
        ({"columns": ("bar",)}, DataError, "column 'bar': a value contains '|'. Replace it."),
    ],
)
def test_a_wrong_column_is_told(manifest, options, error, said):
    path = manifest(
        name=[f"p{i}" for i in range(40)],
        number=[str(7 * i + 3) for i in range(40)],
        empty=[""] * 24 + ["x"] * 16,
        bar=["a|b", "c"] * 20,
    )
    with pytest.raises(error) as found:
        MetadataManifest(path, **options)
    assert said in str(found.value)


def test_a_measurement_may_be_different_everywhere_if_it_is_named(manifest):
    path = manifest(number=[str(7 * i + 3) for i in range(40)])
    assert MetadataManifest(path, columns=("number:number",)).modalities["meta"].options["numbers"]
    path = manifest(number=[f"{7 * i + 3}.5" for i in range(40)])
    assert MetadataManifest(path, columns=("number",)).modalities["meta"].options["numbers"]


def test_a_modality_called_meta_is_in_the_way(manifest):
    path = manifest(meta=[f"m{i}.png" for i in range(40)])
    with pytest.raises(OptionError, match="already have a modality 'meta'"):
        MetadataManifest(path)


def test_a_column_that_gives_a_label_away_is_named(manifest):
    stages = [("I", "II", "III", "IV")[2 * (i % 2) + i // 2 % 2] for i in range(40)]
    marker = [f"{i % 2 + 0.01 * i:.2f}" for i in range(40)]
    path = manifest(stage=stages, marker=marker)
    dataset = MetadataManifest(path, columns=("age", "sex", "stage", "marker"), labels=("DIAG",))
    warnings = [note for note in dataset.notes if note.startswith("Warning")]
    assert Counter(note.split()[1] for note in warnings) == {"stage": 1, "marker": 1}
    assert warnings[0].startswith("Warning: stage gives the label DIAG away: it explains 100 %")


def test_many_values_tell_a_label_by_chance_and_are_not_blamed(manifest):
    path = manifest(site=[f"{'AB'[i % 2]}{i // 2 % 3}" for i in range(40)])
    dataset = MetadataManifest(path, columns=("site",), labels=("DIAG",))
    assert not any("Warning" in note for note in dataset.notes)


def test_what_a_column_explains():
    values, classes = np.arange(400) % 4, np.arange(400) % 2
    # Each value has one class; independent of each other; nothing to explain.
    assert explained(values, classes) == pytest.approx(1)
    assert explained(values, np.arange(400) // 4 % 2) == pytest.approx(0)
    assert explained(values, np.zeros(400)) == 0
    # The second value has both classes: half of the rows keep the entropy of 1 to 3.
    mixed, truth = np.repeat([0, 1], 4), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    left = 0.5 * -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    whole = -(5 / 8 * np.log2(5 / 8) + 3 / 8 * np.log2(3 / 8))
    assert explained(mixed, truth) == pytest.approx(1 - left / whole)
