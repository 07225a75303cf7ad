"""What stands in for an absent modality: by hand, against plain linear algebra, and in training."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from sm3kit.evaluation.missing.filling import (
    Filling,
    LinearFilling,
    TokenFilling,
    filled_joint,
    hide_some,
    new_filling,
    sources_of,
)
from sm3kit.evaluation.missing.fitting import FOLDS, PENALTIES, fit_filling, ridge
from sm3kit.evaluation.settings import Settings
from sm3kit.fusions.none import NoFusion
from sm3kit.metrics.folds import group_folds

WIDTHS = {"a": 2, "b": 3}
THREE = {"a": 2, "b": 3, "c": 1}


def drawn(widths, count=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: torch.tensor(rng.normal(size=(count, width)), dtype=torch.float32)
        for name, width in widths.items()
    }


def there(**masks):
    return {name: torch.tensor(mask, dtype=torch.bool) for name, mask in masks.items()}


def everywhere(widths, count):
    return {name: torch.ones(count, dtype=torch.bool) for name in widths}


def fitted(rule, features, present):
    groups = torch.arange(len(next(iter(present.values()))))
    widths = {name: rows.shape[1] for name, rows in features.items()}
    return fit_filling(Settings(missing=rule, seed=0), widths, features, present, groups)


@pytest.mark.parametrize("rule", ["zeros", "mean", "token", "complete"])
def test_what_is_there_stays_as_it_is(rule):
    features, present = drawn(THREE), everywhere(THREE, 12)
    filling = fitted(rule, features, present) if rule in ("mean", "complete") else None
    filling = filling or new_filling(rule, THREE)
    join = NoFusion(THREE).joint
    assert torch.equal(filled_joint(join, filling, features, present), join(features, present))


def test_zeros_are_what_the_fusion_gives():
    features, present = drawn(WIDTHS, 2), there(a=[1, 0], b=[1, 1])
    join = NoFusion(WIDTHS).joint
    plain = filled_joint(join, None, features, present)
    assert plain[1].tolist() == [0, 0, *features["b"][1].tolist()]
    assert torch.equal(filled_joint(join, Filling(WIDTHS), features, present), plain)


def test_the_mean_by_hand():
    """Of the studies that have the modality; what stands in its place elsewhere does not count."""
    features = {
        "a": torch.tensor([[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]),
        "b": torch.tensor([[0.0, 0, 3], [9, 9, 9], [1, 2, 5]]),
    }
    filling = fitted("mean", features, there(a=[1, 1, 0], b=[1, 0, 1]))
    filled, present = filling(features, there(a=[0, 1, 0], b=[1, 0, 0]))
    assert filled["a"].tolist() == [[2, 4], [3, 6], [2, 4]]
    assert filled["b"].tolist() == [[0, 0, 3], [0.5, 1, 4], [0.5, 1, 4]]
    assert all(mask.all() for mask in present.values())


def test_a_ridge_is_that_of_the_normal_equations():
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(3, [1, 2, 4, 8], (30, 4)), rng.normal(size=(30, 2))
    weight, bias = ridge(inputs, targets, np.arange(30), 0, [7.0])
    mean, scale = inputs.mean(0), inputs.std(0)
    standard = (inputs - mean) / scale
    own = np.linalg.solve(
        standard.T @ standard + 7 * np.eye(4), standard.T @ (targets - targets.mean(0))
    )
    assert inputs @ weight + bias == pytest.approx(standard @ own + targets.mean(0))


@pytest.mark.parametrize(("count", "width"), [(61, 7), (41, 90)])
def test_a_ridge_is_that_of_scikit_learn(count, width):
    """Also where there are fewer studies than inputs, and with folds of different sizes."""
    rng = np.random.default_rng(4)
    inputs = rng.normal(2, rng.uniform(0.1, 9, width), (count, width)).astype(np.float32)
    inputs[:, 0] = 0.1  # A constant one.
    targets = inputs @ rng.normal(size=(width, 3)) / 4 + rng.normal(8, 9, (count, 3))
    groups = np.arange(count) // 4
    fold = group_folds(groups, np.zeros(count, np.int64), FOLDS, 0)
    splits = [(np.nonzero(fold != n)[0], np.nonzero(fold == n)[0]) for n in np.unique(fold)]
    assert len({len(held) for _, held in splits}) > 1
    scaler = StandardScaler().fit(inputs.astype(np.float64))
    model = RidgeCV(PENALTIES, scoring="neg_mean_squared_error", cv=splits)
    model.fit(scaler.transform(inputs.astype(np.float64)), targets)
    assert PENALTIES[0] < model.alpha_ < PENALTIES[-1]
    weight, bias = ridge(inputs, targets, groups, 0)
    wanted = model.predict(scaler.transform(inputs.astype(np.float64)))
    assert inputs.astype(np.float64) @ weight + bias == pytest.approx(wanted, abs=1e-9)
    assert weight == pytest.approx(model.coef_.T / scaler.scale_[:, None], abs=1e-9)


@pytest.mark.parametrize(("noise", "penalty"), [(0.0, 1e-9), (5.0, 1e6)])
def test_the_penalty_is_chosen_by_what_it_predicts(noise, penalty):
    """A linear relation wants none, and noise alone as much as there is."""
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(60, 3))
    relation = np.arange(6.0).reshape(3, 2) * (noise == 0)
    targets = inputs @ relation + rng.normal(0, noise + 1e-12, (60, 2))
    both = [ridge(inputs, targets, np.arange(60), 0, own) for own in ([1e-9, 1e6], [penalty])]
    assert both[0][0] == pytest.approx(both[1][0])


def test_a_patient_is_never_on_both_sides():
    """Of pairs of equal studies, one would tell the other's noise: 1e-9 would win among equals."""
    rng = np.random.default_rng(3)
    inputs, targets = rng.normal(size=(20, 15)), rng.normal(size=(20, 1))
    twice = np.repeat(inputs, 2, axis=0), np.repeat(targets, 2, axis=0)
    (grouped, _), (apart, _) = (
        ridge(*twice, groups, 0, [1e-9, 1e6])
        for groups in (np.repeat(np.arange(20), 2), np.arange(40))
    )
    assert np.abs(grouped).max() < 1e-3 < np.abs(apart).max()


