"""What two spellings of one word differ in, and classes that are split by it."""

from __future__ import annotations

import unicodedata

import pytest

from sm3kit.tables.spelling import OF_IDS, OF_NAMES, differences, fold, quoted, spelling_notes


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("Nevus é", "case"),
        ("nevus  é", "spaces"),
        ("nevus\u00a0é", "spaces"),
        (unicodedata.normalize("NFD", "nevus é"), "Unicode form"),
        ("ｎevus é", "Unicode form"),
        ("NEVUSÉ", "spaces and case"),
        (unicodedata.normalize("NFD", "NEVUSÉ"), "spaces and Unicode form and case"),
    ],
)
def test_spellings_of_one_word(other: str, said: str) -> None:
    assert fold(other) == fold("nevus é")
    assert differences(["nevus é", other]) == said


@pytest.mark.parametrize(
    ("one", "other"), [("nevus", "naevus"), ("1", "01"), ("a.b", "a"), ("e", "é"), ("T1", "T2")]
)
def test_other_words(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("1", "001", "leading zeros"),
        ("CHUM-7", "CHUM-007", "leading zeros"),
        ("1", "1.0", "the suffix"),
        ("case7", "case7.nii.gz", "the suffix"),
        ("ISIC_1", "ISIC_1.jpg", "the suffix"),
        ("P1", "p01.JPG", "case and the suffix and leading zeros"),
    ],
)
def test_ids(one: str, other: str, said: str) -> None:
    assert fold(one, OF_IDS) == fold(other, OF_IDS)
    assert differences([one, other], OF_IDS) == said


@pytest.mark.parametrize(("one", "other"), [("1", "10"), ("10", "100"), ("0", ""), ("1.5", "1.7")])
def test_other_ids(one: str, other: str) -> None:
    assert fold(one, OF_IDS) != fold(other, OF_IDS)


def test_texts_that_look_alike_are_quoted_in_ascii() -> None:
    assert quoted(["é", "e"]) == ["'é'", "'e'"]
    assert quoted(["é", unicodedata.normalize("NFD", "é")]) == ["'\\xe9'", "'e\\u0301'"]


@pytest.mark.parametrize(
    ("one", "other"), [("Müller", "Muller"), ("Ёлкин", "Елкин"), ("né", "ne\u0301"), ("É", "e")]
)
def test_names_with_and_without_accents(one: str, other: str) -> None:
    assert fold(one, OF_NAMES) == fold(other, OF_NAMES)


@pytest.mark.parametrize(("one", "other"), [("か", "が"), ("कि", "क"), ("ø", "o"), ("ß", "s")])
def test_marks_of_other_scripts_make_other_names(one: str, other: str) -> None:
    assert fold(one, OF_NAMES) != fold(other, OF_NAMES)


def test_of_many_sets_three_are_named() -> None:
    counts = {name: 1 for number in range(5) for name in (f"p{number}", f"P{number}")}
    notes = spelling_notes("Groups", counts, "groups")
    assert len(notes) == 4
    assert notes[0].startswith("Groups: 1 x 'p0' and 1 x 'P0' are 2 groups that differ only in")
    assert notes[-1] == "Groups: 2 more sets of groups differ only so."


def test_classes_that_are_one() -> None:
    counts = {"nevus": 40, "Nevus": 3, "melanoma": 7, "true": 1, "TRUE": 2, "True": 0}
    assert spelling_notes("Label DIAG", counts) == [
        "Label DIAG: 40 x 'nevus' and 3 x 'Nevus' are 2 classes that differ only in case. "
        "If they are one, write it one way in the table.",
        "Label DIAG: 1 x 'true' and 2 x 'TRUE' and 0 x 'True' are 3 classes that differ only in "
        "case. If they are one, write it one way in the table.",
    ]
    assert spelling_notes("Label DIAG", {"absent": 1, "present": 2}) == []
