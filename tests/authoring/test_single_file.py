"""`--plugin FILE.py`: a single file is listed, checked, trained with, and recorded."""

import re
from pathlib import Path

import pytest
import yaml

from sm3kit.core.registry import with_plugin_files
from sm3kit.core.variant import Variant
from sm3kit.grids.planning import for_stage1, key_of_training
from sm3kit.pytest_plugin import TINY

OWN = '''
"""An own fusion."""

from torch import nn

from sm3kit.api import Fusion, NamedModules, register

SM3KIT_API = 1


@register("fusions", "own")
class Own(Fusion):
    """One linear layer per modality."""

    def __init__(self, widths, *, projection: int = 8) -> None:
        super().__init__(widths)
        layers = {name: nn.Linear(width, projection) for name, width in widths.items()}
        self.layers = NamedModules(layers)

    def forward(self, features, present):
        """One stream per modality."""
        return {name: [self.layers[name](one) for one in features[name]] for name in self.widths}
'''


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own_fusion.py"
    file.write_text(OWN, encoding="utf-8")
    return file


def test_it_is_listed_shown_and_checked(own, sm3kit_command):
    listed = sm3kit_command("plugins", "list", "--plugin", own).output
    assert re.search(r"^  own +own_fusion.py +own_fusion:Own$", listed, re.M)
    shown = sm3kit_command("plugins", "show", "own", "--plugin", own).output
    assert shown.startswith("fusion own, own_fusion.py (own_fusion:Own)\n")
    said = sm3kit_command("plugins", "check", "own", "--plugin", own).output
    assert "not tried  discovery" in said
    assert "ok         API version" in said
    assert "No plugin named 'own'" in sm3kit_command("plugins", "show", "own").stderr


@pytest.mark.parametrize("words", [("pretrain",), ("plugins", "list"), ("data", "check", "x:y")])
def test_a_file_that_does_not_go_is_one_line(own, sm3kit_command, words):
    own.write_text("x = 1\n", encoding="utf-8")
    done = sm3kit_command(*words, "--plugin", own)
    assert done.exit_code == 1
    assert "own_fusion.py registers nothing." in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_there(sm3kit_command):
    done = sm3kit_command("pretrain", "--plugin", "gone.py")
    assert (done.exit_code, "'gone.py' does not exist" in done.stderr) == (2, True)


def test_a_run_records_it_and_evaluate_asks_for_it(own, sm3kit_command, tiny_studies):
    words = ("pretrain", "--fusion", "own", "--data", tiny_studies(), *TINY, "--out", "run")
    done = sm3kit_command(*words, "--plugin", own)
    assert done.exit_code == 0, done.output
    record = yaml.safe_load(Path("run", "variant.yaml").read_text("utf-8"))
    (file,) = record["plugin_files"]
    assert (file["file"], file["names"]) == (str(own), ["fusions/own"])
    for command in (("evaluate", "run"), ("pretrain", "--resume", "--out", "run")):
        refused = sm3kit_command(*command)
        assert refused.exit_code == 1
        assert refused.stderr == (
            "Error: run was trained with fusions/own from a plugin file that is not loaded. "
            f"Add: --plugin {own}\n"
        )
    probe = ("--epochs", "2", "--select", "last")
    done = sm3kit_command("evaluate", "run", *probe, "--plugin", own)
    assert done.exit_code == 0, done.output
    for command in (("predict", "run", "--split", "test"), ("embed", "run", "--out", "f.npz")):
        assert f"Add: --plugin {own}" in sm3kit_command(*command).stderr
        done = sm3kit_command(*command, "--plugin", own)
        assert done.exit_code == 0, done.output
    settings = ("--protocol", "knn", "--select", "last", "--k", "2")
    done = sm3kit_command("evaluate", "run", *settings, "--plugin", own)
    assert done.exit_code == 0, done.output
    assert "has changed since" not in done.output
    own.write_text(OWN + "# More.\n", encoding="utf-8")
    done = sm3kit_command("evaluate", "run", *settings, "--plugin", own)
    assert done.exit_code == 0, done.output
    assert "has changed since" in " ".join(done.output.split())


def test_an_unused_file_is_not_recorded(own, sm3kit_command, tiny_studies):
    words = ("pretrain", "--data", tiny_studies(), *TINY, "--stage", "mmssl", "--epochs", "0")
    done = sm3kit_command(*words, "--out", "run", "--plugin", own)
    assert done.exit_code == 0, done.output
    assert "plugin_files" not in yaml.safe_load(Path("run", "variant.yaml").read_text("utf-8"))


def test_the_code_of_a_file_is_in_the_keys_of_a_grid(own):
    def keys():
        with with_plugin_files([own]):
            mine, other = (for_stage1(Variant(fusion=name)) for name in ("own", "sep_sep"))
            return key_of_training(mine, "data"), key_of_training(other, "data")

    before = keys()
    assert keys() == before
    own.write_text(OWN + "# More.\n", encoding="utf-8")
    after = keys()
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.slow
def test_the_workers_of_a_grid_find_it(own, sm3kit_command, tiny_studies, tmp_path):
    base = {"stage": "mmssl", "fusion": "own", "image_size": 32}
    base |= {"backbone": "timm/test_resnet", "weights": "none", "machine": {"workers": 0}}
    base |= {"stage1": {"epochs": 1, "batch_size": 8}}
    plan = {"base": base, "seeds": [0], "protocols": ["match"], "baseline": "own"}
    plan |= {"rows": {"own": {"stage1": {"lr": 0.001}}}}
    grid = tmp_path / "mine.yaml"
    grid.write_text(yaml.safe_dump(plan), encoding="utf-8")
    words = ("ablate", "--grid", grid, "--data", tiny_studies(), "--jobs", "2", "--out", "grid")
    done = sm3kit_command(*words, "--plugin", own)
    assert done.exit_code == 0, done.output
