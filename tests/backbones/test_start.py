"""Without weights a network of timm starts as the same network of torchvision does."""

import importlib
import inspect
import math
import re
from collections import defaultdict

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import ConvNeXt, VisionTransformer
from torchvision.models.convnext import CNBlockConfig

from sm3kit.backbones.timm import Timm
from sm3kit.nn.torchvision_start import STARTS

slow = pytest.mark.slow
CLASSES = 7  # A number of classes that is no width of any layer; their layer is left out.


def vit_tiny(**options):
    """torchvision's constructor with the sizes of timm's smallest."""
    return VisionTransformer(224, 16, 12, 3, 192, 768, **options)


def convnext_atto(**options):
    widths, depths = (40, 80, 160, 320, None), (2, 2, 6, 2)
    return ConvNeXt(list(map(CNBlockConfig, widths, widths[1:], depths)), **options)


def inception(**options):
    return torchvision.models.inception_v3(aux_logits=False, init_weights=True, **options)


# (in timm, in torchvision, whether timm's own start differs, tensors that only one of them has).
# Small members: both libraries build the others of a family by the same class.
SHARED = [
    ("resnet18", "resnet18", True, ""),
    pytest.param("resnext50_32x4d", "resnext50_32x4d", True, "", marks=slow),
    ("regnetx_004_tv", "regnet_x_400mf", True, ""),
    ("regnety_004", "regnet_y_400mf", True, ""),
    ("densenet121", "densenet121", False, ""),
    pytest.param("vgg11_bn", "vgg11_bn", True, "", marks=slow),
    ("mobilenetv2_100", "mobilenet_v2", True, ""),
    ("mobilenetv3_small_100", "mobilenet_v3_small", True, ""),
    ("mobilenetv3_large_100", "mobilenet_v3_large", True, ""),
    ("mnasnet_100", "mnasnet1_0", True, ""),
    ("efficientnet_b0", "efficientnet_b0", True, ""),
    pytest.param("tf_efficientnetv2_s", "efficientnet_v2_s", True, "", marks=slow),
    pytest.param("inception_v3", inception, False, "", marks=slow),
    ("convnext_atto", convnext_atto, False, ""),
    ("vit_tiny_patch16_224", vit_tiny, True, ""),
    pytest.param("swin_tiny_patch4_window7_224", "swin_t", False, "", marks=slow),
    # torchvision has a bias for the keys, which is always zero.
    pytest.param("swinv2_tiny_window8_256", "swin_v2_t", True, r"(qkv|q|v)[._]bias$", marks=slow),
    # torchvision projects the shortcut of the first block, and not all layers have a bias.
    pytest.param(
        "maxvit_tiny_tf_224", "maxvit_t", True, r"bias$|^blocks\.0\..*proj\.1", marks=slow
    ),
]


def tensors(network, only_here):
    """{size: [tensors]} without the layer of the classes and what only one library has."""
    sizes = defaultdict(list)
    for name, values in network.named_parameters():
        if values.shape[0] != CLASSES and not (only_here and re.search(only_here, name)):
            sizes[values.numel()].append(values.detach().flatten())
    return sizes


def alike(ours, theirs):
    """Whether tensors of one size are drawn from the same distributions, whatever their order.

    Constants must be equal. The logarithm of the deviation of n normal values scatters by
    1 / sqrt(2 n), of uniform ones less, and their mean by 1 / sqrt(n) deviations. The difference
    of two scatters by the square root of 2 more, and 5 times that never comes by chance.
    """
    if len(ours) != len(theirs):
        return False
    for one, other in zip(sorted(ours, key=spread), sorted(theirs, key=spread), strict=True):
        near, far = one.std(correction=0), other.std(correction=0)
        if not near or not far:
            if not torch.equal(one, other):
                return False
            continue
        scatter = 5 / math.sqrt(one.numel())
        if abs(math.log(near / far)) > scatter:
            return False
        if abs(one.mean() - other.mean()) > math.sqrt(2) * scatter * far:
            return False
    return True


def spread(values):
    """Sorts by deviation, constants by value."""
    return float(values.std(correction=0)), float(values[0])


@pytest.mark.parametrize(("model", "other", "differs", "only_here"), SHARED)
def test_the_start_is_torchvisions(model, other, differs, only_here):
    torch.manual_seed(0)
    build = other if callable(other) else getattr(torchvision.models, other)
    theirs = tensors(build(num_classes=CLASSES), only_here)
    ours = tensors(Timm(model, 3).model, only_here)
    timms = tensors(Timm(model, 3, start="timm").model, only_here)
    assert ours.keys() == theirs.keys() == timms.keys()
    assert {size for size in ours if not alike(ours[size], theirs[size])} == set()
    assert differs == any(not alike(timms[size], theirs[size]) for size in timms)


def test_every_class_that_starts_otherwise_is_compared():
    """ByobNet and CspNet have no counterpart in torchvision."""
    rows = [getattr(row, "values", row) for row in SHARED]
    with torch.device("meta"):
        compared = {
            type(timm.create_model(model)).__name__ for model, _, differs, _ in rows if differs
        }
    assert compared == set(STARTS) - {"ByobNet", "CspNet"}


