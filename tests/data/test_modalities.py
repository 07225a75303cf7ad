"""What modalities may differ in: their networks, their sizes, how many images, what they share."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import altered

from sm3kit.core.errors import CheckpointError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.data.batches import EVALUATION, StudyViews
from sm3kit.data.image_cache import ImageCache
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study
from sm3kit.modalities.photo import Photo
from sm3kit.networks.assemble import build_pool, fill_in
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.recipes import Layer
from sm3kit.runs.resumption import variant_to_resume

SIDE = 48


def gradient(shade):
    """A picture in which every place has a colour of its own."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.uint8) * 5
    return np.stack([y, x, np.full_like(x, shade)], axis=2)


class Scans(Dataset):
    """Studies of a registered pair, with two pictures of `eye`; the folder is the argument."""

    def __init__(self, argument, *, frame: str = "body"):
        self.argument, self.frame = argument, frame
        self.labels = [LabelSpec("stage", ("one", "two"), "two")]
        self.modalities = {
            "ct": ModalitySpec(frame=frame),
            "pet": ModalitySpec(frame=frame),
            "eye": ModalitySpec(),
        }

    def studies(self, split=None):
        studies = []
        for index in range(12):
            images = {name: f"{self.argument}/{name}{index}.png" for name in ("ct", "pet")}
            images["eye"] = tuple(f"{self.argument}/eye{index}_{n}.png" for n in range(3))
            where = "train" if index < 8 else "val"
            studies.append(
                Study(str(index), images, {"stage": index % 2}, group=str(index // 2), split=where)
            )
        return [study for study in studies if split in (None, study.split)]


@pytest.fixture
def scans(tmp_path, registered):
    registered("datasets", "scans", Scans)
    folder = tmp_path / "scans"
    folder.mkdir()
    for index in range(12):
        for name, shade in (("ct", 0), ("pet", 0), ("eye", 50)):
            for number in range(3 if name == "eye" else 1):
                suffix = f"_{number}" if name == "eye" else ""
                picture = Image.fromarray(gradient(shade + 60 * number))
                picture.save(folder / f"{name}{index}{suffix}.png")
    return f"scans:{folder}"


def shown(variant, seed=0):
    pool = build_pool(variant)
    return StudyViews(pool, pool.cases["train"], ImageCache(None), seed)


def shade(view):
    return int(np.median(view[2]))


PLAIN = {"jitter": 0.0, "grayscale": 0.0, "blur": 0.0}


# Several images of one modality


def test_each_epoch_draws_an_image_and_the_seed_decides(scans):
    views = shown(Variant(data=(scans,), image_size=16, options={"eye": PLAIN}))
    drawn = [[shade(views[epoch, i].views["eye"][0]) for i in range(8)] for epoch in range(20)]
    assert {one for epoch in drawn for one in epoch} == {50, 110, 170}
    assert len({tuple(epoch) for epoch in drawn}) > 15
    again = shown(Variant(data=(scans,), image_size=16, options={"eye": PLAIN}))
    assert [shade(again[3, i].views["eye"][0]) for i in range(8)] == drawn[3]


def test_both_views_are_of_the_image_that_was_drawn(scans):
    views = shown(Variant(data=(scans,), image_size=16, options={"eye": PLAIN}))
    for epoch in range(5):
        one, two = views[epoch, 0].views["eye"]
        assert shade(one) == shade(two)


def test_evaluation_takes_the_image_in_the_middle(scans):
    views = shown(Variant(data=(scans,), image_size=16))
    assert {shade(views[EVALUATION, i].views["eye"][0]) for i in range(8)} == {110}


def test_a_study_that_an_epoch_has_again_is_drawn_anew(scans):
    views = shown(Variant(data=(scans,), image_size=16, paired_geometry=True))
    first, same, again = views[2, 0], views[2, 0, 0], views[2, 0, 1]
    for name in first.views:
        for one, two, three in zip(
            *(item.views[name] for item in (first, same, again)), strict=True
        ):
            assert (one == two).all()
            assert (one != three).any()


# Registered modalities


def test_registered_modalities_share_their_geometry(scans):
    """The two pictures are the same, so that equal crops and flips show equal pixels."""
    options = {"ct": PLAIN, "pet": PLAIN, "eye": PLAIN}
    paired = Variant(data=(scans,), image_size=16, paired_geometry=True, options=options)
    alone = dataclasses.replace(paired, paired_geometry=False)
    same, other = shown(paired), shown(alone)
    for index in range(8):
        item = same[0, index]
        for one, two in zip(item.views["ct"], item.views["pet"], strict=True):
            assert (one == two).all()
        item = other[0, index]
        assert any((a != b).any() for a, b in zip(item.views["ct"], item.views["pet"], strict=True))


def test_what_is_not_geometry_stays_their_own(scans):
    options = {"ct": {"jitter": 1.0}, "pet": {"jitter": 1.0}}
    views = shown(Variant(data=(scans,), image_size=16, paired_geometry=True, options=options))
    item = views[0, 0]
    assert any((a != b).any() for a, b in zip(item.views["ct"], item.views["pet"], strict=True))


def test_paired_geometry_wants_registered_modalities(scans):
    one = Variant(data=(scans,), options={"scans": {"frame": ""}}, paired_geometry=True)
    with pytest.raises(VariantError, match=r"of ct, pet, eye none are.*manifest\.registered="):
        build_pool(one)


class Unpaired(Photo):
    """A photograph that draws no geometry of its own."""

    def views(self, image, rng=None):
        return super().views(image, rng)


def test_a_modality_that_cannot_be_paired_says_so(scans, registered, monkeypatch):
    registered("modalities", "unpaired", Unpaired)
    monkeypatch.setattr(
        Scans,
        "__init__",
        lambda self, argument: vars(self).update(
            argument=argument,
            labels=[],
            modalities={name: ModalitySpec("unpaired", frame="body") for name in ("ct", "pet")},
        ),
    )
    build_pool(Variant(data=(scans,)))
    with pytest.raises(VariantError, match="'ct' cannot share its geometry: Unpaired draws no"):
        build_pool(Variant(data=(scans,), paired_geometry=True))


# A network and a size of its own


@pytest.fixture
def mixed(tiny, scans):
    return altered(
        tiny,
        data=(scans,),
        per_modality={"eye": {"backbone": "timm/test_efficientnet", "image_size": 48}},
        stage1={"batch_size": 4},
    )


def test_modalities_may_have_networks_and_sizes_of_their_own(mixed, train, tmp_path):
    outcome, said = train(mixed)
    flat = " ".join(said.split())
    assert "ct, pet: 2 x timm/test_resnet" in flat
    assert "eye: 1 x timm/test_efficientnet" in flat
    assert "48 px" in flat
    trained = outcome.run.trained()
    assert trained.variant.of("eye", "backbone") == "timm/test_efficientnet"
    assert trained.variant.of("ct", "image_size") == 32
    train(altered(mixed, stage1={"epochs": 3}), "run", resume=True)


def test_the_rest_of_the_method_follows(mixed, train, tiny2):
    both = dataclasses.replace(tiny2, data=mixed.data, per_modality=mixed.per_modality)
    outcome, _ = train(altered(both, stage2={"batch_size": 4}))
    assert outcome.run.trained().facts.stage == "mlssl"


def test_a_modality_may_suggest_its_network(scans, tiny, train, registered, monkeypatch):
    monkeypatch.setattr(Photo, "backbone", "timm/test_efficientnet")
    outcome, _ = train(altered(tiny, data=(scans,), stage1={"epochs": 0}))
    variant = outcome.run.trained().variant
    assert {variant.of(n, "backbone") for n in ("ct", "eye")} == {"timm/test_efficientnet"}
    chosen = {"eye": {"backbone": "timm/test_resnet"}}
    outcome, _ = train(
        altered(tiny, data=(scans,), per_modality=chosen, stage1={"epochs": 0}), "chosen"
    )
    variant = outcome.run.trained().variant
    assert variant.of("eye", "backbone") == "timm/test_resnet"
    assert variant.of("ct", "backbone") == "timm/test_efficientnet"


def test_a_suggested_network_does_not_stop_a_resumption(scans, tiny, train, monkeypatch):
    monkeypatch.setattr(Photo, "backbone", "timm/test_efficientnet")
    one = altered(tiny, data=(scans,), stage1={"epochs": 1})
    outcome, _ = train(one)
    asked = Layer({"stage1": {"epochs": 2}, "recipe": ("quick",)})
    wanted = variant_to_resume(
        RunFolder(outcome.run.folder), asked, altered(one, stage1={"epochs": 2})
    )
    assert wanted.of("ct", "backbone") == "timm/test_efficientnet"
    train(altered(one, stage1={"epochs": 2}), resume=True)


def test_other_networks_cannot_be_started_from(mixed, train, tmp_path):
    outcome, _ = train(altered(mixed, stage1={"epochs": 0}))
    other = dataclasses.replace(mixed, init=str(outcome.run.folder), per_modality={})
    with pytest.raises(CheckpointError, match="timm/test_efficientnet for eye, not timm/test_resn"):
        train(other, "other")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"eye": {"lr": 1}}, "per_modality eye: No setting named 'lr'"),
        ({"eye": {"image_size": "big"}}, "must be a whole number from 8 to 8192, not 'big'"),
    ],
)
def test_a_wrong_setting_of_a_modality(table, said):
    with pytest.raises(Exception, match=said):
        Variant().changed({"per_modality": table}, "recipe 'mine'")


