"""What plugin authors import: contracts, errors, `register`, and what data sets are made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sm3kit.backbones.base import Backbone
from sm3kit.classifiers.base import Classifier, ClassifierInputs, LabelledFeatures
from sm3kit.clusterers.base import Clusterer, Clustering
from sm3kit.core import ranges
from sm3kit.core.errors import CheckpointError, DataError, OptionError, SM3Error, VariantError
from sm3kit.core.files import file_and_part, regular_file
from sm3kit.core.installed import API_VERSION
from sm3kit.core.registry import registry
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study, WeakScores
from sm3kit.fusions.base import Fusion
from sm3kit.losses.base import LabelLoss
from sm3kit.modalities.base import Image, Modality
from sm3kit.nn.host.values import host_values, known_tensor
from sm3kit.nn.label_heads import mean_of_known
from sm3kit.nn.map_shape import MapShape
from sm3kit.nn.named_modules import NamedModules
from sm3kit.objectives.base import Features, Objective, Teaching
from sm3kit.relations.base import Relation
from sm3kit.samplers.base import Sampler
from sm3kit.tables.csv_table import Row, Table, class_name, read_table
from sm3kit.tables.joining import join_notes, one_per_key, visible_paths
from sm3kit.tables.spelling import UNKNOWN_WORDS, blank_unknown, spelling_notes
from sm3kit.tables.splits import rarest, split_groups

T = TypeVar("T", bound=Callable[..., Any])

__all__ = [
    "API_VERSION",
    "UNKNOWN_WORDS",
    "Backbone",
    "CheckpointError",
    "Classifier",
    "ClassifierInputs",
    "Clusterer",
    "Clustering",
    "DataError",
    "Dataset",
    "Features",
    "Fusion",
    "Image",
    "LabelLoss",
    "LabelSpec",
    "LabelledFeatures",
    "MapShape",
    "Modality",
    "ModalitySpec",
    "NamedModules",
    "Objective",
    "OptionError",
    "Relation",
    "Row",
    "SM3Error",
    "Sampler",
    "Study",
    "Table",
    "Teaching",
    "VariantError",
    "WeakScores",
    "blank_unknown",
    "class_name",
    "component",
    "file_and_part",
    "host_values",
    "join_notes",
    "known_tensor",
    "mean_of_known",
    "one_per_key",
    "ranges",
    "rarest",
    "read_table",
    "register",
    "regular_file",
    "spelling_notes",
    "split_groups",
    "visible_paths",
]


def register(family: str, name: str) -> Callable[[T], T]:
    """A decorator that adds a plugin for this session; packages use entry points instead.

    Raises:
        UnknownName: there is no such family.
        NameClash: the name is taken.
    """
    return registry(family).register(name)


def component(family: str, name: str) -> Any:
    """The class behind a name, to build on: `component("datasets", "derm7pt")(folder)`.

    Raises:
        UnknownName: there is no such family or plugin.
        NameClash: two distributions claim the name.
        BrokenPlugin: it cannot be imported.
    """
    return registry(family).get(name)