def test_biases_of_maxvit():
    backbone = Timm("test_maxvit", 3).model
    biases = [values for name, values in backbone.named_parameters() if name.endswith("bias")]
    assert biases
    assert not any(values.any() for values in biases)
    timms = Timm("test_maxvit", 3, start="timm").model
    assert any(values.any() for name, values in timms.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("channels", [1, 4])
def test_patches_of_other_channels_keep_the_size_of_their_features(channels):
    torch.manual_seed(0)
    proj = Timm("vit_tiny_patch16_224", channels).model.patch_embed.proj
    inputs = channels * 16 * 16
    # 192 x inputs values: their deviation is off by at most 5 / sqrt(2 n) = 1.6 %.
    assert float(proj.weight.detach().std()) == pytest.approx(inputs**-0.5, rel=0.016)


# Residual networks


def zeroed(model, **options):
    """The norms of a backbone that start at zero."""
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    layers = Timm(model, 3, **options).model.named_modules()
    return [name for name, layer in layers if isinstance(layer, norms) and not layer.weight.any()]


def test_the_classes_that_can_start_at_zero_are_known():
    """ResNetV2 has the option as well, and leaves it off."""
    able = set()
    for module in timm.list_modules():
        for name, kind in vars(importlib.import_module(f"timm.models.{module}")).items():
            if inspect.isclass(kind) and issubclass(kind, nn.Module):
                option = inspect.signature(kind).parameters.get("zero_init_last")
                if option and option.default is True:
                    able.add(name)
    assert able == {"ResNet", "RegNet", "ByobNet", "CspNet"}
    assert able <= set(STARTS)


@pytest.mark.parametrize(
    "model",
    [
        "test_resnet",
        "seresnet18",
        "resnest14d",
        pytest.param("res2next50", marks=slow),
        "regnetx_002",
        "regnety_002",
        "test_byobnet",
        "halonet_h1",
        "mobilevit_xxs",
        "cs3darknet_focus_s",
        pytest.param("swinv2_tiny_window8_256", marks=slow),
    ],
)
def test_no_norm_starts_at_zero(model):
    assert not zeroed(model)
    assert zeroed(model, start="timm")


@pytest.mark.parametrize("model", ["skresnet18", "resnetv2_18"])
def test_timm_itself_leaves_these_norms_alone(model):
    assert not zeroed(model)
    assert not zeroed(model, start="timm")


# The third stage of this network has bottlenecks.
LAST = {1: "bn2", 2: "bn2", 3: "bn3", 4: "bn2"}


def test_the_start_of_residual_networks_draws_nothing():
    """Seeds give the same weights as before, but for the norms."""
    state = {}
    for start in ("torchvision", "timm"):
        torch.manual_seed(0)
        state[start] = Timm("test_resnet", 3, start=start).model.state_dict()
    other = {
        name
        for name, values in state["timm"].items()
        if not torch.equal(values, state["torchvision"][name])
    }
    assert other == {f"layer{stage}.0.{last}.weight" for stage, last in LAST.items()}


def features(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return network(torch.randn(4, 3, 64, 64, generator=generator))


def resnet50s():
    """torchvision's network without weights, ours, and timm's."""
    theirs = torchvision.models.resnet50()
    theirs.fc = nn.Identity()
    return theirs, Timm("resnet50", 3), Timm("resnet50", 3, start="timm")


def test_an_untrained_resnet_has_features_of_torchvisions_size():
    """In training, where the batch norms hold the size; from seed to seed it scatters by 3 %."""
    torch.manual_seed(0)
    theirs, ours, timms = (float(features(one.train()).std()) for one in resnet50s())
    assert ours == pytest.approx(theirs, rel=0.2)
    assert timms < 0.6 * theirs


def test_an_untrained_resnet_of_timm_has_tiny_features():
    """In evaluation the size grows from block to block and scatters by 30 %."""
    torch.manual_seed(0)
    theirs, ours, timms = (float(features(one.eval()).std()) for one in resnet50s())
    assert 0.3 < ours / theirs < 3
    assert timms < theirs / 100


def test_the_same_weights_give_the_same_features(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    save_file(theirs.state_dict(), tmp_path / "net.safetensors")
    ours = Timm("resnet18", 3, weights=str(tmp_path / "net.safetensors")).eval()
    theirs.fc = nn.Identity()
    # The same operations in the same order.
    torch.testing.assert_close(features(ours), features(theirs), rtol=1e-5, atol=1e-5)


# Weights


@pytest.mark.parametrize("start", ["torchvision", "timm"])
@pytest.mark.parametrize("model", ["test_resnet", "test_vit"])
def test_a_weight_file_leaves_nothing_to_start(model, start, tmp_path):
    """The norms that timm starts at zero stay as the file has them."""
    path = tmp_path / "net.safetensors"
    save_file(timm.create_model(model, num_classes=0).state_dict(), path)
    held = Timm(model, 3, weights=str(path), start=start).model.state_dict()
    wanted = load_file(path)
    assert held.keys() == wanted.keys()
    assert all(torch.equal(values, wanted[name]) for name, values in held.items())


@pytest.mark.parametrize("start", ["torchvision", "timm"])
def test_imagenet_weights_leave_nothing_to_start(start, tmp_path, monkeypatch):
    """A cache of the hub that holds weights with zeroed norms."""
    state = timm.create_model("test_resnet").state_dict()
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    held = Timm("test_resnet", 3, weights="imagenet", start=start).model.state_dict()
    assert all(torch.equal(values, state[name]) for name, values in held.items())