def test_settings_of_a_modality_that_is_not_there(scans):
    one = Variant(data=(scans,), per_modality={"oct": {"image_size": 64}})
    with pytest.raises(VariantError, match=r"No modality named 'oct'.*Known: ct, eye, pet"):
        build_pool(one)


def test_weights_of_one_modality(scans, tiny, train, tmp_path):
    import timm
    from safetensors.torch import load_file, save_file

    network = timm.create_model("test_resnet", num_classes=0)
    file = tmp_path / "ct.safetensors"
    save_file(network.state_dict(), file)
    one = altered(
        tiny, data=(scans,), per_modality={"ct": {"weights": str(file)}}, stage1={"epochs": 0}
    )
    outcome, _ = train(one)
    weights = load_file(outcome.run.model)
    mine = network.state_dict()["conv1.0.weight"]
    assert torch.equal(weights["backbones.ct.model.conv1.0.weight"], mine)
    assert not torch.equal(weights["backbones.pet.model.conv1.0.weight"], mine)


def test_options_of_every_provider_are_spelt_out(registered):
    from sm3kit.backbones.base import Backbone

    class Vector(Backbone):
        """Means of channels."""

        def __init__(self, model, channels, *, depth: int = 3):
            super().__init__()
            self.width = channels
            self.scale = torch.nn.Parameter(torch.ones(channels))

        def forward(self, view):
            return view.mean((2, 3)) * self.scale

    registered("backbones", "vector", Vector)
    one = Variant(per_modality={"eye": {"backbone": "vector/any"}})
    assert fill_in(one).options["vector"] == {"depth": 3}
    assert "timm" in fill_in(one).options


