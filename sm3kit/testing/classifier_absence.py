"""What must not count of images that are absent."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from sm3kit.classifiers.base import Classifier
from sm3kit.testing import tensors
from sm3kit.testing.classifier_learning import finite, near
from sm3kit.testing.classifier_trial import LabelledBatch
from sm3kit.testing.law import require


def absent_stay_out(classifier: Classifier, batch: LabelledBatch) -> None:
    """The same results whatever stands in absent rows, and without studies that have no image."""
    some = torch.stack(list(batch.present.values())).any(dim=0)
    other = batch.copied(fill=100.0)
    results = _results(classifier, batch.copied(), some)
    require(finite(results), "gives something that is not finite where images are absent")
    for name, rows in _results(classifier, other, some).items():
        require(near(results[name], rows), f"lets absent images change {name}")
    for name, images in other.of_images().items():
        reached = any(t.grad is not None and t.grad[~batch.present[name]].any() for t in images)
        require(not reached, "gives absent images a gradient")
    if 0 < some.sum() < len(some):
        fewer = _results(classifier, batch.copied().of_rows(some), some[some])
        results["logits"] = tensors.each_tensor(results["logits"], lambda rows: rows[some])
        for name, rows in fewer.items():
            require(near(results[name], rows), f"lets studies without any image change {name}")


def _results(classifier: Classifier, batch: LabelledBatch, some: Tensor) -> dict[str, Any]:
    """All that comes of a batch, by a name that people read.

    Args:
        some: (B,) bool, the studies that gradients are asked of.
    """
    twin = copy.deepcopy(classifier)
    torch.manual_seed(1)
    streams, terms = batch.ask(twin), twin.extra_terms()
    logits = [rows[some].square().sum() for stream in streams.values() for rows in stream]
    total = torch.stack([*logits, *terms.values()]).sum()
    if total.requires_grad:
        torch.autograd.backward(total)
    weights = twin.named_parameters()
    return {
        "logits": tensors.without_gradient(streams),
        "extra terms": tensors.without_gradient(terms),
        "running statistics": dict(twin.named_buffers()),
        "gradients": {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in weights},
    }


def without_dropout(classifier: Classifier) -> Classifier:
    """The classifier whose dropout layers drop nothing, since they draw for every row."""
    for module in classifier.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return classifier
