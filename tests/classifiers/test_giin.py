"""GIIN: its graph by plain matrices, its priors by hand, and the priority of a modality."""

import numpy as np
import pytest
import torch
from scipy.stats.contingency import association as scipy_association

from sm3kit.classifiers.base import ClassifierInputs
from sm3kit.classifiers.giin import GIIN, GraphLayer, Priority, checklist_strength
from sm3kit.core.errors import OptionError, VariantError
from sm3kit.nn.association import association
from sm3kit.nn.map_shape import MapShape

MAPS = [MapShape(8, 8), MapShape(16, 16)]
LABELS = {"DIAG": ["a", "b", "c"], "PN": ["x", "y"]}


def inputs(names=("derm", "clinic"), labels=LABELS, **more):
    return ClassifierInputs(
        widths=dict.fromkeys(names, 16), labels=labels, maps=dict.fromkeys(names, MAPS), **more
    )


def test_an_update_of_two_labels_and_two_modalities_by_plain_matrices():
    torch.manual_seed(0)
    layer, nodes = GraphLayer(3).double(), torch.randn(1, 2, 2, 3).double()
    edges = torch.tensor([[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0]]], dtype=torch.double)
    messages = torch.tensor([[[0.0, 0.4], [1.0, 0.0]]], dtype=torch.double)
    own, within, between = (
        w.weight.detach().numpy().T for w in (layer.own, layer.within, layer.between)
    )
    derm, clinic = nodes[0].numpy()  # (K, P) each
    sums = [
        derm @ own + edges[0].numpy() @ derm @ within + 0.4 * clinic @ between,
        clinic @ own + edges[1].numpy() @ clinic @ within + derm @ between,
    ]
    wanted = []
    for rows in sums:
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + 1e-5)
        wanted.append(np.maximum(rows, 0))
    with torch.no_grad():
        got = layer(nodes, edges, messages)[0].numpy()
    np.testing.assert_allclose(got, np.stack(wanted), rtol=0, atol=1e-12)


def test_dermoscopy_is_heard_fully_and_the_others_half_at_first():
    priority = Priority(2, 0)
    both, one = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[False, True]])
    assert priority.messages(both).tolist() == [[[0, 0.5], [1, 0]]]
    assert priority.messages(one).tolist() == [[[0, 0.5], [0, 0]]]
    assert priority.shares(both).tolist() == [[0.75, 0.25]]
    assert priority.shares(one).tolist() == [[0, 1]]
    with torch.no_grad():
        priority.heard.fill_(-50.0)
        priority.share.fill_(-50.0)
    assert priority.messages(both)[0, 0, 1] < 1e-9
    torch.testing.assert_close(priority.shares(both), torch.tensor([[0.5, 0.5]]))


def test_of_three_modalities_the_mean_of_the_others_is_heard():
    priority, all_three = Priority(3, 1), torch.ones(1, 3, dtype=torch.bool)
    assert priority.messages(all_three).tolist() == [
        [[0, 0.5, 0.25], [0.25, 0, 0.25], [0.25, 0.5, 0]]
    ]
    assert priority.shares(all_three).tolist() == [[0.125, 0.75, 0.125]]
    without = torch.tensor([[True, False, True]])
    assert priority.messages(without).tolist() == [[[0, 0, 0.5], [0.25, 0, 0.25], [0.5, 0, 0]]]
    assert priority.shares(without).tolist() == [[0.5, 0, 0.5]]
    assert not priority.shares(~all_three).any()


def test_priority_is_for_the_first_modality_of_the_fusion_or_that_named():
    assert GIIN(inputs()).priority.is_first.tolist() == [True, False]
    assert GIIN(inputs(), first="clinic").priority.is_first.tolist() == [False, True]
    with pytest.raises(OptionError, match="modality named 'clinik'. Did you mean 'clinic'"):
        GIIN(inputs(), first="clinik")


def test_association_of_two_labels_by_hand():
    # Counts [[3, 1], [1, 3]]: chi2 = 8 (9 - 1)^2 / 4^4 = 2, V = sqrt(2 / 8).
    table = [[0, 0]] * 3 + [[0, 1], [1, 0]] + [[1, 1]] * 3 + [[-1, 1], [0, -1]]
    known = torch.tensor(table)
    torch.testing.assert_close(association(known, [2, 2]), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


def test_association_is_that_of_scipy():
    generator = np.random.default_rng(0)
    first = generator.integers(0, 4, 300)
    known = np.stack([first, (first + generator.integers(0, 3, 300)) % 4, first % 2], axis=1)
    known[generator.random((300, 3)) < 0.2] = -1
    values = association(torch.from_numpy(known), [5, 4, 2])  # A class that no study has.
    for one, other in ((0, 1), (0, 2), (1, 2)):
        rows = known[(known[:, [one, other]] >= 0).all(axis=1)]
        table = np.zeros((4, 4))
        np.add.at(table, (rows[:, one], rows[:, other]), 1)
        table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0].astype(int)
        wanted = scipy_association(table, method="cramer")
        assert float(values[one, other]) == pytest.approx(wanted, abs=1e-6)
        assert values[one, other] == values[other, one]


