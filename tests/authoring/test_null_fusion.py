"""A fusion of others that gives no streams is worth as much as the one called `none`."""

import json

import pytest

from sm3kit.api import Fusion
from sm3kit.pytest_plugin import TINY


class Apart(Fusion):
    """Gives no streams, and is called otherwise than the built-in one."""

    default_objective = ""

    def forward(self, features, present):
        return {}

    def stream_present(self, present):
        return {}


@pytest.fixture
def apart(registered):
    registered("fusions", "apart", Apart)


@pytest.mark.parametrize("modalities", [("derm", "clinic"), ("derm",)])
def test_it_trains_and_is_evaluated(apart, sm3kit_command, tiny_studies, modalities):
    data = tiny_studies(modalities=modalities)
    words = ("--data", data, "--fusion", "apart", "--out", "run", "--json")
    done = sm3kit_command("pretrain", *words, *TINY)
    assert done.exit_code == 0, done.output
    spaces = {row["space"] for row in json.loads(done.stdout)["matched"]}
    assert spaces == ({"backbone"} if len(modalities) > 1 else set())
    assert sm3kit_command("evaluate", "run", "--protocol", "knn").exit_code == 0
    refused = sm3kit_command("embed", "run", "--out", "f.npz", "--space", "projection")
    assert refused.exit_code == 1
    assert "has the fusion apart" in refused.output


def test_an_objective_on_streams_is_refused(apart, sm3kit_command, tiny_studies):
    words = ("--data", tiny_studies(), "--fusion", "apart", "--objective", "crossmodal")
    done = sm3kit_command("pretrain", *words, *TINY)
    assert done.exit_code == 1
    assert "--fusion apart gives none" in done.output
