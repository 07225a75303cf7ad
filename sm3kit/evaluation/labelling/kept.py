"""The network of a classifier that was kept, with its weights."""

from __future__ import annotations

import copy

from sm3kit.core.errors import CheckpointError
from sm3kit.evaluation.classifier_file import ClassifierFile, read_weights
from sm3kit.evaluation.decisions.stack import START
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.evaluation.labelling.ensemble import Ensemble
from sm3kit.evaluation.labelling.label_embedding import LabelEmbedding
from sm3kit.evaluation.labelling.label_network import FromFeatures, FromImages, LabelNetwork
from sm3kit.evaluation.missing.filling import new_filling
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.assemble import build_relation
from sm3kit.networks.branches import Branches
from sm3kit.runs.model import TrainedModel


def open_network(
    trained: TrainedModel, file: ClassifierFile, branches: Branches
) -> LabelNetwork | Ensemble:
    """The network of a classifier, with its weights.

    Args:
        trained: the run that it was trained on.
        branches: of the run; a fine-tuned classifier brings weights of its own for them.

    Raises:
        SM3Error: a plugin is missing, or the weights do not fit.
    """
    spec = ClassifierSpec.of(file.classifier.name, {file.classifier.name: file.classifier.options})
    members: list[LabelNetwork] = []
    for number in range(file.members):
        embedding = None
        if file.places is not None:
            labels = len(trained.facts.labels)
            relation = build_relation(trained.variant, branches.joint_width, labels)
            embedding = LabelEmbedding(relation, file.places)
        classifier = spec.build(branches, file.labels, embedding=embedding)
        filling = None
        if file.missing != Settings.missing:
            filling = new_filling(file.missing, branches.widths)
        if file.protocol == "finetune":
            own = branches if number == 0 else copy.deepcopy(branches)
            members.append(FromImages(own, classifier, filling))
        else:
            members.append(FromFeatures(classifier, filling, branches.joint))
    network = Ensemble(members) if file.ensemble else members[0]
    try:
        weights = {n: w for n, w in read_weights(file.path).items() if not n.startswith(START)}
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"The weights of {file.path} do not fit the networks of {trained.folder}: {reason}"
        ) from error
    file.decision.weigh(network)
    return network
