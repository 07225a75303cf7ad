"""Evaluation."""

import dataclasses

import pytest
import torch
from differences_page import EVALUATION, ROWS, row, sentence
from row_settings import COLUMNS, EVERY, recipe
from tiny_networks import same_weights, width_of_the_joint_feature
from tiny_pictures import photo
from tiny_run import settings
from torch import nn

from sm3kit.datasets import derm7pt
from sm3kit.evaluation.evaluate import head_of
from sm3kit.evaluation.matching import match
from sm3kit.evaluation.selection import chooser
from sm3kit.evaluation.settings import DEFAULTS, settings_of
from sm3kit.losses.ce import CrossEntropy
from sm3kit.networks.joint_batches import EncodedJoint
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.monitors import partner_ranks
from sm3kit.relations.tel import TEL
from sm3kit.training.label_cost import LabelCost
from sm3kit.training.supervised import Supervised


@row(EVALUATION, "Choice of the epoch", "best mean AUC on the *validation* split")
def test_the_choice_of_the_epoch(subject):
    measured = subject.cases("test", labelled=True)
    assert chooser(subject, settings(), measured) == subject.cases("val", labelled=True)
    assert chooser(subject, settings(select="test_best"), measured) == measured
    assert chooser(subject, settings(select="last"), measured) is None
    ways = ("val_best", "test_best", "last")
    assert [head_of(subject, settings(select=way))["leaky"] for way in ways] == [False, True, False]
    network, scores = nn.Linear(1, 1), iter([0.6, 0.9, 0.7])
    module = Supervised(
        network,
        LabelCost("ce", CrossEntropy(), {}, torch.empty(0, 0, dtype=torch.long)),
        list(network.parameters()),
        settings(),
        subject.variant,
        1,
        lambda _: next(scores),
    )
    for epoch in range(3):
        module.first_epoch = epoch
        nn.init.constant_(network.weight, epoch)
        module.look()
    assert (module.select(), network.weight.item()) == (2, 1)


@row(EVALUATION, "Epochs of the probe after stage 2", "50")
def test_epochs_of_the_probe_after_stage_2(subject, taught):
    assert taught(subject, settings("sm3")).module.epochs == 50
    assert taught(subject, settings("release")).module.epochs == 100


@row(EVALUATION, "Views of a probe", "3 per study and modality, encoded once")
def test_views_of_a_probe(subject, after_stage_1, taught):
    for one, after in ((subject, True), (after_stage_1, False)):
        source = taught(one, settings("sm3", after=after)).loader.source
        assert [len(views) for views in source.features.views.values()] == [3, 3]
        for name in ("release", "paper"):
            source = taught(one, settings(name, after=after)).loader.source
            assert isinstance(source, EncodedJoint)


@row(EVALUATION, "Weight decay", "0.05")
def test_weight_decay_of_an_evaluation_reaches_the_optimiser(subject, taught):
    for cell, name in COLUMNS.items():
        (group,) = taught(subject, settings(name)).module.configure_optimizers().param_groups
        assert group["weight_decay"] == float(ROWS[EVALUATION, "Weight decay"][cell])


@row(EVALUATION, "Fine-tuning after stage 2", "all layers")
def test_what_learns_in_fine_tuning_after_stage_2(subject, taught):
    module = taught(subject, settings("sm3", "finetune")).module
    assert same_weights(module.learning, module.network.parameters())
    module = taught(subject, settings("release", "finetune")).module
    stems = [one.stem() for one in module.network.extractor.backbones.values()]
    assert [bool(stem) for stem in stems] == [True, True]
    everything = {id(one) for one in module.network.parameters()}
    frozen = {id(one) for stem in stems for one in stem}
    assert {id(one) for one in module.learning} == everything - frozen


@row(EVALUATION, "Fine-tuning of Baseline-50-ImageNet", "all layers")
def test_what_learns_in_the_fine_tuning_of_the_baseline(after_stage_1, taught):
    for names in (["baseline-50"], ["release", "baseline-50"], ["paper", "baseline-50"]):
        chosen = settings_of(recipe(*names), None, {}, relation=False)
        assert chosen.protocol == "finetune"
        module = taught(after_stage_1, chosen).module
        assert same_weights(module.learning, module.network.parameters())


@row(EVALUATION, "AdamW's eps in that fine-tuning", "1e-8")
def test_eps_in_the_fine_tuning_of_the_baseline(after_stage_1, taught):
    for names, eps in ((["baseline-50"], 1e-8), (["release", "baseline-50"], 1e-5)):
        chosen = settings_of(recipe(*names), None, {}, relation=False)
        (group,) = taught(after_stage_1, chosen).module.configure_optimizers().param_groups
        assert group["eps"] == eps


@row(EVALUATION, "Initial heads after stage 2", "the prototypes")
@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_heads_start_as_the_prototypes(subject, taught, protocol):
    for changes, wanted in (({}, True), ({"prototypes": "false"}, False)):
        network = taught(subject, settings("sm3", protocol, **changes)).module.network
        pairs = zip(network.classifier.heads.heads, subject.prototypes, strict=True)
        assert {torch.equal(head.weight.cpu(), one) for head, one in pairs} == {wanted}


@row(
    EVALUATION,
    "Precision of a probe after stage 1",
    "networks like in pre-training, heads in float32",
)
def test_precision_of_a_probe_after_stage_1(after_stage_1, taught):
    found = taught(after_stage_1, settings("sm3", after=False))
    assert (found.encoder.precision, found.precision) == ("bf16-mixed", "32-true")
    found = taught(after_stage_1, settings("sm3", after=False, precision="32"))
    assert (found.encoder.precision, found.precision) == ("32-true", "32-true")