def test_weights_for_a_network_that_takes_none(registered, scans, tiny, train):
    from sm3kit.backbones.base import Backbone

    class Vector(Backbone):
        """Means of channels."""

        def __init__(self, model, channels):
            super().__init__()
            self.width = channels

    registered("backbones", "vector", Vector)
    one = dataclasses.replace(
        tiny,
        data=(scans,),
        per_modality={"eye": {"backbone": "vector/x", "weights": "imagenet"}},
    )
    with pytest.raises(VariantError, match="--weights eye=…: the backbone vector/x takes no weig"):
        train(one)


# Missing ones


class Gaps(Scans):
    """Studies with one picture each, but for the first two."""

    def studies(self, split=None):
        found = []
        for number, study in enumerate(super().studies(split)):
            name = ("ct", "pet", "eye")[number % 3]
            images = study.images if number < 2 else {name: study.images[name]}
            found.append(dataclasses.replace(study, images=images))
        return found


@pytest.mark.parametrize("fusion", ["none", "concat", "sum", "sep_sep", "sep_shared"])
def test_batches_without_anything_to_compare_are_no_error(scans, tiny2, train, registered, fusion):
    """Of two studies per batch most share no modality: their loss is a zero."""
    registered("datasets", "gaps", Gaps)
    spec = scans.replace("scans:", "gaps:", 1)
    one = altered(
        tiny2, data=(spec,), fusion=fusion, stage1={"batch_size": 2}, stage2={"batch_size": 4}
    )
    outcome, _ = train(one)
    weights = outcome.run.trained().weights
    assert all(bool(value.isfinite().all()) for value in weights.values())
