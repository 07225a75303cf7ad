"""HcCNN: what each stage gets and gives, and what stands for maps that are not there."""

import pytest
import torch

from sm3kit.classifiers.base import ClassifierInputs
from sm3kit.classifiers.hccnn import HcCNN, MultiScaleAttention, resize
from sm3kit.core.errors import VariantError
from sm3kit.nn.map_shape import MapShape

RESNET50 = [(64, 2), (256, 4), (512, 8), (1024, 16), (2048, 32)]
CONVNEXT = [(96, 4), (192, 8), (384, 16), (768, 32)]
EFFICIENTNET = [(16, 2), (24, 4), (40, 8), (112, 16), (320, 32)]
VIT = [(192, 16)] * 12
SIZE = 64


def inputs(widths=None, **ladders):
    return ClassifierInputs(
        widths=widths or {name: ladder[-1][0] for name, ladder in ladders.items()},
        labels={"DIAG": ["a", "b", "c"], "PN": ["x", "y"]},
        maps={name: [MapShape(*shape) for shape in ladder] for name, ladder in ladders.items()},
    )


def batch(built, rows=2, size=SIZE):
    torch.manual_seed(1)
    features = {name: torch.randn(rows, width) for name, width in built.widths.items()}
    present = {name: torch.ones(rows, dtype=torch.bool) for name in built.widths}
    maps = {
        name: [torch.randn(rows, *shape.of_views((3, size, size))) for shape in shapes]
        for name, shapes in built.maps.items()
    }
    return features, present, maps


def stages(classifier, built, size=SIZE):
    """What each stage gets and gives, without the batch."""
    seen = []
    for stage in classifier.hyper.stages:
        stage.register_forward_hook(
            lambda _, given, out: seen.append((tuple(given[0].shape[1:]), tuple(out.shape[1:])))
        )
    features, present, maps = batch(built, size=size)
    with torch.no_grad():
        streams = classifier.eval()(features, present, maps=maps)
    return seen, streams


def test_the_stages_on_two_resnets_are_those_of_the_publication():
    built = inputs(derm=RESNET50, clinic=RESNET50)
    torch.manual_seed(0)
    seen, streams = stages(HcCNN(built), built, size=64)
    assert seen == [
        ((2 * 64, 16, 16), (256, 16, 16)),
        ((2 * 256 + 256, 16, 16), (512, 8, 8)),
        ((2 * 512 + 512, 8, 8), (1024, 4, 4)),
        ((2 * 1024 + 1024, 4, 4), (2048, 2, 2)),
    ]
    assert list(streams) == ["derm", "clinic", "hyper", "final"]
    assert [[tuple(rows.shape) for rows in stream] for stream in streams.values()] == [
        [(2, 3), (2, 2)]
    ] * 4


@pytest.mark.parametrize(
    ("ladder", "wanted"),
    [
        (
            CONVNEXT,
            [((96, 8, 8), (192, 8, 8)), ((384, 8, 8), (384, 4, 4)), ((768, 4, 4), (768, 2, 2))],
        ),
        (
            EFFICIENTNET,
            [
                ((16, 16, 16), (24, 16, 16)),
                ((48, 16, 16), (40, 8, 8)),
                ((80, 8, 8), (112, 4, 4)),
                ((224, 4, 4), (320, 2, 2)),
            ],
        ),
        (VIT, [((192, 4, 4), (192, 4, 4))] + [((384, 4, 4), (192, 4, 4))] * 3),
    ],
)
def test_stages_follow_the_maps_of_any_backbone(ladder, wanted):
    built = inputs(derm=ladder)
    assert stages(HcCNN(built), built)[0] == wanted


def test_levels_counts_the_stages_from_the_last():
    built = inputs(derm=EFFICIENTNET)
    assert stages(HcCNN(built, levels=1), built)[0] == [((112, 2, 2), (320, 2, 2))]


