"""Every classifier becomes a graph that takes any number of studies, as `export` and others need it."""

import pytest
import torch

from sm3kit.core.registry import registry
from sm3kit.testing.classifier_trial import ClassifierTrial
from sm3kit.testing.tensors import each_tensor


class OneTable(torch.nn.Module):
    """A classifier that takes all that it is given as a single argument."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, table):
        return self.classifier(table["features"], table["present"], **table["more"])


def table_of(trial, names, rows):
    batch = trial.batch(names, rows)
    present = dict(batch.present)
    if not trial.joint:
        present[names[-1]] = torch.arange(rows) % 2 == 0
    table = {"features": batch.features, "present": present, "more": batch.more}
    return each_tensor(table, lambda values: values.detach())


@pytest.mark.parametrize("name", registry("classifiers").names())
def test_the_number_of_studies_is_free(name):
    trial = ClassifierTrial(registry("classifiers").get(name))
    names = trial.modalities[:2][-1]
    network = OneTable(trial.taught(names).eval())
    tables = [table_of(trial, names, rows) for rows in (3, 1, 5)]
    free = each_tensor(tables[0], lambda _: {0: torch.export.Dim.AUTO})
    graph = torch.export.export(network, (tables[0],), dynamic_shapes=(free,)).module()
    for table in tables:
        torch.testing.assert_close(graph(table), network(table))