def test_complete_recovers_a_planted_relation():
    """b is linear in a, and half of the studies lack it."""
    features = drawn({"a": 2}, 80)
    features["b"] = features["a"] @ torch.tensor([[1.0, 0, 2], [0, -3, 1]]) + 5
    absent = {**features, "b": features["b"].clone()}
    absent["b"][::2] = 0
    half = {"a": torch.ones(80, dtype=torch.bool), "b": torch.arange(80) % 2 == 1}
    filled, _ = fitted("complete", absent, half)(absent, half)
    assert torch.allclose(filled["b"], features["b"], atol=0.02)  # The least penalty is 0.1.
    assert torch.equal(filled["b"][1::2], features["b"][1::2])


def test_three_modalities_have_an_estimate_for_what_is_there():
    """c is a1 + b1; from a alone it is a1, as b is independent of it."""
    features = drawn({"a": 1, "b": 1}, 4000)
    features["c"] = features["a"] + features["b"]
    filling = fitted("complete", features, everywhere(features, 4000))
    case = {"a": torch.tensor([[2.0]] * 4), "b": torch.tensor([[1.0]] * 4), "c": torch.zeros(4, 1)}
    present = there(a=[1, 1, 0, 0], b=[1, 0, 1, 0], c=[0, 0, 0, 0])
    filled, _ = filling(case, present)
    assert filled["c"].flatten().tolist() == pytest.approx([3, 2, 1, 0], abs=0.1)
    assert filled["a"].flatten().tolist() == pytest.approx([2, 2, 0, 0], abs=0.1)


def test_every_set_of_the_others_has_an_estimate():
    assert sources_of("b", ["a", "b", "c"], whole=True) == [(), ("a",), ("c",), ("a", "c")]
    assert sources_of("b", ["a", "b", "c"], whole=False) == [()]


def test_what_never_occurs_together_is_filled_with_its_mean():
    features = drawn(WIDTHS, 6)
    apart = there(a=[1, 1, 1, 0, 0, 0], b=[0, 0, 0, 1, 1, 1])
    filled, _ = fitted("complete", features, apart)(features, apart)
    assert torch.allclose(filled["b"][:3], features["b"][3:].mean(dim=0).expand(3, 3))
    nobody = there(a=[1] * 6, b=[0] * 6)
    filled, _ = fitted("complete", features, nobody)(features, nobody)
    assert not filled["b"].any()


def test_gradients_reach_the_token_of_what_is_absent_alone():
    filling = TokenFilling(WIDTHS)
    filled, _ = filling(drawn(WIDTHS, 2), there(a=[1, 1], b=[1, 0]))
    (filled["a"].sum() + filled["b"].sum()).backward()
    grads = {name: parameter.grad.tolist() for name, parameter in filling.named_parameters()}
    assert grads == {"tokens.a.vector": [0, 0], "tokens.b.vector": [1, 1, 1]}


def test_no_gradient_reaches_what_is_fitted():
    filling = LinearFilling(WIDTHS)
    assert not list(filling.parameters())
    assert set(filling.state_dict()) == {
        f"estimates.{name}.{place}.{part}"
        for name in "ab"
        for place in "01"
        for part in ("weight", "bias")
    }


def test_a_share_is_hidden_and_nobody_loses_all():
    torch.manual_seed(0)
    present = there(a=[1] * 4000, b=[1] * 2000 + [0] * 2000)
    seen = hide_some(present, 0.25)
    assert all((seen[name] <= present[name]).all() for name in present)
    assert torch.stack(list(seen.values())).any(dim=0).all()
    # Of two, each is hidden with 0.25, but for the sixteenth where both would be.
    assert float(seen["a"][:2000].float().mean()) == pytest.approx(0.75 + 0.0625, abs=0.03)
    assert seen["a"][2000:].all()


def test_nothing_is_hidden_outside_of_training():
    filling, features = Filling(WIDTHS, 0.9), drawn(WIDTHS)
    present = everywhere(WIDTHS, 12)
    assert not all(mask.all() for mask in filling.train()(features, present)[1].values())
    assert all(mask.all() for mask in filling.eval()(features, present)[1].values())


def test_a_copy_fills_alike():
    features = drawn(WIDTHS)
    present = there(a=[1] * 12, b=[0, 1] * 6)
    filling = fitted("complete", features, present)
    again = new_filling("complete", WIDTHS)
    again.load_state_dict(copy.deepcopy(filling.state_dict()))
    first, second = filling(features, present), again(features, present)
    assert all(torch.equal(first[0][name], second[0][name]) for name in WIDTHS)
