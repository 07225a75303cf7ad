"""Any timm model as backbone; weights from files, never by accident."""

import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from sm3kit.backbones.base import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import CheckpointError, OptionError, UnknownName

SIZE = 64


def images(channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, channels, SIZE, SIZE, generator=generator)


@pytest.fixture(scope="module")
def state():
    """The weights of a small network with its classifier of 1000 classes, as people pass them on."""
    torch.manual_seed(0)
    return timm.create_model("test_resnet", pretrained=False).state_dict()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet.safetensors"
    save_file(state, path)
    return path


def inside(backbone, state):
    """Whether the backbone holds the weights of a state."""
    return all(
        torch.equal(value, state[name]) for name, value in backbone.model.state_dict().items()
    )


@pytest.mark.parametrize(
    "model",
    [
        "test_resnet",
        "test_vit",
        "test_convnext",
        "test_efficientnet",
        "test_nfnet",
        "test_mambaout",
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_model_and_any_number_of_channels(model, channels):
    """test_mambaout has a head that is wider than its last feature map."""
    backbone = Timm(model, channels).eval()
    size = 160 if "vit" in model else SIZE
    with torch.no_grad():
        out = backbone(torch.rand(2, channels, size, size))
    assert out.shape == (2, backbone.width)
    assert out.isfinite().all()


def test_the_width_of_a_head_that_differs():
    backbone = Timm("test_mambaout", 3)
    assert (backbone.width, backbone.model.num_features) == (256, 64)


def test_a_model_name_may_have_a_tag():
    assert Timm("test_resnet.r160_in1k", 3).width == Timm("test_resnet", 3).width


def test_there_is_no_classifier():
    assert not [name for name, _ in Timm("test_resnet", 3).named_parameters() if "fc" in name]


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ("resnet18", {"conv1", "bn1"}),
        ("test_resnet", {"conv1", "bn1"}),
        # timm counts register tokens to the end.
        ("test_vit", {"cls_token", "pos_embed", "patch_embed"}),
    ],
)
def test_the_stem_is_what_comes_before_the_first_block(model, layers):
    backbone = Timm(model, 3)
    known = {id(weight): name for name, weight in backbone.model.named_parameters()}
    found = {known[id(weight)] for weight in backbone.stem()}
    assert found == {name for name in known.values() if name.partition(".")[0] in layers}


@pytest.mark.parametrize("model", ["test_convnext", "test_efficientnet", "test_mambaout"])
def test_every_stem_sees_the_image_and_is_not_the_whole(model):
    backbone = Timm(model, 4)
    stem = backbone.stem()
    assert any(weight.ndim == 4 and weight.shape[1] == 4 for weight in stem)
    assert 0 < len(stem) < len(list(backbone.parameters())) / 2


def test_a_backbone_without_a_grouping_has_no_stem():
    backbone = Timm("test_resnet", 3)
    backbone.model = torch.nn.Identity()
    assert backbone.stem() == []
    assert Backbone().stem() == []


