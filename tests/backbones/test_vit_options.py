"""Vision transformers: pooling, frozen blocks, LoRA, and views of two sizes."""

import copy
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.modalities.photo import Photo
from sm3kit.networks.backbone import build_backbone, tried_backbone
from sm3kit.testing import check_backbone

SIZE = 32  # Four patches of test_vit.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def views(size=SIZE, rows=2):
    return torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(0))


def vit(**options):
    torch.manual_seed(0)
    return Timm("test_vit", 3, **{"image_size": SIZE, **options})


def stirred(backbone):
    """The backbone with updates that are not zero, as after a training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in backbone.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return backbone.eval()


# Pooling


@pytest.mark.parametrize(
    "model", ["test_vit", "vit_tiny_patch16_dinov3_qkvb", "deit_tiny_patch16_224"]
)
def test_class_token_or_mean_of_the_patches(model):
    """Whichever timm's own choice is, the weights are the same, and so are the tokens."""
    if not timm.is_model(model):
        pytest.skip("this release of timm lacks it")
    made = {}
    for pool in ("auto", "token", "mean"):
        torch.manual_seed(0)
        made[pool] = Timm(model, 3, pool=pool, image_size=64).eval()
    names = [list(backbone.state_dict()) for backbone in made.values()]
    assert names[0] == names[1] == names[2]
    for pool in ("token", "mean"):
        made[pool].load_state_dict(made["auto"].state_dict())
    with torch.no_grad():
        tokens = made["auto"].model.forward_features(views(64))
        prefix = made["auto"].model.num_prefix_tokens
        torch.testing.assert_close(made["token"](views(64)), tokens[:, 0], **CLOSE)
        mean = tokens[:, prefix:].mean(dim=1)
        torch.testing.assert_close(made["mean"](views(64)), mean, **CLOSE)
        features, _ = made["mean"].features_and_maps(views(64))
        torch.testing.assert_close(features, mean, **CLOSE)


@pytest.mark.parametrize(
    ("model", "pool"), [("test_resnet", "token"), ("vit_base_patch16_siglip_224", "mean")]
)
def test_a_pooling_that_a_model_lacks(model, pool):
    with pytest.raises(OptionError) as caught:
        Timm(model, 3, pool=pool)
    assert str(caught.value) == f"The timm model {model!r} does not accept the option pool={pool}."


def test_a_convolutional_network_pools_by_the_mean_anyway():
    torch.manual_seed(0)
    plain = Timm("test_resnet", 3).eval()
    torch.manual_seed(0)
    assert torch.equal(Timm("test_resnet", 3, pool="mean").eval()(views()), plain(views()))


# Frozen blocks


def test_the_stem_and_the_first_blocks_are_frozen():
    backbone = vit(freeze=2)
    frozen = {
        name for name, weight in backbone.model.named_parameters() if not weight.requires_grad
    }
    blocks = {name for name, _ in backbone.model.named_parameters() if name.startswith("blocks.")}
    first = {name for name in blocks if name.split(".")[1] in "01"}
    assert frozen - blocks == {
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
    }
    assert frozen & blocks == first
    assert {id(weight) for weight in backbone.frozen()} == {
        id(weight) for weight in backbone.parameters() if not weight.requires_grad
    }


def test_zero_freezes_the_stem_alone():
    backbone = Timm("test_resnet", 3, freeze=0)
    assert list(map(id, backbone.frozen())) == list(map(id, backbone.stem()))
    assert all(not weight.requires_grad for weight in backbone.stem())
    assert Timm("test_resnet", 3).frozen() == []


def test_frozen_norms_stay_in_eval_mode():
    """Nothing below the second stage changes in a step, whatever batches come."""
    backbone = Timm("test_resnet", 3, freeze=1).train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(views()).square().sum().backward()
    torch.optim.SGD([w for w in backbone.parameters() if w.requires_grad], lr=0.1).step()
    changed = {
        n.split(".")[1] for n, w in backbone.state_dict().items() if not torch.equal(w, before[n])
    }
    assert changed == {"layer2", "layer3", "layer4"}
    assert backbone.model.layer2.training
    assert not backbone.model.layer1.training
    assert not backbone.eval().model.layer2.training


