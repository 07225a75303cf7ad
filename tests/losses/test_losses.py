"""Label losses against numbers worked out by hand, and against other ways to the same value."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from timm.loss import AsymmetricLossMultiLabel
from torch.nn import functional as F

from sm3kit.losses.asymmetric import Asymmetric
from sm3kit.losses.ce import CrossEntropy
from sm3kit.losses.class_balanced import ClassBalanced
from sm3kit.losses.focal import Focal
from sm3kit.losses.logit_adjusted import LogitAdjusted

COUNTS = torch.tensor([300, 60, 5])
LABELS = torch.tensor([0, 2, 1, -1, 0, 1])


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(len(LABELS), 3, generator=generator, dtype=torch.float64)


def near(value, wanted):
    assert (
        abs(float(torch.as_tensor(value).detach()) - float(torch.as_tensor(wanted).detach())) < 1e-6
    )


def test_cross_entropy_is_that_of_scikit_learn(logits):
    known = LABELS >= 0
    wanted = log_loss(LABELS[known], logits[known].softmax(1).numpy(), labels=[0, 1, 2])
    near(CrossEntropy()(logits, LABELS, COUNTS), wanted)


# Class-balanced


def test_effective_number_by_hand():
    """Beta 0.9: 1, 2 and 3 studies are worth 1, 1.9 and 2.71; the weights average 1."""
    inverse = [1 / 1, 1 / 1.9, 1 / 2.71]
    wanted = [3 * value / sum(inverse) for value in inverse]
    weights = ClassBalanced(beta=0.9).weigh(torch.tensor([1, 2, 3]))
    assert np.abs(weights.numpy() - wanted).max() < 1e-12
    near(weights.sum(), 3)


def test_class_balanced_by_hand():
    """Two studies with p = 1/2 of two classes with 1 and 2 studies: mean of weight * log 2."""
    logits, labels = torch.zeros(3, 2), torch.tensor([0, 1, 1])
    first, second = 2 * 1.9 / 2.9, 2 / 2.9
    wanted = math.log(2) * (first + second + second) / 3
    near(ClassBalanced(beta=0.9)(logits, labels, torch.tensor([1, 2])), wanted)


def test_class_balanced_is_between_equal_weights_and_inverse_frequency(logits):
    near(ClassBalanced(beta=0.0)(logits, LABELS, COUNTS), CrossEntropy()(logits, LABELS, COUNTS))
    inverse = (1 / COUNTS.double()) / (1 / COUNTS.double()).mean()
    known = LABELS >= 0
    costs = F.cross_entropy(logits[known], LABELS[known], reduction="none")
    wanted = (inverse[LABELS[known]] * costs).mean()
    near(ClassBalanced(beta=1 - 1e-10)(logits, LABELS, COUNTS), wanted)


def test_a_class_without_studies_weighs_nothing_and_changes_no_other():
    weights = ClassBalanced(beta=0.9).weigh(torch.tensor([1, 0, 2]))
    assert torch.equal(weights[[0, 2]], ClassBalanced(beta=0.9).weigh(torch.tensor([1, 2])))
    assert weights[1] == 0
    assert ClassBalanced().weigh(torch.tensor([0, 0])).tolist() == [0, 0]


# Logit-adjusted


def test_balanced_softmax_by_hand():
    """Equal logits of classes with 3 and 1 studies are probabilities of 3/4 and 1/4 in training."""
    logits, counts = torch.zeros(1, 2), torch.tensor([3, 1])
    near(LogitAdjusted()(logits, torch.tensor([0]), counts), -math.log(3 / 4))
    near(LogitAdjusted()(logits, torch.tensor([1]), counts), -math.log(1 / 4))
    near(LogitAdjusted(tau=0.5)(logits, torch.tensor([1]), counts), math.log(1 + math.sqrt(3)))


def test_balanced_softmax_is_a_softmax_weighted_by_the_counts(logits):
    """Ren et al. write n_c exp(z_c) / sum n exp(z)."""
    known = LABELS >= 0
    shares = COUNTS * logits[known].exp()
    shares = shares / shares.sum(1, keepdim=True)
    wanted = log_loss(LABELS[known], shares.numpy(), labels=[0, 1, 2])
    near(LogitAdjusted()(logits, LABELS, COUNTS), wanted)


def test_without_information_balanced_softmax_learns_equal_logits():
    """Its logits for features that tell nothing are equal; those of the cross-entropy are not."""
    labels = torch.tensor([0] * 9 + [1])
    for loss, odds in ((LogitAdjusted(), 1.0), (CrossEntropy(), 9.0)):
        bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([bias], max_iter=100, line_search_fn="strong_wolfe")

        def cost(bias=bias, loss=loss, optimiser=optimiser):
            optimiser.zero_grad()
            value = loss(bias.expand(10, 2), labels, torch.tensor([9, 1]))
            value.backward()
            return value

        optimiser.step(cost)
        assert abs(float((bias[0] - bias[1]).exp().detach()) - odds) < 1e-3


def test_the_logit_of_a_class_without_studies_is_held_down():
    logits = torch.zeros(1, 3, requires_grad=True)
    LogitAdjusted()(logits, torch.tensor([0]), torch.tensor([7, 3, 0])).backward()
    assert logits.grad[0, 2] > 0
    near(logits.grad[0, 2], 1 / 11)


# Focal


def test_focal_by_hand():
    """p = 0.8 with gamma 2: 0.04 times -log 0.8."""
    logits = torch.tensor([[math.log(4.0), 0.0]], dtype=torch.float64)
    near(Focal()(logits, torch.tensor([0]), COUNTS), -0.04 * math.log(0.8))
    near(Focal(gamma=0.5)(logits, torch.tensor([1]), COUNTS), -math.sqrt(0.8) * math.log(0.2))


def test_focal_without_focus_is_the_cross_entropy(logits):
    near(Focal(gamma=0.0)(logits, LABELS, COUNTS), CrossEntropy()(logits, LABELS, COUNTS))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_gradient(gamma, logits):
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: Focal(gamma=gamma)(z, LABELS, COUNTS), (logits,))


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
@pytest.mark.parametrize(
    "loss",
    [
        Focal(gamma=0.3),
        Focal(),
        Asymmetric(gamma_neg=0.3, gamma_pos=0.3, clip=0.0),
        Asymmetric(gamma_neg=0.3, gamma_pos=0.3),
        Asymmetric(),
    ],
    ids=repr,
)
def test_certainty_is_finite(loss, scale):
    """Right and wrong beyond doubt, where probabilities round to 0 and 1."""
    logits = (scale * torch.eye(2)[[0, 0, 1]]).requires_grad_()
    value = loss(logits, torch.tensor([0, 1, 1]), COUNTS)
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad.isfinite().all()


# Asymmetric


def test_asymmetric_by_hand():
    """p = 0.8 for the right class, 0.25 for a wrong one, and 0.05 for one that is clipped."""
    logits = torch.tensor([[0.8, 0.25, 0.05]], dtype=torch.float64).logit()
    right, wrong = 0.2 * math.log(0.8), 0.2**4 * math.log(0.8)
    near(Asymmetric()(logits, torch.tensor([0]), COUNTS), -(right + wrong))


@pytest.mark.parametrize("options", [(4, 1, 0.05), (4, 0, 0.05), (2, 2, 0), (0, 0, 0.3)])
def test_asymmetric_is_that_of_timm(options, logits):
    known = LABELS >= 0
    theirs = AsymmetricLossMultiLabel(*options, eps=1e-12)
    targets = F.one_hot(LABELS[known], 3)
    logits.requires_grad_()
    # Study by study: whether it sums or averages over a batch depends on the version.
    rows = zip(logits[known].split(1), targets.split(1), strict=True)
    wanted = torch.stack([theirs(row, target) for row, target in rows]).mean()
    (slope,) = torch.autograd.grad(wanted, logits)
    value = Asymmetric(**dict(zip(("gamma_neg", "gamma_pos", "clip"), options, strict=True)))(
        logits, LABELS, COUNTS
    )
    near(value, wanted)
    (own,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(own, slope, rtol=0, atol=1e-6)


def test_asymmetric_without_asymmetry_is_the_binary_cross_entropy(logits):
    known = LABELS >= 0
    target = F.one_hot(LABELS[known], 3).double()
    wanted = F.binary_cross_entropy_with_logits(logits[known], target) * 3
    near(Asymmetric(gamma_neg=0, gamma_pos=0, clip=0)(logits, LABELS, COUNTS), wanted)


# What they are for


def fitted(loss, rows, classes):
    """A linear head, trained to the end."""
    head, counts = torch.nn.Linear(rows.shape[1], 2).double(), torch.bincount(classes)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=50)

    def cost():
        optimiser.zero_grad()
        value = loss(head(rows), classes, counts)
        value.backward()
        return value

    optimiser.step(cost)
    return head


def test_a_rare_class_is_called_and_ranked_as_well():
    """5 % prevalence: twice the sensitivity of the cross-entropy, and the same AUC."""
    rng, label = np.random.default_rng(0), np.arange(4000) % 20 == 0
    rows = torch.from_numpy(rng.normal(size=(4000, 4)) + 0.8 * label[:, None])
    classes, truth = torch.from_numpy(label).long(), label[2000:]
    reached = []
    for loss in (CrossEntropy(), LogitAdjusted()):
        head = fitted(loss, rows[:2000], classes[:2000])
        scores = head(rows[2000:]).softmax(1)[:, 1].detach().numpy()
        reached.append(((scores > 0.5)[truth].mean(), roc_auc_score(truth, scores)))
    (plain, auc), (adjusted, auc_adjusted) = reached
    assert adjusted >= 2 * plain > 0
    assert abs(auc - auc_adjusted) < 0.01
