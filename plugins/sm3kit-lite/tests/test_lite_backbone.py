"""The backbone: its laws, its weights, its options."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from sm3kit.api import Backbone, CheckpointError, OptionError, component
from sm3kit.testing import check_backbone
from sm3kit_lite.lite import Lite
from sm3kit_lite.weight_package import PACKAGES

LITE0 = "efficientnet_lite0"


def views(channels=3, count=2):
    return torch.randn(count, channels, 64, 64, generator=torch.Generator().manual_seed(0))


def same(one, other):
    """Whether two states {name: tensor} are equal."""
    return one.keys() == other.keys() and all(map(torch.equal, one.values(), other.values()))


@pytest.fixture(scope="module")
def published():
    """The backbone with its published weights."""
    return Lite(LITE0, 3, weights="imagenet").eval()


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_laws(weights):
    check_backbone(Lite, Lite.example(), weights=weights)


def test_all_models_have_their_width(installed_model):
    backbone = Lite(installed_model, 3, weights="imagenet").eval()
    with torch.no_grad():
        assert backbone(views()).shape == (2, backbone.width) == (2, 1280)


def test_the_neighbours_in_a_batch_change_nothing(published):
    with torch.no_grad():
        together = published(views(count=4))
        alone = torch.cat([published(view[None]) for view in views(count=4)])
    # Sums of another batch size run in another order.
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_no_weights_start_as_those_of_timm():
    torch.manual_seed(0)
    lite = Lite(LITE0, 3)
    torch.manual_seed(0)
    assert same(lite.state_dict(), component("backbones", "timm")(f"tf_{LITE0}", 3).state_dict())


def test_the_stem_is_that_of_timm():
    lite, timms = Lite(LITE0, 3), component("backbones", "timm")(f"tf_{LITE0}", 3)
    names = [
        {
            name
            for name, one in backbone.named_parameters()
            if any(one is w for w in backbone.stem())
        }
        for backbone in (lite, timms)
    ]
    assert names[0] == names[1] == {"model.conv_stem.weight", "model.bn1.weight", "model.bn1.bias"}


def test_an_unknown_model_is_told():
    with pytest.raises(OptionError) as told:
        Lite("efficientnet_lite4", 3)
    assert str(told.value) == (
        "The backbone 'lite' has efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, not "
        "'efficientnet_lite4'."
    )


@pytest.mark.parametrize("model", PACKAGES)
def test_the_normalisation_is_that_of_the_published_weights(model):
    half = (0.5, 0.5, 0.5)
    assert Lite.normalisation(model, "imagenet") == (half, half)
    assert Lite.normalisation(model, "none") is None
    assert Lite.normalisation(model, "lite0.safetensors") is None
    assert issubclass(Lite, Backbone)


# Channels


def test_a_grey_image_is_seen_as_in_colour(published):
    grey = Lite(LITE0, 1, weights="imagenet").eval()
    with torch.no_grad():
        # The sum over three channels is rounded once more.
        torch.testing.assert_close(
            grey(views(1)), published(views(1).repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-4
        )


def test_a_fourth_channel_repeats_the_first(published):
    first = published.model.conv_stem.weight
    four = Lite(LITE0, 4, weights="imagenet")
    # Repeated in turn, and scaled so that the sum over channels stays of its size.
    wanted = torch.cat([first, first[:, :1]], dim=1) * 3 / 4
    torch.testing.assert_close(four.model.conv_stem.weight, wanted)
    rest = {name: value for name, value in four.state_dict().items() if "conv_stem" not in name}
    assert same(rest, {name: published.state_dict()[name] for name in rest})


# Weight files


@pytest.fixture(scope="module")
def state():
    """The tensors of the package, under its own names."""
    return PACKAGES[LITE0].read()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_with_the_names_of_the_package(state, tmp_path, suffix, channels):
    path = tmp_path / f"mine.{suffix}"
    mine = {name: value.contiguous() + 1 for name, value in state.items()}
    save_file(mine, path) if suffix == "safetensors" else torch.save({"state_dict": mine}, path)
    backbone = Lite(LITE0, channels, weights=str(path))
    torch.testing.assert_close(backbone.model.conv_head.weight, mine["_conv_head.weight"])
    first = mine["_conv_stem.weight"]
    wanted = first if channels == 3 else first.sum(1, keepdim=True)
    torch.testing.assert_close(backbone.model.conv_stem.weight, wanted)


def test_a_file_with_another_number_of_classes_and_without_counts(state, published, tmp_path):
    path = tmp_path / "mine.pth"
    mine = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save({**mine, "_fc.weight": torch.zeros(7, 1280), "_fc.bias": torch.zeros(7)}, path)
    backbone = Lite(LITE0, 3, weights=str(path)).eval()
    with torch.no_grad():
        assert torch.equal(backbone(views()), published(views()))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_file_with_the_names_of_timm(tmp_path, channels):
    path = tmp_path / "mine.safetensors"
    mine = timm.create_model(f"tf_{LITE0}").state_dict()
    save_file(mine, path)
    backbone = Lite(LITE0, channels, weights=str(path))
    assert torch.equal(backbone.model.conv_head.weight, mine["conv_head.weight"])


def test_a_file_of_a_larger_network(state, tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError) as told:
        Lite("efficientnet_lite1", 3, weights=str(path))
    assert str(told.value) == (
        f"The weights {str(path)!r} are not those of lite/efficientnet_lite1: it has 245 tensors, not 320."
    )


def test_a_missing_file_is_told_by_timm():
    with pytest.raises(
        CheckpointError, match=r"^No weight file 'imagnet'\. Give --weights imagenet"
    ):
        Lite(LITE0, 3, weights="imagnet")


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\3\4"])
def test_a_damaged_file_is_told_by_timm(tmp_path, content):
    path = tmp_path / "mine.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^The weight file {path} "):
        Lite(LITE0, 3, weights=str(path))


@pytest.mark.parametrize("thing", [{"_conv_stem.weight": 3}, [1], torch.ones(2)])
def test_a_file_of_other_things_is_told_by_timm(tmp_path, thing):
    path = tmp_path / "mine.pth"
    torch.save(thing, path)
    with pytest.raises(CheckpointError, match=f"^The weight file {path} is not a plain state_dict"):
        Lite(LITE0, 3, weights=str(path))


# Options


def test_drop_path(published):
    backbone = Lite(LITE0, 3, weights="imagenet", drop_path=0.2)
    rates = [one.drop_prob for one in backbone.modules() if type(one).__name__ == "DropPath"]
    # The rate rises with depth; the last block has no shortcut to leave.
    assert 0 < max(rates) < 0.2
    assert same(backbone.state_dict(), published.state_dict())


def test_checkpointing_changes_no_value(published):
    saving = Lite(LITE0, 3, weights="imagenet", grad_checkpointing=True).eval()
    assert saving.model.grad_checkpointing
    one, other = published(views()), saving(views())
    torch.testing.assert_close(one, other)
    for features in (one, other):
        features.sum().backward()
    gradients = [backbone.model.conv_stem.weight.grad for backbone in (published, saving)]
    published.zero_grad()
    torch.testing.assert_close(*gradients)
