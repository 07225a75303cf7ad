"""A grid of seconds, for the tests of the runner."""

import copy

import yaml

TINY = {
    "title": "Tiny",
    "data": "synthetic:40",
    "base": {
        "image_size": 32,
        "stage1": {"epochs": 1, "batch_size": 8, "monitor_every": 0, "precision": "32"},
        "stage2": {"epochs": 1, "feature_views": 1},
        "machine": {"workers": 0},
        "options": {"synthetic": {"size": 32}, "sep_sep": {"projection": 16}},
        "evaluate": {
            "probe": {"epochs": 1, "feature_views": 1, "resamples": 10},
            "probe-relation": {"epochs": 1},
        },
    },
    "protocols": ["probe"],
    "baseline": "random",
    "rows": {
        "random": {"recipe": "random"},
        "sep_sep": {"recipe": "sep_sep"},
        "tel": {"recipe": "tel"},
    },
}


def tiny(**changes):
    """The content of the tiny grid with some keys changed."""
    return {**copy.deepcopy(TINY), **changes}


def write(path, content):
    """A grid file, as text for a command line."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)