# Weight files


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt"])
def test_a_weight_file(state, tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    backbone = Timm("test_resnet", 3, weights=str(path))
    assert inside(backbone, state)
    assert not inside(Timm("test_resnet", 3), state)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_weight_file_of_a_training(state, tmp_path, key):
    path = tmp_path / "net.pth"
    torch.save({key: state, "epoch": 3}, path)
    assert inside(Timm("test_resnet", 3, weights=str(path)), state)


def test_a_weight_file_without_classifier(state, tmp_path):
    """What this program saves itself."""
    path = tmp_path / "net.safetensors"
    bare = {name: value for name, value in state.items() if not name.startswith("fc.")}
    save_file(bare, path)
    assert inside(Timm("test_resnet", 3, weights=str(path)), state)


def test_a_weight_file_with_another_number_of_classes(state, tmp_path):
    path = tmp_path / "net.safetensors"
    width = state["fc.weight"].shape[1]
    save_file({**state, "fc.weight": torch.zeros(7, width), "fc.bias": torch.zeros(7)}, path)
    assert inside(Timm("test_resnet", 3, weights=str(path)), state)


def test_three_channels_become_one(weights):
    """A grey image gives what the network gave for it in colour."""
    grey = images(1)
    one = Timm("test_resnet", 1, weights=str(weights)).eval()
    three = Timm("test_resnet", 3, weights=str(weights)).eval()
    with torch.no_grad():
        torch.testing.assert_close(one(grey), three(grey.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-4)


def test_three_channels_become_four(weights):
    backbone = Timm("test_resnet", 4, weights=str(weights))
    assert backbone.model.conv1[0].weight.shape[1] == 4


def test_a_missing_file():
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights="nowhere/net.pth")
    assert str(caught.value) == (
        "No weight file 'nowhere/net.pth'. "
        "Give --weights imagenet, none, or a .safetensors or .pth file."
    )


def test_a_mistyped_word_is_not_taken_for_a_file():
    with pytest.raises(
        CheckpointError, match=r"^No weight file 'imagnet'\. Give --weights imagenet"
    ):
        Timm("test_resnet", 3, weights="imagnet")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("part", [0, 5, 0.5])
def test_a_truncated_file(state, tmp_path, suffix, part):
    path = tmp_path / f"net.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content)) if isinstance(part, float) else part])
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights=str(path))
    text = str(caught.value)
    assert text.startswith(f"The weight file {path} cannot be read: ")
    assert "\n" not in text


NOT_PLAIN = (
    "The weight file {} is not a plain state_dict of tensors, or contains code, and is not loaded. "
    "Save the state_dict as .safetensors."
)


@pytest.mark.parametrize("content", [b"hello, this is no network", b"<html>not found</html>"])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights=str(path))
    assert str(caught.value) == NOT_PLAIN.format(path)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))]
)
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, save):
    path, made = tmp_path / "net.pth", tmp_path / "made"
    save({"conv1.weight": Hostile(made)}, path)
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights=str(path))
    assert not made.exists()
    assert str(caught.value) == NOT_PLAIN.format(path)


@pytest.mark.parametrize(
    "thing",
    [{"epoch": 3}, [1, 2], torch.ones(2), {"state_dict": None}, torch.nn.Linear(2, 2)],
    ids=["table", "list", "tensor", "nothing", "module"],
)
def test_a_file_of_other_things(tmp_path, thing):
    path = tmp_path / "net.pth"
    torch.save(thing, path)
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights=str(path))
    assert str(caught.value) == NOT_PLAIN.format(path)


@pytest.mark.parametrize("other", ["test_vit", "test_byobnet", "test_convnext"])
def test_the_weights_of_another_network(weights, other):
    with pytest.raises(CheckpointError) as caught:
        Timm(other, 3, weights=str(weights))
    text = str(caught.value)
    assert text.startswith(f"The weight file {weights} is not for timm model {other!r}: ")
    assert "\n" not in text