@pytest.mark.parametrize("known", [torch.empty(0, 0).long(), torch.zeros(4, 2).long()])
def test_labels_that_nothing_is_known_of_have_no_association(known):
    assert association(known, [2, 3]).tolist() == [[1, 0], [0, 1]]


def test_edges_start_in_proportion_to_the_association():
    table = [[0, 0]] * 3 + [[0, 1], [1, 0]] + [[1, 1]] * 3
    classifier = GIIN(inputs(known=torch.tensor(table)), prior="cooccurrence")
    shares = classifier.edges.softmax(dim=-1)
    torch.testing.assert_close(
        shares, torch.tensor([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]).repeat(2, 1, 1)
    )
    assert GIIN(inputs()).edges.softmax(dim=-1).unique().tolist() == [0.5]


CHECKLIST = {
    "PN": ["ABS", "TYP", "ATP"], "BWV": ["ABS", "PRS"], "VS": ["ABS", "REG", "IR"],
    "STR": ["ABS", "REG", "IR"], "PIG": ["ABS", "REG", "IR"], "DaG": ["ABS", "REG", "IR"],
    "RS": ["ABS", "PRS"],
}  # fmt: skip


def test_the_checklist_ties_its_criteria_to_the_diagnosis():
    ties = checklist_strength({"DIAG": ["NEV", "MEL"], **CHECKLIST})
    assert ties[0].tolist() == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    assert torch.equal(ties, ties.T)
    assert torch.equal(ties[1:, 1:], torch.eye(7))
    prefixed = {f"derm7pt/{name}": classes for name, classes in CHECKLIST.items()}
    assert checklist_strength({**prefixed, "other": ["a", "b"]})[-1, :7].tolist() == [
        *(1, 1, 1, 0.5, 0.5, 0.5, 0.5)
    ]


def test_other_labels_have_no_checklist():
    with pytest.raises(VariantError) as caught:
        GIIN(inputs(), prior="checklist")
    assert str(caught.value) == (
        "The prior 'checklist' of the classifier giin needs the labels of the seven-point "
        "checklist, PN, BWV, VS, STR, PIG, DaG, RS, and the data set has DIAG, PN. Use "
        "prior=cooccurrence or prior=none."
    )


def test_a_prior_comes_back_with_the_state_where_no_label_is_known():
    known = torch.tensor([[0, 0]] * 3 + [[0, 1], [1, 0]] + [[1, 1]] * 3)
    trained = GIIN(inputs(known=known), prior="cooccurrence")
    opened = GIIN(inputs(), prior="cooccurrence")
    opened.load_state_dict(trained.state_dict())
    assert torch.equal(opened.edges, trained.edges)


def test_categories_have_convolutions_of_their_own():
    """The embedding of a label does not change with the weights of another."""
    torch.manual_seed(0)
    embed = GIIN(inputs(), width=4).embeddings["derm"].eval()
    maps = torch.randn(2, 16, 3, 3)
    with torch.no_grad():
        before = embed(maps)
        embed.layers[0].weight[4:] = 1.0
        after = embed(maps)
    weight = embed.layers[0].weight[:4, :, 0, 0]
    by_hand = torch.einsum("bchw,pc->bphw", maps, weight) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(before[:, 0], by_hand.relu().mean(dim=(2, 3)))
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_streams_are_the_modalities_and_the_graph():
    classifier = GIIN(inputs())
    assert classifier.stream_weights == {"derm": 0.5, "clinic": 0.5}
    present = {"derm": torch.tensor([True, True]), "clinic": torch.tensor([True, False])}
    maps = {name: [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)] for name in present}
    features = {name: torch.randn(2, 16) for name in present}
    streams = classifier.eval()(features, present, maps=maps)
    assert list(streams) == ["derm", "clinic", "graph"]
    assert torch.equal(streams["clinic"][1][1], streams["graph"][1][1])
    mean = sum(streams[name][0] for name in streams) / 3
    torch.testing.assert_close(classifier.decide(streams)[0], mean.softmax(dim=-1))


def test_metadata_beside_images_is_a_map_of_one_place_and_alone_is_refused():
    built = ClassifierInputs({"derm": 16, "meta": 5}, LABELS, maps={"derm": MAPS, "meta": []})
    classifier = GIIN(built).eval()
    present = dict.fromkeys(built.widths, torch.ones(2, dtype=torch.bool))
    features = {"derm": torch.randn(2, 16), "meta": torch.randn(2, 5)}
    maps = {"derm": [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)], "meta": []}
    assert classifier(features, present, maps=maps)["meta"][0].shape == (2, 3)
    with pytest.raises(VariantError, match="giin needs feature maps, which the backbone of meta c"):
        GIIN(ClassifierInputs({"meta": 5}, LABELS, maps={"meta": []}))
