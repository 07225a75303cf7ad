"""One classifier per label, and a loss that unknown labels leave alone."""

import math

import pytest
import torch
from torch.nn import functional as F

from sm3kit.nn.label_heads import LabelHeads, label_loss, of_equal_length


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_each_head_sees_its_own_label():
    heads = LabelHeads(6, [5, 3, 2])
    embeddings = gauss(4, 3, 6)
    logits = heads(embeddings)
    assert [rows.shape for rows in logits] == [(4, 5), (4, 3), (4, 2)]
    changed = embeddings.clone()
    changed[:, 1] += 1
    again = heads(changed)
    assert [torch.equal(a, b) for a, b in zip(logits, again, strict=True)] == [True, False, True]


def test_one_feature_serves_all_heads():
    heads = LabelHeads(6, [5, 3])
    feature = gauss(4, 6)
    for one, other in zip(heads(feature), heads(feature[:, None].expand(-1, 2, -1)), strict=True):
        torch.testing.assert_close(one, other)


def test_prototypes_have_no_bias():
    assert [name for name, _ in LabelHeads(6, [5, 3], bias=False).named_parameters()] == [
        "heads.0.weight",
        "heads.1.weight",
    ]
    bias = LabelHeads(6, [5]).heads[0].bias
    assert bias.tolist() == [0] * 5


@pytest.mark.parametrize("shape", [(7, 9), (4, 3, 9)])
def test_embeddings_are_brought_to_the_length_of_a_layer_norm(shape):
    rows = 5 * gauss(*shape)
    brought = of_equal_length(rows, normed=False)
    torch.testing.assert_close(brought.norm(dim=-1), torch.full(shape[:-1], 3.0))
    torch.testing.assert_close(F.normalize(brought, dim=-1), F.normalize(rows, dim=-1))
    torch.testing.assert_close(of_equal_length(7 * rows, normed=False), brought)
    # What a layer norm gives is about as long already, and stays as it is.
    normed = F.layer_norm(rows, rows.shape[-1:])
    assert of_equal_length(normed, normed=True) is normed
    torch.testing.assert_close(normed.norm(dim=-1), torch.full(shape[:-1], 3.0), rtol=1e-4, atol=0)


def test_an_embedding_of_zeros_stays_finite():
    assert of_equal_length(torch.zeros(2, 4), normed=False).tolist() == [[0] * 4] * 2


def test_the_loss_by_hand():
    """Two classes: even logits cost log 2; logits log 3 and 0 cost log 4/3 or log 4."""
    logits = [torch.zeros(2, 2), torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])]
    targets = torch.tensor([[0, 0], [1, 1]])
    second = (math.log(4 / 3) + math.log(4)) / 2
    mean, terms = label_loss(logits, targets)
    assert [float(term) for term in terms] == pytest.approx([math.log(2), second])
    assert float(mean) == pytest.approx((math.log(2) + second) / 2)
    assert float(label_loss(logits, targets, "sum")[0]) == pytest.approx(math.log(2) + second)


def test_a_sum_is_as_many_means_as_there_are_labels():
    logits = [gauss(5, count, seed=count) for count in (4, 3, 2)]
    targets = torch.tensor([[3, 2, 1], [0, 0, 0], [1, -1, 1], [-1, 2, 0], [2, 1, -1]])
    mean, _ = label_loss(logits, targets, "mean")
    torch.testing.assert_close(label_loss(logits, targets, "sum")[0], 3 * mean)


def test_the_order_of_labels_and_of_rows_does_not_matter():
    logits = [gauss(5, count, seed=count) for count in (4, 3, 2)]
    targets = torch.tensor([[3, 2, 1], [0, 0, 0], [1, -1, 1], [-1, 2, 0], [2, 1, -1]])
    loss, terms = label_loss(logits, targets)
    turned, others = label_loss(logits[::-1], targets.flip(1))
    torch.testing.assert_close(turned, loss)
    torch.testing.assert_close(torch.stack(others).flip(0), torch.stack(terms))
    rows = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(label_loss([one[rows] for one in logits], targets[rows])[0], loss)


