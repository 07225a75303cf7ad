"""Weight files that are damaged, of something else, or meant to do harm: one line for each."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import timm
import torch
from hostile_weights import MARK, hostile_files

from sm3kit.core.errors import CheckpointError
from sm3kit.core.variant import Variant
from sm3kit.networks.backbone import build_backbone

LONGEST = 300  # Seconds for all files together; a minute on a busy machine.
# What torch and timm cast into floats without a loss that anybody would notice.
TAKEN = {"float8", "float8-pth"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    torch.manual_seed(0)
    state = timm.create_model("test_resnet", pretrained=False).state_dict()
    return hostile_files(tmp_path_factory.mktemp("hostile"), state)


def build(path):
    variant = Variant(backbone="test_resnet", weights=str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return build_backbone(variant, "derm", 3)


def test_every_file_has_its_line(files, capfd):
    assert len(files) > 80
    for name, path in files.items():
        if name in TAKEN:
            build(path)
            continue
        with pytest.raises(CheckpointError) as caught:
            build(path)
        said = str(caught.value)
        assert "\n" not in said and len(said) < 1000, name
        assert str(path) in said, name
        assert "weights_only" not in said and "miniz" not in said, said
    assert not (files["empty"].parent / MARK).exists(), "the code in a file has run"
    assert capfd.readouterr() == ("", ""), "a library has spoken"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "The weight file {} cannot be read: it is truncated, or not a PyTorch file."),
        ("zeros", "The weight file {} cannot be read: it is truncated, or not a PyTorch file."),
        ("cut-5", "The weight file {} cannot be read: it is truncated, or not a PyTorch file."),
        ("code", "The weight file {} is not a plain state_dict of tensors, or contains code"),
        ("keys-numbers", "The weight file {} is not a plain state_dict of tensors"),
        ("complex", "The weight file {} is not a plain state_dict of tensors"),
        ("meta", "The weight file {} is not a plain state_dict of tensors"),
        ("header-too-long", "The weight file {} cannot be read: Error while deserializing header"),
        ("whole-numbers", "it holds torch.int64 in 'conv1.0.weight', which must hold floats."),
        ("names", "it lacks 75 of 75 tensors, such as 'conv1.0.weight'."),
        ("nan", "--weights {} gives NaN or infinity in model.conv1.0.weight"),
        ("pipe", "{} is a named pipe, not a weight file. Give --weights imagenet, none, or a "),
        ("device", "{} is a device, not a weight file. "),
        ("folder", "{} is a folder, not a weight file. "),
        ("link-to-nothing", "There is no weight file {} (a link to "),
        ("nowhere", "No weight file '{}'. Give --weights imagenet, none, or a "),
    ],
)
def test_what_is_said(files, name, said):
    with pytest.raises(CheckpointError) as caught:
        build(files[name])
    assert said.format(files[name]) in str(caught.value)


@pytest.mark.slow
def test_no_file_hangs(files):
    """All of them in a process of their own, which could be ended."""
    code = (
        "import sys\n"
        "from sm3kit.core.errors import SM3Error\n"
        "from sm3kit.backbones.timm import Timm\n"
        "for path in sys.argv[1:]:\n"
        "    try: Timm('test_resnet', 3, weights=path)\n"
        "    except SM3Error: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, files.values())],
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
        cwd=Path(files["empty"]).parent,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