@pytest.mark.parametrize(
    ("model", "freeze", "said"),
    [
        (
            "test_vit",
            6,
            "has 6 blocks or stages, and freeze=6 leaves nothing to learn. Give at most 5.",
        ),
        (
            "resnet18",
            64,
            "has 4 blocks or stages, and freeze=64 leaves nothing to learn. Give at most 3.",
        ),
    ],
)
def test_too_many_frozen_blocks(model, freeze, said):
    with pytest.raises(OptionError) as caught:
        Timm(model, 3, freeze=freeze)
    assert str(caught.value) == f"The timm model {model!r} {said}"


def test_a_network_without_blocks(monkeypatch):
    monkeypatch.delattr(timm.models.resnet.ResNet, "group_matcher")
    with pytest.raises(OptionError, match="has no blocks that the option freeze could count"):
        Timm("test_resnet", 3, freeze=1)


# LoRA


def test_at_first_nothing_changes():
    assert torch.equal(vit(lora=4).eval()(views()), vit().eval()(views()))


def test_updates_alone_learn_in_attention_and_mlp():
    learning = {n for n, weight in vit(lora=4).named_parameters() if weight.requires_grad}
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert learning == {
        f"model.blocks.{block}.{layer}.lora_{matrix}.default.weight"
        for block in range(6)
        for layer in layers
        for matrix in "AB"
    }


def test_the_formula_a_second_way():
    """W + (alpha / R) B A in every adapted layer, in plain torch."""
    backbone = stirred(vit(lora=4, lora_alpha=6.0))
    state, plain = backbone.state_dict(), vit()
    weights = plain.state_dict()
    for name in [n for n in state if n.endswith("base_layer.weight")]:
        owner = name.removesuffix("base_layer.weight")
        update = state[f"{owner}lora_B.default.weight"] @ state[f"{owner}lora_A.default.weight"]
        assert torch.equal(state[name], weights[f"{owner}weight"])
        weights[f"{owner}weight"] = state[name] + 6.0 / 4 * update
    plain.load_state_dict(weights)
    with torch.no_grad():
        wanted = plain.eval()(views())
        torch.testing.assert_close(backbone(views()), wanted, **CLOSE)
        assert not torch.allclose(wanted, vit().eval()(views()), **CLOSE)
        merged = backbone.merged()
        torch.testing.assert_close(merged(views()), wanted, **CLOSE)
    assert list(merged.state_dict()) == list(weights)
    assert merged.frozen() == []
    assert any("lora" in name for name in backbone.state_dict())  # It stays as it was.


def test_frozen_blocks_get_no_updates():
    backbone = vit(lora=2, freeze=4)
    learning = {
        n.split(".")[2] for n, weight in backbone.named_parameters() if weight.requires_grad
    }
    assert learning == {"4", "5"}
    assert not backbone.train().model.blocks[3].training


@pytest.mark.parametrize("model", ["test_vit", "eva02_tiny_patch14_224", "test_vit4"])
def test_a_gradient_reaches_every_update(model):
    """eva02 uses the weights of some layers directly, past any update: these have none."""
    if not timm.is_model(model):
        pytest.skip("this release of timm lacks it")
    backbone = Timm(model, 3, lora=2, image_size=56 if "eva" in model else SIZE)
    backbone(views(56 if "eva" in model else SIZE)).square().sum().backward()
    learning = [weight for weight in backbone.parameters() if weight.requires_grad]
    assert learning
    assert all(weight.grad is not None for weight in learning)


def test_a_copy_is_a_network_of_its_own():
    """As an EMA encoder is."""
    backbone = stirred(vit(lora=2))
    other = copy.deepcopy(backbone).requires_grad_(False)
    assert torch.equal(other(views()), backbone(views()))
    assert len(other.frozen()) == len(backbone.frozen())
    assert any(weight.requires_grad for weight in backbone.parameters())


@pytest.mark.parametrize("model", ["test_resnet", "test_convnext"])
def test_a_convolutional_network_has_no_attention(model):
    with pytest.raises(OptionError) as caught:
        Timm(model, 3, lora=2)
    assert str(caught.value) == (
        f"The option lora is for vision transformers, and the timm model {model!r} has no linear "
        "layers of attention. Use freeze, or leave it out."
    )


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(OptionError) as caught:
        vit(lora=2)
    assert (
        str(caught.value) == "LoRA needs peft, which is not installed: pip install 'sm3kit[lora]'"
    )


