"""The objective `distill` against its formulas, a second way, and in a training."""

import itertools

import pytest
import torch
from tiny_runs import altered
from torch.nn import functional as F

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.objectives.base import Teaching
from sm3kit.objectives.distill import Distill
from sm3kit.runs.folder import RunFolder

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
ROWS, WIDTH = 5, 6
TEACHING = Teaching(4, None, None)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def views(width):
    return [torch.randn(ROWS, width) for _ in range(2)]


def test_cosine_by_hand():
    objective = Distill(2, Teaching(2, None, None))
    objective.projection = torch.nn.Identity()
    own = [torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])]
    wanted = [torch.tensor([[1.0, 0.0], [0.0, 1.0]])] * 2
    # Cosines 0.6, 1 and 1, -1.
    torch.testing.assert_close(objective(own, wanted)["loss"], torch.tensor(1 - 1.6 / 4))


def test_cosine_is_half_the_squared_distance_of_unit_vectors():
    objective, own, wanted = Distill(WIDTH, TEACHING), views(WIDTH), views(4)
    layer = objective.projection
    distances = [
        (F.normalize(view @ layer.weight.T + layer.bias) - F.normalize(other)).square().sum(1) / 2
        for view, other in zip(own, wanted, strict=True)
    ]
    loss = objective(own, wanted)["loss"]
    torch.testing.assert_close(loss, torch.stack(distances).mean(), **CLOSE)


def relations(points):
    """Distances of all pairs in units of their mean, and cosines of all angles, in plain loops."""
    rows = range(len(points))
    distance = {(i, j): (points[i] - points[j]).norm() for i in rows for j in rows}
    mean = sum(distance.values()) / (len(points) * (len(points) - 1))
    angle = {}
    for i, j, k in itertools.product(rows, repeat=3):
        first, second = points[j] - points[i], points[k] - points[i]
        length = first.norm() * second.norm()
        angle[i, j, k] = first @ second / length if length else torch.tensor(0.0)
    return torch.stack(list(distance.values())) / mean, torch.stack(list(angle.values()))


def test_relations_of_each_view_have_the_published_weights():
    own, wanted = views(WIDTH), views(4)
    terms = Distill(WIDTH, TEACHING, loss="relational")(own, wanted)
    assert list(terms) == ["distance", "angle"]
    for place, (name, weight) in enumerate({"distance": 25, "angle": 50}.items()):
        parts = [
            F.smooth_l1_loss(relations(view)[place], relations(other)[place])
            for view, other in zip(own, wanted, strict=True)
        ]
        torch.testing.assert_close(terms[name], weight * sum(parts) / 2, **CLOSE)


def test_relations_are_blind_to_rotation_scale_and_shift():
    own = views(4)
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    moved = [3 * view @ turn + 1 for view in own]
    terms = Distill(4, TEACHING, loss="relational")(own, moved)
    assert max(float(term) for term in terms.values()) < 1e-4


def test_a_weight_of_zero_leaves_its_term_out():
    own, wanted = views(WIDTH), views(4)
    assert list(Distill(WIDTH, TEACHING, loss="relational", angle=0)(own, wanted)) == ["distance"]
    with pytest.raises(OptionError, match="no term left: its weights distance and angle are zero"):
        Distill(WIDTH, TEACHING, loss="relational", distance=0, angle=0)
    assert list(Distill(WIDTH, TEACHING, distance=0, angle=0)(own, wanted)) == ["loss"]


# In a training


def learning_from(teacher, **changes):
    variant = RunFolder(changes.pop("run")).record().variant
    stage1 = {"epochs": 1, "monitor_every": 0, **changes.pop("stage1", {})}
    own = {"teacher": str(teacher), **changes.pop("options", {})}
    options = {**variant.options, "distill": own}
    return altered(
        variant, objective=("distill",), options=options, fusion="none", stage1=stage1, **changes
    )


@pytest.mark.parametrize("loss", ["cosine", "relational"])
def test_a_run_teaches_without_labels_on_all_splits(stage1_run, train, loss):
    """Every split may be learned from, as no label is read, whichever splits there are."""
    chosen = {"splits": ("train", "val", "test"), "options": {"loss": loss}}
    outcome, said = train(learning_from(stage1_run, run=stage1_run, **chosen))
    row = outcome.run.metrics()[-1]
    names = ["loss"] if loss == "cosine" else ["distance", "angle"]
    terms = {
        f"distill/{m}" + ("" if n == "loss" else f"/{n}") for m in ("derm", "clinic") for n in names
    }
    assert {name for name in row if name.startswith("distill/")} == terms
    assert all(float(row[name]) > 0 for name in terms)
    assert "learns from labels" not in said


def test_labels_change_nothing(stage1_run, train, studies):
    """With the labels of other studies it is the same run, bit for bit."""
    models = []
    for name in ("own", "other"):
        flip = {"x": "y", "y": "z", "z": "x"} if name == "other" else {}
        spec = studies(
            name, lambda i, row, flip=flip: {**row, "tone": flip.get(row["tone"], row["tone"])}
        )
        outcome, _ = train(learning_from(stage1_run, run=stage1_run, data=(spec,)), name)
        models.append(outcome.run.model.read_bytes()[-4000:])
    assert models[0] == models[1]


def test_without_a_teacher(stage1_run, train):
    with pytest.raises(VariantError, match="The objective 'distill' learns from a teacher. Give"):
        train(learning_from("", run=stage1_run))
