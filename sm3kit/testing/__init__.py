"""Each contract as executable laws, for plugin authors and for sm3kit's own tests.

Every `check_*` takes the plugin class, builds it with its default options, or with those given,
and raises ContractError with one sentence on the first law that does not hold.
"""

from sm3kit.testing.backbones import check_backbone
from sm3kit.testing.classifiers import check_classifier
from sm3kit.testing.clusterers import check_clusterer
from sm3kit.testing.datasets import check_dataset
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.fusions import check_fusion
from sm3kit.testing.losses import check_loss
from sm3kit.testing.modalities import check_modality
from sm3kit.testing.objectives import check_objective
from sm3kit.testing.processes import process_difference
from sm3kit.testing.relations import check_relation
from sm3kit.testing.samplers import check_sampler

__all__ = [
    "check_backbone",
    "check_classifier",
    "check_clusterer",
    "check_dataset",
    "check_documented",
    "check_fusion",
    "check_loss",
    "check_modality",
    "check_objective",
    "check_relation",
    "check_sampler",
    "process_difference",
]