def test_rows_of_unknown_labels_do_not_count():
    rows = gauss(4, 3).requires_grad_()
    _, (term,) = label_loss([rows], torch.tensor([[2], [-1], [0], [-1]]))
    torch.testing.assert_close(term, F.cross_entropy(rows[[0, 2]], torch.tensor([2, 0])))
    term.backward()
    assert rows.grad[[1, 3]].abs().max() == 0
    assert rows.grad[[0, 2]].abs().min() > 0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_label_that_nobody_knows_costs_nothing(reduction):
    known, unknown = gauss(3, 2).requires_grad_(), gauss(3, 4).requires_grad_()
    loss, terms = label_loss([known, unknown], torch.tensor([[0, -1], [1, -1], [1, -1]]), reduction)
    assert float(terms[1].detach()) == 0
    assert loss.isfinite()
    loss.backward()
    assert unknown.grad.tolist() == [[0] * 4] * 3
    assert known.grad.abs().min() > 0
    nothing, _ = label_loss([unknown], torch.full((3, 1), -1), reduction)
    assert float(nothing.detach()) == 0
    assert nothing.requires_grad


def test_half_precision_logits_are_compared_in_full():
    rows = gauss(6, 3)
    targets = torch.tensor([[0], [1], [2], [0], [1], [2]])
    half, _ = label_loss([rows.half()], targets)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, label_loss([rows.half().float()], targets)[0])


def test_weights_say_how_much_a_target_counts():
    """By hand, one label and two classes: costs log 2 and log(1 + 1/e) of weights 1 and 1/4."""
    logits = [torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]], requires_grad=True)]
    targets, weights = torch.tensor([[0], [0], [-1]]), torch.tensor([[1.0], [0.25], [1.0]])
    loss, _ = label_loss(logits, targets, weights=weights)
    by_hand = (math.log(2) + 0.25 * math.log(1 + math.exp(-1))) / 1.25
    assert float(loss.detach()) == pytest.approx(by_hand, rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[2].tolist() == [0, 0]


def test_equal_weights_change_nothing():
    logits, targets = [gauss(6, 3), gauss(6, 2, seed=1)], torch.randint(-1, 2, (6, 2))
    for reduction in ("mean", "sum"):
        plain, terms = label_loss(logits, targets, reduction)
        weighted, others = label_loss(logits, targets, reduction, torch.full((6, 2), 0.3))
        torch.testing.assert_close(weighted, plain)
        torch.testing.assert_close(others, terms)


def test_without_any_weight_the_loss_is_zero_and_has_a_gradient():
    rows = gauss(4, 3).requires_grad_()
    loss, _ = label_loss([rows], torch.zeros(4, 1, dtype=torch.long), weights=torch.zeros(4, 1))
    assert float(loss.detach()) == 0
    assert torch.autograd.grad(loss, rows)[0].abs().max() == 0


def test_soft_targets_by_hand():
    """Logits log 3 and 0 cost log 4/3 or log 4; a target of 3/4 and 1/4 mixes both."""
    logits = [torch.tensor([[math.log(3), 0.0]])]
    loss, _ = label_loss(logits, torch.tensor([[-1]]), soft=[torch.tensor([[0.75, 0.25]])])
    by_hand = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert float(loss) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_soft_targets_are_those_of_torch(reduction):
    logits, soft = [gauss(6, 3), gauss(6, 4, seed=1)], gauss(6, 3, seed=2).softmax(1)
    targets = torch.tensor([[0, 3], [1, -1], [2, 0], [0, 1], [1, 2], [-1, 3]])
    whole, (first, second) = label_loss(logits, targets, reduction, soft=[soft, None])
    torch.testing.assert_close(first, F.cross_entropy(logits[0], soft))
    torch.testing.assert_close(second, label_loss([logits[1]], targets[:, 1:])[1][0])
    expected = first + second if reduction == "sum" else (first + second) / 2
    torch.testing.assert_close(whole, expected)


def test_hard_targets_as_soft_ones_and_rows_that_count_less():
    logits = gauss(5, 3).requires_grad_()
    targets = torch.tensor([[0], [2], [1], [-1], [2]])
    weights = torch.tensor([[1.0], [0.5], [0.25], [1.0], [0.0]])
    soft = F.one_hot(targets[:, 0].clamp(min=0), 3) * (weights * (targets >= 0))
    hard, _ = label_loss([logits], targets, weights=weights)
    mixed, _ = label_loss([logits], targets, weights=weights, soft=[soft])
    torch.testing.assert_close(mixed, hard)
    nothing, _ = label_loss([logits], targets, soft=[torch.zeros(5, 3)])
    assert float(nothing.detach()) == 0
    assert nothing.requires_grad