def test_weights_of_the_same_names_and_other_shapes(state, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({**state, "conv1.0.weight": torch.zeros(1, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError, match=r"is not for timm model 'test_resnet': "):
        Timm("test_resnet", 3, weights=str(path))


def test_weights_of_half_a_network(state, tmp_path):
    """Layers that the file lacks would silently stay random."""
    path = tmp_path / "net.safetensors"
    save_file({name: value for name, value in state.items() if "layer4" not in name}, path)
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights=str(path))
    lacking = [name for name in state if "layer4" in name and "num_batches" not in name]
    wanted = [name for name in state if "fc." not in name and "num_batches" not in name]
    assert str(caught.value) == (
        f"The weight file {path} is not for timm model 'test_resnet': it lacks {len(lacking)} of "
        f"{len(wanted)} tensors, such as {lacking[0]!r}."
    )


def test_a_file_of_no_weights_does_not_ask_the_network(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({}, path)
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights=str(path))
    assert str(caught.value) == NOT_PLAIN.format(path)


def test_a_file_of_the_classifier_alone(state, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({name: value for name, value in state.items() if "fc." in name}, path)
    with pytest.raises(CheckpointError, match=r"is not for timm model 'test_resnet': it lacks "):
        Timm("test_resnet", 3, weights=str(path))


def test_names_of_another_program(tmp_path):
    """timm knows how open_clip calls the layers of a vision transformer."""
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    path = tmp_path / "net.safetensors"
    save_file({f"visual.trunk.{name}": value for name, value in state.items()}, path)
    assert inside(Timm("test_vit", 3, weights=str(path)), state)


def test_batch_counts_may_be_lacking(state, tmp_path):
    path = tmp_path / "net.safetensors"
    kept = {name: value for name, value in state.items() if "num_batches_tracked" not in name}
    save_file(kept, path)
    backbone = Timm("test_resnet", 3, weights=str(path))
    assert torch.equal(backbone.model.conv1[0].weight, state["conv1.0.weight"])


# Names, the network, options


def test_an_unknown_model_offers_near_names():
    with pytest.raises(UnknownName) as caught:
        Timm("resnet5", 3)
    text = str(caught.value)
    assert text.startswith("No timm model named 'resnet5'. Did you mean 'resnet50'? Known: resnet")
    assert len(text) < 400


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("resnet_50", "resnet50"),
        ("ResNet50", "resnet50"),
        ("efficientnetb0", "efficientnet_b0"),
        ("vit_smal_patch16_224", "vit_small_patch16_224"),
    ],
)
def test_a_near_name_is_near(wrong, near):
    with pytest.raises(UnknownName, match=rf"Did you mean '{near}'\?"):
        Timm(wrong, 3)


def test_a_model_that_is_like_no_other():
    with pytest.raises(UnknownName) as caught:
        Timm("qqqq", 3)
    assert str(caught.value) == "No timm model named 'qqqq'. Known: resnet18, resnet50."


def test_imagenet_without_the_network_is_one_clear_line(tmp_path, monkeypatch):
    """conftest forbids the network; the cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("timm.models._hub.get_cache_dir", lambda *_, **__: str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        Timm("test_resnet", 3, weights="imagenet")
    text = str(caught.value)
    assert text.startswith(
        "The ImageNet weights of timm model 'test_resnet' cannot be downloaded: "
    )
    assert text.endswith(
        " Without the network: --weights FILE, --weights none, --recipe quick (small, from scratch), "
        "or ImageNet weights from pip: --backbone lite/efficientnet_lite0 of sm3kit-lite."
    )
    assert "\n" not in text


def test_imagenet_for_a_model_without_weights():
    name = next(
        one
        for one in timm.list_models("test_*") + timm.list_models("resnet*")
        if not timm.is_model_pretrained(one)
    )
    with pytest.raises(
        CheckpointError, match=rf"ImageNet weights of timm model '{name}' cannot be"
    ):
        Timm(name, 3, weights="imagenet")


def test_drop_path():
    backbone = Timm("test_vit", 3, drop_path=0.2)
    rates = [one.drop_prob for one in backbone.modules() if type(one).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.2)


def test_drop_path_where_there_is_none():
    with pytest.raises(OptionError) as caught:
        Timm("vgg11", 3, drop_path=0.2)
    text = str(caught.value)
    assert text.startswith("The timm model 'vgg11' takes no such option: ")
    assert "drop_path_rate" in text


def test_checkpointing_changes_no_value():
    plain, saving = Timm("test_vit", 3), Timm("test_vit", 3, grad_checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 160, 160)
    one, other = plain(x), saving(x)
    torch.testing.assert_close(one, other)
    for out in (one, other):
        out.sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_checkpointing_where_there_is_none():
    with pytest.raises(OptionError) as caught:
        Timm("inception_v4", 3, grad_checkpointing=True)
    assert str(caught.value) == (
        "The timm model 'inception_v4' does not accept the option grad_checkpointing."
    )
