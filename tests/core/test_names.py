"""Names of pairs, of columns and of files, which come from names that users choose."""

import pytest

from sm3kit.core.names import LONGEST_FILE, file_stem, free_name, pair_names


def test_pairs_are_named_by_their_members():
    assert pair_names(["derm", "close-up", "us"]) == {
        ("derm", "close-up"): "derm-close-up",
        ("derm", "us"): "derm-us",
        ("close-up", "us"): "close-up-us",
    }


def test_two_pairs_never_share_a_name():
    assert pair_names(["a-b", "a", "b-a"]) == {
        ("a-b", "a"): "'a-b'-'a'",
        ("a-b", "b-a"): "a-b-b-a",
        ("a", "b-a"): "'a'-'b-a'",
    }


def test_a_taken_name_gets_underscores():
    assert free_name("present", ["derm"]) == "present"
    assert free_name("present", ["present", "present_"]) == "present__"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("roc-DIAG", "roc-DIAG"),
        ("roc-a b", "roc-a-b"),
        ("roc-../x", "roc-..-x"),
        ("12-Größe", "12-Größe"),
        ('a<>:"|?*\\b', "a-b"),
    ],
)
def test_a_file_name_holds_what_every_system_takes(name, stem):
    assert file_stem(name) == stem


def test_file_names_are_short_and_of_whole_letters():
    assert len(file_stem("ß" * 400).encode()) == LONGEST_FILE
    assert file_stem("a" + "漢" * 400) == "a" + "漢" * 49


def test_file_names_that_differ_in_case_alone_are_the_same_to_some_systems():
    assert file_stem("ROC a", {"roc-a"}) == "ROC-a-2"
    assert file_stem("ROC a", {"roc-a", "roc-a-2"}) == "ROC-a-3"