def test_the_laws_hold_with_all_of_it():
    check_backbone(
        Timm, "test_vit", ((1, 32, 32), (3, 32, 32)), pool="mean", freeze=1, lora=2, drop_path=0.1
    )


def test_less_memory_with_frozen_blocks_is_the_same_step():
    plain, saving = (vit(freeze=1, grad_checkpointing=on).train() for on in (False, True))
    for backbone in (plain, saving):
        backbone(views()).square().sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


# Foundation weights


def test_weights_of_another_size_from_a_file(tmp_path):
    """DINOv2 was trained with 518 pixels; the position embeddings are resampled as timm does."""
    torch.manual_seed(0)
    file, model = tmp_path / "dino.safetensors", "vit_small_patch14_dinov2"
    state = timm.create_model(model, num_classes=0, img_size=98).state_dict()
    save_file(state, file)
    backbone = Timm(model, 3, weights=str(file), image_size=56, lora=2).eval()
    own = backbone.merged().model.state_dict()
    assert own["pos_embed"].shape == (1, 1 + 4 * 4, 384)
    assert all(torch.equal(own[n], w) for n, w in state.items() if n != "pos_embed")
    with torch.no_grad():
        assert backbone(views(56)).shape == (2, 384)


def test_weights_under_the_names_of_their_authors(tmp_path, capfd):
    """DINOv3 as Meta publishes it; timm converts it, and prints a line for every block."""
    model, file = "vit_small_patch16_dinov3", tmp_path / "dino.safetensors"
    if not timm.is_model(model):
        pytest.skip("this release of timm lacks it")
    torch.manual_seed(0)
    state = timm.create_model(model, num_classes=0).state_dict()
    names = {"gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma", "reg_token": "storage_tokens"}
    theirs = {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.zeros(16)}
    for name, value in state.items():
        own = next((name.replace(n, other) for n, other in names.items() if n in name), name)
        theirs[own] = value
        if name.endswith("qkv.weight"):
            theirs[name.replace("weight", "bias")] = torch.zeros(len(value))
    save_file(theirs, file)
    own = Timm(model, 3, weights=str(file), image_size=64).model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("vit_small_patch14_dinov2.lvd142m", None),
        ("vit_tiny_patch16_224.augreg_in21k", ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))),
        ("resnet50.tv_in1k", None),
        ("resnet5", None),
    ],
)
def test_pixels_are_normalised_as_in_the_training_of_the_weights(model, wanted):
    """ImageNet's mean and deviation are what photographs are normalised with anyway."""
    assert Timm.normalisation(model, "imagenet") == wanted
    assert Timm.normalisation(model, "weights.safetensors") == wanted
    assert Timm.normalisation(model, "none") is None


# Views of two sizes


def multicrop(local_size):
    """Photographs of 64 pixels with two local views."""
    return Photo(64, local_views=2, local_size=local_size)


VARIANT = Variant(backbone="timm/test_vit", weights="none", image_size=64)


def test_global_and_local_views_go_through_one_network():
    backbone = tried_backbone(VARIANT, "derm", multicrop(48)).eval()
    alone = build_backbone(VARIANT, "derm", 3).eval()
    assert list(backbone.state_dict()) == list(alone.state_dict())
    alone.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        assert backbone(views(48)).shape == (2, backbone.width)
        torch.testing.assert_close(backbone(views(64)), alone(views(64)), rtol=0, atol=0)


def test_local_views_that_do_not_fit():
    odd = multicrop(50)  # No whole number of patches.
    with pytest.raises(VariantError) as caught:
        tried_backbone(VARIANT, "derm", odd)
    assert str(caught.value) == (
        "The backbone timm/test_vit takes views of derm of 64 pixels, and not local ones of 50 "
        "beside them. Give another -o derm.local_size (vision transformers take multiples of their "
        "patch), -o derm.local_views=0, or another --backbone."
    )
    assert tried_backbone(VARIANT, "derm", odd, local_views=False).width == 64
