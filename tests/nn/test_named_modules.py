"""A table of networks that takes any name, and keeps the keys of those that torch takes."""

import copy
import io

import pytest
import torch
from torch import nn

from sm3kit.nn.named_modules import NamedModules, module_key, name_behind

PLAIN = [
    "derm",
    "clinic",
    "close-up",
    "a b",
    "a/b",
    "Größe",
    "x" * 200,
    "a%2Eb",
    "50%",
    "$a$",
    "__b__",
]
REFUSED = [
    *("type", "half", "train", "training", "forward", "keys", "items", "__class__", "_modules"),
    *("a.b", "img.derm", ".", "..", "", "%", "%type", "%%", "%a%2Eb", 'a"b', "a\\b", "a\nb"),
]


def test_names_that_torch_takes_keep_their_keys():
    own = NamedModules({name: nn.Linear(1, 1) for name in PLAIN})
    plain = nn.ModuleDict({name: nn.Linear(1, 1) for name in PLAIN})
    assert list(own.state_dict()) == list(plain.state_dict())
    own.load_state_dict(plain.state_dict())


def test_any_name_is_taken_and_given_back():
    layers = {name: nn.Linear(1, 1) for name in [*PLAIN, *REFUSED]}
    own = NamedModules(layers)
    assert list(own) == list(own.keys()) == list(layers)
    assert dict(own.items()) == layers
    assert all(own[name] is layer and name in own for name, layer in layers.items())
    assert len(own) == len(layers) == len(set(map(module_key, layers)))
    assert "other" not in own
    assert own.pop("type") is layers["type"]
    assert "type" not in own


@pytest.mark.parametrize("name", [*PLAIN, *REFUSED])
def test_a_key_stands_for_one_name(name):
    assert name_behind(module_key(name)) == name
    assert "." not in module_key(name)


def test_keys_of_refused_names():
    assert module_key("type") == "%type"
    assert module_key("a.b") == "%a%2Eb"
    assert module_key("%a%2Eb") == "%%25a%252Eb"


def test_it_is_copied_saved_and_loaded():
    own = NamedModules({name: nn.Linear(2, 2) for name in REFUSED})
    memory = io.BytesIO()
    torch.save(copy.deepcopy(own).state_dict(), memory)
    memory.seek(0)
    fresh = NamedModules({name: nn.Linear(2, 2) for name in REFUSED})
    fresh.load_state_dict(torch.load(memory, weights_only=True))
    assert all(torch.equal(own[name].weight, fresh[name].weight) for name in REFUSED)