def test_maps_of_other_sizes_and_channels_meet_those_of_the_first():
    built = inputs(derm=CONVNEXT, clinic=EFFICIENTNET)
    features, present, maps = batch(built)
    maps["clinic"] = [resize(table, [5, 7]) for table in maps["clinic"]]
    classifier = HcCNN(built)
    streams = classifier(features, present, maps=maps)
    assert [stage.join[0].in_channels for stage in classifier.hyper.stages] == [
        *(96 + 24, 192 + 40 + 192, 384 + 112 + 384)
    ]
    assert all(rows.isfinite().all() for rows in streams["final"])


def test_metadata_joins_with_its_vector_at_every_place():
    built = inputs(widths={"derm": 768, "meta": 5}, derm=CONVNEXT)
    classifier = HcCNN(built)
    features, present, maps = batch(built)
    tables = classifier._tables(features, present, maps)
    assert [len(table[0]) for table in tables] == [96 + 5, 192 + 5, 384 + 5]
    for table in tables:
        vectors = table[:, -5:]
        assert torch.equal(vectors, features["meta"][:, :, None, None].expand_as(vectors))


def test_no_backbone_with_maps_is_refused_in_one_line():
    for ladders, names in (({}, "derm, meta"), ({"derm": VIT[:1]}, "derm, meta")):
        with pytest.raises(VariantError) as caught:
            HcCNN(inputs(widths={"derm": 8, "meta": 5}, **ladders))
        assert str(caught.value) == (
            "The classifier hccnn needs feature maps of 2 stages, which the backbones of "
            f"{names} cannot give. Use another --classifier, or a run with a --backbone that has "
            "them, such as timm/resnet50."
        )


def test_deep_supervision_and_the_decision_are_weights_of_the_streams():
    classifier = HcCNN(inputs(derm=CONVNEXT, clinic=CONVNEXT))
    assert classifier.stream_weights == {"derm": 0.33, "clinic": 0.33, "hyper": 0.33}
    logits = {name: [torch.randn(4, 3)] for name in ("derm", "clinic", "hyper", "final")}
    assert torch.equal(classifier.decide(logits)[0], logits["final"][0].softmax(dim=-1))
    assert set(HcCNN(inputs(derm=VIT), supervision=0).stream_weights.values()) == {0}


def test_attention_by_hand():
    """Gate and surroundings are made constant: sigmoid(2 - 1) of every value is left."""
    attend = MultiScaleAttention(4).eval()
    with torch.no_grad():
        for weight in attend.parameters():
            weight.zero_()
        attend.channel[2].bias.fill_(2.0)
        attend.surroundings[-1].bias.fill_(-1.0)
    maps = torch.arange(32.0).view(1, 4, 2, 4)
    torch.testing.assert_close(attend(maps), 0.7310585786 * maps)
    with torch.no_grad():  # A gate that lets a channel through by its own mean, 3.5 of the first.
        attend.channel[0].weight.copy_(torch.tensor([1.0, 0, 0, 0]).view(1, 4, 1, 1))
        attend.channel[2].weight.copy_(torch.tensor([0, 1.0, 0, 0]).view(4, 1, 1, 1))
    gate = torch.tensor([1.0, 4.5, 1.0, 1.0]).sigmoid().view(1, 4, 1, 1)
    torch.testing.assert_close(attend(maps), gate * maps)


def test_an_absent_modality_is_a_map_of_zeros_and_its_stream_repeats_the_decision():
    built = inputs(derm=CONVNEXT, clinic=CONVNEXT)
    features, present, maps = batch(built)
    present["clinic"] = torch.tensor([True, False])
    classifier = HcCNN(built).eval()
    for table, ladder in zip(classifier._tables(features, present, maps), CONVNEXT, strict=False):
        assert not table[1, ladder[0] :].any()
        assert table[0, ladder[0] :].any()
    streams = classifier(features, present, maps=maps)
    assert torch.equal(streams["clinic"][0][1], streams["final"][0][1])
    assert not torch.equal(streams["clinic"][0][0], streams["final"][0][0])
