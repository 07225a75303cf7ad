"""Small models of the modules of timm: at 48 pixels they work, or say which sizes would.

tests/benchmarks/timm_families.py tries one of every module and prints what became of each.
"""

import re

import pytest
import timm
import torch

from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import VariantError
from sm3kit.core.variant import Variant
from sm3kit.modalities.photo import Photo
from sm3kit.networks.backbone import tried_backbone

# The smallest of each module by the number of weights, in timm 1.0.31.
SMALLEST = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_s",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg19",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
# Their smallest have over 400 million weights.
LARGE = {"deepseek_vit", "gemma4_vit"}


# timm's own models for tests.
TINY = [module for module, model in SMALLEST.items() if model.startswith("test_")]
# Their smallest takes a second at most, or is one of few that ask for other sizes.
SMALL = [
    "convit", "cpubone", "csatv2", "cspnet", "cspnext", "deit", "densenet", "dla",
    "dpn", "edgenext", "efficientformer_v2", "efficientvim", "efficientvit_mit",
    "efficientvit_msra", "eva", "fasternet", "fastvit", "gcvit", "ghostnet", "hardcorenas",
    "hgnet", "iformer", "inception_next", "lcnetv2", "levit", "lowformer", "metaformer",
    "mlp_mixer", "mobilenetv3", "mobilevit", "pit", "pvt_v2", "regnet", "repghost",
    "repvit", "resnest", "resnetv2", "rexnet", "senet", "shvit", "sknet", "starnet",
    "swiftformer", "tiny_vit", "visformer", "vovnet", "xcit",
]  # fmt: skip


def tried(model, size):
    torch.manual_seed(0)
    return tried_backbone(
        Variant(backbone=f"timm/{model}", weights="none", image_size=size), "derm", Photo(size)
    )


def check_small_size(model):
    """Checks a model with views of 48 pixels; gives the sizes that it asks for, or an empty text."""
    try:
        backbone = tried(model, 48)
    except VariantError as error:
        told = re.fullmatch(
            rf"The backbone timm/{re.escape(model)} does not accept the views of derm, 48 x 48 pixels\. "
            r"It takes ([\d, ]+), for example: give --image-size derm=\d+, or another --backbone\.",
            str(error),
        )
        assert told, error
        assert str(Timm.own_size(model)) in told[1].split(", ")
        return told[1]
    with torch.no_grad():
        images = torch.rand(2, 3, 48, 48)
        wanted = backbone.eval()(images)
        assert wanted.shape == (2, backbone.width)
        features, maps = backbone.features_and_maps(images)
        assert torch.equal(features, wanted)
        assert [shape.channels for shape in backbone.map_shapes] == [len(t[0]) for t in maps]
    tried(model, Timm.own_size(model))
    return ""


def test_every_module_of_timm_is_here():
    assert set(timm.list_modules()) - set(SMALLEST) <= LARGE


@pytest.mark.parametrize(
    "module", [*TINY, *(pytest.param(module, marks=pytest.mark.slow) for module in SMALL)]
)
def test_a_small_size_works_or_is_refused_with_those_that_do(module):
    check_small_size(SMALLEST[module])
