"""SSD-KD against its formulas: the terms, their weights, and what is left out."""

import pytest
import torch
from torch.nn import functional as F

from sm3kit.core.errors import OptionError
from sm3kit.nn.map_shape import MapShape
from sm3kit.objectives.base import Teaching
from sm3kit.objectives.ssd_kd import SSDKD

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
ROWS, WIDTH, VIEWS = 5, 6, 4
TEACHING = Teaching(4, {"mole": [3, 1], "colour": [2, 1, 1]}, (MapShape(3, 8), MapShape(2, 8)))
PUBLISHED = {
    "ce": 0.1,
    "kd": 0.9,
    "kd_views": 2.7,
    "ss": 10.0,
    "ss_teacher": 1.0,
    "rkd_dist": 25.0,
    "rkd_angle": 50.0,
    "gram": 1000.0,
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def features():
    return [torch.randn(ROWS, WIDTH) for _ in range(VIEWS)]


def told(teaching=TEACHING):
    return teaching.made_up(ROWS, VIEWS)


def test_the_terms_have_the_published_weights():
    views, lesson = features(), told()
    objective = SSDKD(WIDTH, TEACHING).eval()
    terms = objective(views, **lesson)
    assert objective.weights == PUBLISHED
    assert list(terms) == list(PUBLISHED)
    torch.manual_seed(1)
    plain = SSDKD(WIDTH, TEACHING, **{n: 1.0 for n in PUBLISHED if n != "ss_teacher"}).eval()
    plain.load_state_dict(objective.state_dict())
    for name, value in plain(views, **lesson).items():
        torch.testing.assert_close(terms[name], PUBLISHED[name] * value, **CLOSE)


def test_labels_and_logits_teach_upright_and_turned_views():
    views, lesson = features(), told()
    objective = SSDKD(WIDTH, TEACHING, ce=1, kd=1, kd_views=1)
    terms = objective(views, **lesson)
    wanted = {"ce": [], "kd": [], "kd_views": []}
    for label, counts in enumerate(TEACHING.counts.values()):
        own = [objective.heads(view)[label] for view in views]
        others = [rows[label] for rows in lesson["target_logits"]]
        weights = sum(counts) / torch.tensor(counts, dtype=torch.float32)
        labels = lesson["labels"][:, label]
        wanted["ce"].append(F.cross_entropy(own[0], labels, weight=weights, ignore_index=-1))
        divergence = [
            16 * F.kl_div((a / 4).log_softmax(1), (b / 4).softmax(1), reduction="batchmean")
            for a, b in zip(own, others, strict=True)
        ]
        wanted["kd"].append(divergence[0])
        wanted["kd_views"].append(sum(divergence[1:]) / 3)
    for name, values in wanted.items():
        torch.testing.assert_close(terms[name], sum(values) / 2, **CLOSE)


def test_matching_of_two_images():
    """Two images and one turned view of each; the teacher takes the second one for the first."""
    teaching = Teaching(2, {}, None)
    objective = SSDKD(2, teaching, ss=1.0, ss_keep=0.0, rkd_dist=0, rkd_angle=0)
    objective.matcher = objective.target_matcher = torch.nn.Identity()
    upright = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    student = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    terms = objective([upright, student], [upright, teacher])
    # The first row alone is learned: cosines 0.6 and 0.8, the teacher's 1 and 0, T = 0.5.
    wanted = torch.tensor([2.0, 0.0]).softmax(0)
    own = torch.tensor([1.2, 1.6]).log_softmax(0)
    divergence = 0.25 * (wanted * (wanted.log() - own)).sum()
    torch.testing.assert_close(terms["ss"], divergence, rtol=0, atol=1e-6)
    matched = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).log_softmax(1)
    torch.testing.assert_close(terms["ss_teacher"], -(matched[0, 0] + matched[1, 1]) / 2)
    both = SSDKD(2, teaching, ss=1.0, ss_keep=1.0, rkd_dist=0, rkd_angle=0)
    both.matcher = both.target_matcher = torch.nn.Identity()
    second = torch.tensor([0.0, 2.0]).log_softmax(0)
    more = 0.25 * (wanted * (wanted.log() - second)).sum()
    found = both([upright, student], [upright, teacher])["ss"]
    torch.testing.assert_close(found, (divergence + more) / 2, rtol=0, atol=1e-6)


def test_no_row_to_learn_from_is_a_zero_with_a_gradient():
    objective = SSDKD(2, Teaching(2, {}, None), ss_keep=0.0)
    objective.matcher = objective.target_matcher = torch.nn.Identity()
    upright, turned = torch.eye(2).requires_grad_(), torch.eye(2).flip(0).requires_grad_()
    terms = objective([upright, turned], [torch.eye(2), torch.eye(2).flip(0)])
    assert terms["ss"].item() == 0
    torch.stack(list(terms.values())).sum().backward()
    assert upright.grad.isfinite().all()


def test_the_heads_of_student_and_teacher_learn_from_their_own_term():
    objective = SSDKD(WIDTH, TEACHING)
    terms = objective(features(), **told())
    terms["ss"].backward(retain_graph=True)
    assert all(weight.grad is None for weight in objective.target_matcher.parameters())
    terms["ss_teacher"].backward()
    assert all(weight.grad is not None for weight in objective.target_matcher.parameters())


def test_relations_are_those_of_all_views():
    views, lesson = features(), told()
    terms = SSDKD(WIDTH, TEACHING, rkd_dist=1)(views, **lesson)
    relative = []
    for rows in (views, lesson["targets"]):
        points = torch.cat(rows)
        distances = torch.cdist(points, points)
        relative.append(distances / distances[distances > 0].mean())
    torch.testing.assert_close(terms["rkd_dist"], F.smooth_l1_loss(*relative), **CLOSE)


def test_without_labels_and_maps_their_terms_are_left_out_and_it_is_said():
    teaching = Teaching(4, {}, None)
    objective = SSDKD(WIDTH, teaching)
    assert list(objective(features(), **told(teaching))) == [
        "ss",
        "ss_teacher",
        "rkd_dist",
        "rkd_angle",
    ]
    assert objective.notes == [
        "ssd_kd leaves out its terms ce, kd and kd_views: no label has two classes among the training studies.",
        "ssd_kd leaves out its term gram: student or teacher has no feature maps.",
    ]
    assert SSDKD(WIDTH, TEACHING).notes == [
        "ssd_kd learns from labels, unlike other pre-training: mole, colour."
    ]


@pytest.mark.parametrize("name", [n for n in PUBLISHED if n != "ss_teacher"])
def test_a_weight_of_zero_leaves_its_term_out(name):
    objective = SSDKD(WIDTH, TEACHING, **{name: 0.0})
    gone = {name, "ss_teacher"} if name == "ss" else {name}
    assert set(objective(features(), **told())) == set(PUBLISHED) - gone


def test_nothing_left_to_learn():
    weights = {name: 0.0 for name in PUBLISHED if name != "ss_teacher"}
    with pytest.raises(OptionError, match="has no term left: all its weights are zero"):
        SSDKD(WIDTH, TEACHING, **weights)
