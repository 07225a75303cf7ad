"""Support vector machines as tensors: scikit-learn's values, and a link that knows nothing of the rest."""

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from sm3kit.data.batches import Batch
from sm3kit.evaluation.decisions.stack import Stack, metadata_names, metadata_rows
from sm3kit.evaluation.decisions.support_vectors import SupportVectors, fit_support_vectors
from sm3kit.modalities.base import Modality
from sm3kit.modalities.photo import Photo


def drawn(classes, count=90, seed=0, width=5):
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=count)
    rows = rng.normal(size=(count, width)) + 1.5 * np.eye(classes, width)[truth]
    return rows, truth


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_decision_values_are_those_of_scikit_learn(classes):
    rows, truth = drawn(classes)
    fresh, _ = drawn(classes, seed=1)
    machine = fit_support_vectors(rows, truth, np.arange(90))
    theirs = SVC(C=1.0, gamma="scale", decision_function_shape="ovo").fit(rows, truth)
    ours = machine.decision_values(torch.from_numpy(fresh)).numpy()
    wanted = theirs.decision_function(fresh).reshape(90, -1)
    np.testing.assert_allclose(ours, wanted, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_probabilities_are_right_about_fresh_studies(classes):
    rows, truth = drawn(classes, 300)
    fresh, true = drawn(classes, 300, seed=1)
    found = fit_support_vectors(rows, truth, np.arange(300)).probabilities(
        torch.from_numpy(fresh), classes
    )
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    theirs = SVC(C=1.0, gamma="scale").fit(rows, truth)
    agree = (found.argmax(1).numpy() == theirs.predict(fresh)).mean()
    assert agree > 0.9  # The link may move a border a little.
    right = (found.argmax(1).numpy() == true).mean()
    assert abs(right - float(found.max(1).values.mean())) < 0.1


def test_the_state_is_the_whole_machine():
    rows, truth = drawn(3)
    machine = fit_support_vectors(rows, truth, np.arange(90))
    again = SupportVectors(**machine.state())
    fresh = torch.from_numpy(drawn(3, seed=2)[0])
    assert torch.equal(again.probabilities(fresh, 4), machine.probabilities(fresh, 4))
    assert (
        machine.probabilities(fresh, 4)[:, 3] == 0
    ).all()  # No study of this class was in training.


def test_unknown_labels_count_nowhere():
    rows, truth = drawn(3)
    more = np.concatenate([rows, rows[:20] + 5])
    unknown = np.concatenate([truth, np.full(20, -1)])
    first = fit_support_vectors(rows, truth, np.arange(90))
    second = fit_support_vectors(more, unknown, np.arange(110))
    fresh = torch.from_numpy(drawn(3, seed=2)[0])
    assert torch.equal(first.probabilities(fresh, 3), second.probabilities(fresh, 3))


def test_nothing_to_tell_apart():
    rows, _ = drawn(2)
    assert fit_support_vectors(rows, np.full(90, -1), np.arange(90)) is None
    assert fit_support_vectors(rows, np.zeros(90, int), np.arange(90)) is None


def test_a_class_of_one_patient_and_features_that_say_nothing():
    rows, truth = drawn(2)
    truth[:] = 0
    truth[:3] = 1
    groups = np.arange(90)
    groups[:3] = 0
    machine = fit_support_vectors(np.zeros_like(rows), truth, groups)
    found = machine.probabilities(torch.zeros(2, 5, dtype=torch.float64), 2)
    assert found.isfinite().all()
    assert (found[:, 0] > 0.5).all()


def test_copies_of_a_patient_do_not_make_it_certain():
    """Noise, each study ten times: were copies in other folds, the link would think it is right."""
    rng = np.random.default_rng(0)
    rows, truth = rng.normal(size=(60, 4)), rng.integers(2, size=60)
    copies = np.repeat(np.arange(60), 10)
    fresh = torch.from_numpy(rng.normal(size=(200, 4)))
    held = fit_support_vectors(rows[copies], truth[copies], copies).probabilities(fresh, 2)
    leaking = fit_support_vectors(rows[copies], truth[copies], np.arange(600)).probabilities(
        fresh, 2
    )
    assert float((held - 0.5).abs().mean()) < 0.5 * float((leaking - 0.5).abs().mean())


# The second stage


def stack(weight=0.25):
    """A machine for the second of two labels, on 2 + 3 probabilities and two values of metadata."""
    rows, truth = drawn(3, width=7)
    machine = fit_support_vectors(rows, truth, np.arange(90))
    return Stack(weight, ["meta"], {1: machine}), torch.from_numpy(rows)


def test_the_mean_of_both_stages_by_hand():
    second, rows = stack()
    first = [rows[:, :2].softmax(1), rows[:, 2:5].softmax(1)]
    metadata = rows[:, 5:]
    own, mixed = second.mix(first, metadata)
    assert own is first[0]  # A label without a machine keeps what the networks say.
    seen = torch.cat([*first, metadata], dim=1)
    wanted = 0.75 * first[1] + 0.25 * second.machines[1].probabilities(seen, 3)
    np.testing.assert_allclose(mixed, wanted, atol=1e-15)
    assert stack(0.0)[0].mix(first, metadata)[1] is first[1]


def test_a_stack_comes_back_from_its_tensors():
    second, rows = stack()
    first = [rows[:, :2].softmax(1), rows[:, 2:5].softmax(1)]
    tensors = {**second.tensors(), "classifier.heads.0.weight": torch.zeros(1)}
    again = Stack(**second.facts()).with_tensors(tensors)
    assert list(again.machines) == [1]
    assert torch.equal(again.mix(first, rows[:, 5:])[1], second.mix(first, rows[:, 5:])[1])


def test_metadata_are_vectors_and_zero_where_absent():
    class Vector(Modality):
        channels, image_size, reading = 2, 1, "test"

        def normalise(self, views):
            return views.float() * 2

    modalities = {"derm": Photo(8), "meta": Vector(), "more": Vector()}
    assert metadata_names(modalities) == ["meta", "more"]
    views = {"meta": [torch.arange(6.0).reshape(3, 2, 1, 1)], "more": []}
    present = {"meta": torch.tensor([True, False, True]), "more": torch.zeros(3, dtype=torch.bool)}
    empty = torch.zeros(3, 0)
    batch = Batch(views, present, empty, torch.arange(3), torch.zeros(3))
    rows = metadata_rows(batch, modalities, ["meta", "more"])
    assert rows.tolist() == [[0, 2, 0, 0], [0, 0, 0, 0], [8, 10, 0, 0]]