@row(EVALUATION, "Precision after stage 2, and of fine-tuning", "as in pre-training")
def test_precision_after_stage_2_and_of_fine_tuning(subject, after_stage_1, taught):
    for name, wanted in (("sm3", "bf16-mixed"), ("release", "32-true")):
        assert taught(subject, settings(name)).encoder.precision == wanted
        for one, after in ((subject, True), (after_stage_1, False)):
            assert taught(one, settings(name, "finetune", after)).precision == wanted


@row(
    EVALUATION,
    "Pair matching: features, direction, first rank",
    "both spaces, both directions, ranks from 1",
)
def test_pair_matching(subject):
    found = match(subject, settings("sm3", "match", split="train"))["space"]
    assert {space: list(ways) for space, ways in found.items()} == {
        "backbone": ["derm->clinic", "clinic->derm"],
        "projection": ["derm->clinic", "clinic->derm"],
    }
    assert partner_ranks(torch.eye(3), torch.eye(3))[0].tolist() == [1, 1, 1]


@row(
    EVALUATION,
    "Images shared by several studies in pair matching",
    "reported with and without them",
)
def test_shared_pictures_are_left_out_once_more(subject):
    first, other, *rest = subject.cases("train", labelled=False)
    shared = {**other.images, "clinic": first.images["clinic"]}
    cases = [first, dataclasses.replace(other, images=shared), *rest]
    pool = dataclasses.replace(subject.pool, cases={**subject.pool.cases, "train": cases})
    chosen = settings("sm3", "match", split="train")
    found = match(dataclasses.replace(subject, pool=pool), chosen)
    without = found["without_duplicates"]
    assert without["left_out"] == 1
    pairs = [one["space"]["backbone"]["derm->clinic"]["n"] for one in (found, without)]
    assert pairs == [len(cases), len(cases) - 1]
    assert "without_duplicates" not in match(subject, chosen)


@sentence(
    EVALUATION,
    "After stage 1 it trains eight linear heads",
    "After stage 2 it also trains the label projections and the Transformer layer: about 180 times",
)
def test_what_a_probe_trains(subject, after_stage_1, taught):
    network = (found := taught(after_stage_1, settings(after=False)).module).network
    assert same_weights(found.learning, network.parameters())
    layers = [one for one in network.modules() if not list(one.children())]
    assert [type(one) for one in layers] == [nn.Linear] * 8
    network = (found := taught(subject, settings()).module).network
    assert same_weights(found.learning, network.parameters())
    assert isinstance(network.classifier.embedding.relation, TEL)
    # With the widths of the default.
    joint = width_of_the_joint_feature()
    classes = [len(one.classes) for one in derm7pt.GROUPINGS.values()]
    with torch.device("meta"):
        heads = LabelHeads(joint, classes)
        both = nn.ModuleList([TEL(joint, 8), LabelHeads(512, classes)])
    few, many = (sum(one.numel() for one in part.parameters()) for part in (heads, both))
    assert round(many / few, -1) == 180


@sentence(EVALUATION, "`--scope heads` keeps **the relation frozen**, in eval mode")
def test_scope_heads_trains_heads_alone(subject, taught):
    chosen = settings(scope="heads")
    plain = settings(after=False)
    assert dataclasses.replace(chosen, scope=plain.scope) == plain
    found = taught(subject, chosen)
    classifier = found.module.network.classifier
    assert same_weights(found.module.learning, classifier.heads.parameters())
    assert not any(one.requires_grad for one in classifier.embedding.parameters())
    modes = {mode for name, mode in found.modes.items() if "embedding" in name}
    assert modes == {False}
    assert classifier.heads.heads[0].in_features == classifier.embedding.relation.embedding


def share_of_crops(chosen):
    """The least share of the picture in a crop of an evaluation."""
    return photo("sm3", **chosen.views).chances.crop_scale[0]


@sentence(
    EVALUATION,
    "AdamW with a rate of 1e-3, weight decay 0.05 and batches of 128; after stage 1, eps "
    "1e-5 and crops of at least half of the image; after stage 2, eps 1e-8 and crops of "
    "at least 0.3 of it",
    "Fine-tuning uses a rate of 1e-4 and batches of 64, as in the paper, eps 1e-8, and "
    "crops of at least half of the image, or 0.3 of it after stage 2",
)
def test_settings_of_the_evaluations():
    wanted = {
        ("probe", False): (1e-3, 0.05, 128, 1e-5, 0.5),
        ("probe", True): (1e-3, 0.05, 128, 1e-8, 0.3),
        ("finetune", False): (1e-4, 0.05, 64, 1e-8, 0.5),
        ("finetune", True): (1e-4, 0.05, 64, 1e-8, 0.3),
    }
    for (protocol, after), numbers in wanted.items():
        found = settings("sm3", protocol, after)
        options = (found.lr, found.weight_decay, found.batch_size, found.eps)
        assert (*options, share_of_crops(found)) == numbers


@sentence(
    EVALUATION,
    "The recipe `paper` changes two things: probes use new views in every epoch, and the "
    "weight decay of both is 0.01",
)
@pytest.mark.parametrize(("protocol", "after"), EVERY)
def test_what_the_recipe_paper_changes_in_an_evaluation(protocol, after):
    one, other = (dataclasses.asdict(settings(name, protocol, after)) for name in ("sm3", "paper"))
    changed = {name: other[name] for name in one if one[name] != other[name]}
    views = {"feature_views": 0} if protocol == "probe" else {}
    assert changed == {"weight_decay": 0.01, **views}
    assert set(recipe("paper").evaluate) <= set(DEFAULTS)
