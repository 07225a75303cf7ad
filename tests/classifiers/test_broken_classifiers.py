"""Classifiers that break a law are found out."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sm3kit import testing
from sm3kit.classifiers.base import Classifier
from sm3kit.classifiers.f4m import F4M
from sm3kit.classifiers.linear import Linear
from sm3kit.classifiers.logistic import Logistic
from sm3kit.core.errors import ContractError
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import only_present
from sm3kit.testing import classifiers
from sm3kit.testing.classifier_trial import ClassifierTrial
from sm3kit.testing.law import judge


class Added(Classifier):
    """Heads on the sum of one layer of each modality, with a batch norm before them."""

    norm = False

    def __init__(self, inputs):
        super().__init__(inputs)
        widths = self.widths.items()
        self.layers = NamedModules({name: nn.Linear(width, 64) for name, width in widths})
        self.normed = nn.BatchNorm1d(64) if self.norm else nn.Identity()
        self.heads = LabelHeads(64, self.classes)
        self.register_buffer("mask", torch.tensor([True, False]))  # Not all buffers are numbers.

    def part(self, name, features, present):
        return only_present(self.layers[name](features[name]), present[name])

    def forward(self, features, present, **more):
        parts = [self.part(name, features, present) for name in self.widths]
        return {"sum": self.heads(self.normed(torch.stack(parts).sum(0)))}


def test_the_example_itself_holds_the_laws():
    testing.check_classifier(Added)


class Careless(Added):
    """Takes absent rows for present ones."""

    def part(self, name, features, present):
        return self.layers[name](features[name])


class Diluted(Added):
    """Batch statistics with the zeros of studies that have no image."""

    norm = True


class Forced(Added):
    """The values of absent rows do not count, but they get a gradient."""

    def part(self, name, features, present):
        rows = features[name].sum(1, keepdim=True)
        return super().part(name, features, present) + rows - rows.detach()


class Positional(Added):
    """Rows count by their place in the batch."""

    def part(self, name, features, present):
        rows = super().part(name, features, present)
        return rows * torch.arange(len(rows)).unsqueeze(1)


class Partial(Added):
    """It does not look at its last modality."""

    def forward(self, features, present, **more):
        first = next(iter(self.widths))
        return {"sum": self.heads(self.part(first, features, present))}


class Spare(Added):
    """A weight of it never learns."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.spare = nn.Parameter(torch.zeros(1))


class Deaf(Added):
    """What it hears is too faint to learn from."""

    def part(self, name, features, present):
        return 1e-9 * super().part(name, features, present)


class Unsure(Added):
    """Its probabilities are odds."""

    def decide(self, streams):
        return [logits.exp() for logits in self.weigh(streams)]


class Rounded(Added):
    """It decides in half the digits."""

    def decide(self, streams):
        return [logits.float().softmax(1) for logits in self.weigh(streams)]


class Misnamed(Added):
    """It weighs a stream that it does not have."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.stream_weights = {"total": 0.5}


class InPlace(Added):
    """It changes what it is given."""

    def part(self, name, features, present):
        with torch.no_grad():
            features[name].mul_(present[name].unsqueeze(1)).clamp_(-1, 1)
        return super().part(name, features, present)


class Vector(Added):
    """An extra term is not a number."""

    def extra_terms(self):
        return {"rows": torch.zeros(3)}


class Dotted(Added):
    """Modalities cannot have every name."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.layers = nn.ModuleDict({n: nn.Linear(w, 64) for n, w in self.widths.items()})


class Uniform(Added):
    """All modalities have the width of the first."""

    def __init__(self, inputs):
        super().__init__(inputs)
        width = next(iter(self.widths.values()))
        self.layers = NamedModules({name: nn.Linear(width, 64) for name in self.widths})


class Forgetful(Added):
    """What it does is not in its state."""

    def __init__(self, inputs):
        super().__init__(inputs)
        Forgetful.built = getattr(Forgetful, "built", 0) + 1
        self.number = Forgetful.built

    def part(self, name, features, present):
        return self.number * super().part(name, features, present)


class Unaware(Linear):
    """It does not look at the label embeddings."""

    def __init__(self, inputs):
        super().__init__(replace(inputs, embedding=None))


class Trusting(Logistic):
    """Unknown classes are the first class."""

    def fit(self, train, choosing):
        return super().fit(replace(train, labels=train.labels.clamp(min=0)), choosing)


class Restless(Logistic):
    """Another fit gives something else."""

    def fit(self, train, choosing):
        chosen = super().fit(train, choosing)
        self.bias += torch.randn(1)
        return chosen


class Blind(Logistic):
    """It is fitted to other classes."""

    def fit(self, train, choosing):
        return super().fit(replace(train, labels=train.labels.roll(1, dims=0)), choosing)


class Spoilt(Logistic):
    """Every label must have two classes."""

    def fit(self, train, choosing):
        for column in train.labels.T:
            if len(column[column >= 0].unique()) < 2:
                raise ValueError("one class")
        return super().fit(train, choosing)


@pytest.mark.parametrize(
    ("plugin", "law", "said"),
    [
        (Careless, "missing images", "It lets absent images change logits."),
        (Diluted, "missing images", "It lets studies without any image change "),
        (Forced, "missing images", "It gives absent images a gradient."),
        (Positional, "batch order", "It depends on the order of the rows in a batch."),
        (Partial, "gradient", "It gives weight 'layers.b.weight' no gradient."),
        (Spare, "gradient", "It gives weight 'spare' no gradient."),
        (Deaf, "overfits", "It does not overfit 16 studies: "),
        (Unsure, "decision", "It decides by probabilities that do not sum to one."),
        (Rounded, "decision", "It turns torch.float64 into torch.float32 when it decides."),
        (Misnamed, "builds", "It has stream_weights of ['total'], which are no streams of it."),
        (InPlace, "input", "It changes its input in place."),
        (Vector, "extra terms", "It gives a term 'rows' that is no single number."),
        (Dotted, "names", "It cannot be built for modalities named type, train, a.b: "),
        (Uniform, "backbones", "It raises RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (Forgetful, "state", "It is not the same after its state was saved and loaded."),
        (Forgetful, "seed", "It gives something different under the same seed."),
        (Unaware, "embeddings", "It takes no notice of the label embeddings."),
        (Trusting, "fits", "It lets studies count for a label whose class is unknown."),
        (Restless, "fits", "It differs when fitted again."),
        (Spoilt, "fits", "It raises ValueError: one class"),
        (Blind, "fits", "It does not tell classes apart that lie apart."),
    ],
)
def test_a_classifier_that_breaks_a_law(plugin, law, said):
    (broken,) = (one for one in classifiers.LAWS.all if one.name == law)
    verdict = judge(broken, ClassifierTrial(plugin))
    assert verdict.outcome == "FAILED"
    assert verdict.sentence.startswith(said)


def test_a_check_names_the_class():
    with pytest.raises(ContractError, match="Careless lets absent images change logits"):
        testing.check_classifier(Careless)


def test_options_reach_the_classifier():
    classifier = ClassifierTrial(F4M, {"embedding": 8}).build(["a", "b"])
    assert classifier.heads["a"].heads[0].in_features == 8
