"""Where sm3kit differs from both: modalities and labels that are missing."""

import numpy as np
import torch
from differences_page import BOTH, row
from small_networks import EXACT, Plain, Small, contrast
from tiny_networks import COUNT, MODALITIES, WIDTH, batch, streams, table, training
from torch.nn import functional as F

from sm3kit.fusions.concat import Concat
from sm3kit.fusions.none import NoFusion
from sm3kit.fusions.sep_sep import SepSep
from sm3kit.fusions.sep_shared import SepShared
from sm3kit.fusions.sum import Sum
from sm3kit.metrics.per_label import label_metrics
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Features
from sm3kit.networks.joint_batches import CachedJoint
from sm3kit.nn.label_heads import label_loss


@row(
    BOTH,
    "More than two modalities",
    "the mean over all pairs that occur together in a batch; the joint feature holds all",
)
def test_more_than_two_modalities():
    given = {**streams(), "sono": [table(seed=8), table(seed=9)]}
    everywhere = torch.ones(COUNT, dtype=torch.bool)
    objective = training("sm3").parts.crossings["crossmodal"]

    def of(*names):
        return torch.stack(
            [contrast(a, b) for a, b in zip(*(given[name] for name in names), strict=True)]
        ).mean()

    def total(present):
        return torch.stack(list(objective(given, present=present).values())).sum()

    present = dict.fromkeys(given, everywhere)
    pairs = [("derm", "clinic"), ("derm", "sono"), ("clinic", "sono")]
    wanted = torch.stack([of(*pair) for pair in pairs]).mean()
    torch.testing.assert_close(total(present), wanted, **EXACT)
    torch.testing.assert_close(
        total({**present, "sono": ~everywhere}), of("derm", "clinic"), **EXACT
    )
    features = {name: views[0] for name, views in given.items()}
    for fusion in (NoFusion, Concat, Sum, SepSep, SepShared):
        joint = fusion(dict.fromkeys(given, WIDTH)).joint(features, present)
        assert torch.equal(joint, torch.cat(list(features.values()), dim=1))


@row(
    BOTH,
    "A study without one modality, in stage 2 and evaluation",
    "zeros in the joint feature",
)
def test_a_study_without_one_modality_has_zeros():
    given = batch(4)
    given.present["clinic"][1] = False
    for fusion in (NoFusion, Concat, Sum, SepSep, SepShared):
        backbones = {name: Small("any", 3).eval() for name in MODALITIES}
        modalities = dict.fromkeys(MODALITIES, Plain())
        branches = Branches(backbones, fusion(dict.fromkeys(MODALITIES, WIDTH)), modalities, False)
        whole = torch.cat([backbones[name](given.views[name][0]) for name in MODALITIES], dim=1)
        wanted = whole.detach().clone()
        wanted[1, WIDTH:] = 0
        joint = branches.joint(branches.features(given), given.present)
        torch.testing.assert_close(joint.detach(), wanted)
        # Features that were kept count likewise, whatever stands in the place of the missing one.
        kept = {
            name: [rows.numpy()]
            for name, rows in zip(MODALITIES, whole.detach().chunk(2, 1), strict=True)
        }
        features = Features(kept, given.present, given.labels, list("abcd"), given.group)
        source = CachedJoint(features, branches, 0)
        (found,) = source.in_order(0)
        torch.testing.assert_close(found.joint, wanted)
        assert found.count == len(source) == 4


@row(BOTH, "A study without a label", "ignored for that label")
def test_a_study_without_a_label_counts_nowhere():
    logits = [table(5, 3).requires_grad_(), table(5, 2, seed=1).requires_grad_()]
    targets = torch.tensor([[0, 1], [-1, 0], [2, -1], [1, 1], [-1, 0]])
    loss, _ = label_loss(logits, targets)
    terms = []
    for number, rows in enumerate(logits):
        known = targets[:, number] >= 0
        terms.append(F.cross_entropy(rows[known], targets[known, number]))
    torch.testing.assert_close(loss, torch.stack(terms).mean(), **EXACT)
    loss.backward()
    for number, rows in enumerate(logits):
        assert torch.equal(rows.grad.any(dim=1), targets[:, number] >= 0)
    truth = np.array([0, 1, 1, 0, -1, -1])
    scores = np.random.default_rng(0).random((6, 2))
    assert label_metrics(scores, truth, 1) == label_metrics(scores[:4], truth[:4], 1)


@row(BOTH, "Sum with a missing modality", "the others are scaled up")
def test_a_sum_is_scaled_up_where_a_modality_is_missing():
    """One modality alone counts twice, as if the other had the same feature."""
    fusion = Sum(dict.fromkeys(MODALITIES, WIDTH), projection=3).double().eval()
    derm, clinic = table(seed=0), table(seed=1)
    here = torch.ones(COUNT, dtype=torch.bool)
    alone = fusion({"derm": [derm], "clinic": [clinic]}, {"derm": here, "clinic": ~here})
    twice = fusion({"derm": [derm], "clinic": [derm]}, {"derm": here, "clinic": here})
    torch.testing.assert_close(alone["joint"][0], twice["joint"][0], **EXACT)
