import subprocess
import sys

import numpy as np
import pytest

from sm3kit.synthesis import frequencies
from sm3kit.synthesis.lesion import LABELS, lesion

CASES = 1011


def test_a_lesion_is_the_same_again():
    assert lesion(3, 7) == lesion(3, 7)
    assert lesion(3, 7) != lesion(3, 8)
    assert lesion(3, 7) != lesion(4, 7)


def test_a_lesion_is_the_same_in_another_process():
    code = "from sm3kit.synthesis.lesion import lesion; print(lesion(3, 7))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == str(lesion(3, 7))


def test_the_streams_of_a_lesion_are_independent_and_repeat():
    one = lesion(0, 0)
    assert one.stream("PN").random() == one.stream("PN").random()
    assert one.stream("PN").random() != one.stream("STR").random()


def test_the_labels_are_those_of_derm7pt_in_order():
    assert [name for name, _, _ in LABELS] == ["DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS"]
    assert [len(classes) for _, classes, _ in LABELS] == [5, 3, 2, 3, 3, 3, 3, 2]
    assert [reported for _, _, reported in LABELS] == ["MEL", "ATP", "PRS", *["IR"] * 4, "PRS"]
    assert list(lesion(0, 0).labels) == [name for name, _, _ in LABELS]


def test_the_diagnoses_add_up_to_derm7pt():
    totals = dict.fromkeys(LABELS[0][1], 0)
    for _, name, cases in frequencies.DIAGNOSES:
        totals[name] += cases
    assert totals == {"BCC": 42, "NEV": 575, "MEL": 252, "MISC": 97, "SK": 45}
    assert len(frequencies.DIAGNOSES) == 20


@pytest.mark.parametrize(
    ("name", "totals"),
    [
        ("PN", (400, 381, 230)),
        ("BWV", (816, 195)),
        ("VS", (823, 117, 71)),
        ("PIG", (588, 118, 305)),
        ("STR", (653, 107, 251)),
        ("DaG", (229, 334, 448)),
        ("RS", (758, 253)),
    ],
)
def test_the_attribute_tables_have_the_margins_of_derm7pt(name, totals):
    table = np.array(frequencies.ATTRIBUTES[name])
    assert tuple(table.sum(0)) == totals
    assert tuple(table.sum(1)) == (42, 575, 252, 97, 45)


def test_a_large_draw_comes_close_to_derm7pt():
    drawn = [frequencies.draw(np.random.default_rng(i))[1] for i in range(4000)]
    diagnoses = np.array([42, 575, 252, 97, 45])
    for name, classes, _ in LABELS:
        table = np.array(frequencies.ATTRIBUTES.get(name, [diagnoses]))
        wanted = table.sum(0) / CASES if name != "DIAG" else diagnoses / CASES
        share = [np.mean([labels[name] == given for labels in drawn]) for given in classes]
        # Three standard errors of a share of one half are 0.024.
        np.testing.assert_allclose(share, wanted, atol=0.025)


def test_attributes_go_with_the_diagnosis():
    drawn = [frequencies.draw(np.random.default_rng(i))[1] for i in range(3000)]

    def share(diagnosis, name, given):
        return np.mean([one[name] == given for one in drawn if one["DIAG"] == diagnosis])

    for name, given in [("PN", "ATP"), ("BWV", "PRS"), ("STR", "IR"), ("RS", "PRS"), ("VS", "IR")]:
        assert share("MEL", name, given) > 2 * share("NEV", name, given)
    assert share("BCC", "PN", "ABS") > 0.9
    assert share("BCC", "VS", "REG") > 0.5


def test_forms_follow_the_class():
    words = {"absent", *(form for kinds in frequencies.FORMS.values() for form, _ in kinds)}
    for index in range(60):
        one = lesion(1, index)
        for name in ("VS", "PIG", "RS"):
            assert one.form(name) in words
            assert (one.form(name) == "absent") == (one.labels[name] == "ABS")
        if one.form("VS") == "within regression":
            assert one.labels["RS"] == "PRS"
