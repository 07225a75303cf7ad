"""Multi-label SSL on made-up joint features: what one epoch does, number by number."""

import copy
import math

import numpy as np
import pytest
import torch
from tiny_runs import altered
from torch import nn
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering
from sm3kit.core.errors import DataError, TrainingError
from sm3kit.core.registry import registry
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.relations.base import Relation
from sm3kit.training.pseudo_labels.clusters import PseudoLabel
from sm3kit.training.stage2 import MultiLabelSSL

COUNT, WIDTH = 12, 6
LABELS = (PseudoLabel("one", 3), PseudoLabel("two", 2))
RELATIONS = ["none", "proj", "msa", "tel", "te"]


class Listed:
    """A joint source over a table."""

    def __init__(self, joint):
        self.joint, self.asked = joint, []

    def __len__(self):
        return len(self.joint)

    def batch(self, index):
        return JointBatch(self.joint[index], torch.full((len(index), 2), -1), index)

    def in_order(self, epoch):
        self.asked.append(epoch)
        for index in torch.arange(len(self)).split(5):
            yield self.batch(index)


class Noting(Clusterer):
    """k-means by hand, that remembers what it was asked."""

    def __init__(self):
        self.seen = []

    def fit(self, embeddings, k, seed):
        self.seen.append((embeddings.clone(), k, seed))
        centroids = embeddings[:k].clone()
        assignments = torch.arange(len(embeddings)) % k
        return Clustering(assignments, centroids, 1.0)


class AsIs(Relation):
    """The feature itself for each label, of the length of a layer norm."""

    normed = True

    def __init__(self, width, labels):
        super().__init__()
        self.width, self.labels, self.embedding = width, labels, width
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, feature):
        return self.scale * feature.unsqueeze(1).expand(-1, self.labels, -1)


@pytest.fixture
def joint():
    return torch.randn(COUNT, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def module_of(second, joint):
    """module_of(relation, clusterer, **settings): the stage before its first epoch."""

    def make(relation="tel", clusterer=None, labels=LABELS, **settings):
        variant = altered(second, **settings)
        torch.manual_seed(0)
        if isinstance(relation, str):
            options = {} if relation == "none" else {"embedding": 4}
            relation = registry("relations").get(relation)(WIDTH, len(labels), **options)
        chosen = clusterer or registry("clusterers").get("faiss")(restarts=1)
        return MultiLabelSSL(relation, chosen, labels, variant, Listed(joint), 3)

    return make


def epoch_of(module, optimiser=None, size=4, steps=None):
    """One epoch by hand, as Lightning runs it."""
    optimiser = optimiser or module.configure_optimizers()
    module.on_train_epoch_start()
    losses = []
    for number, index in enumerate(torch.arange(COUNT).split(size)[:steps]):
        optimiser.zero_grad()
        loss = module.training_step(module.source.batch(index), number)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


# The loss


def test_the_first_loss_by_hand(module_of):
    """Two studies on two axes of length 2, two clusters around them: logits 2 and 0.

    Each costs log(1 + exp(-2)); with T = 2 the logits are 1 and 0.
    """
    axes = 2 * torch.eye(2)

    class Found(Clusterer):
        def fit(self, embeddings, k, seed):
            return Clustering(torch.tensor([0, 1]), embeddings[:2].clone(), 0.0)

    for temperature, cost in ((1.0, math.log1p(math.exp(-2))), (2.0, math.log1p(math.exp(-1)))):
        module = module_of(
            AsIs(2, 3),
            Found(),
            [PseudoLabel(n, 2) for n in "abc"],
            stage2={"temperature": temperature},
        )
        module.source = Listed(axes)
        module.bank = torch.zeros(3, 2, 2)
        module.assigned = torch.full((3, 2), -1)
        module.fill_bank(module.source.in_order(0))
        module.on_train_epoch_start()
        loss = module.training_step(module.source.batch(torch.arange(2)), 0)
        assert float(loss.detach()) == pytest.approx(cost, rel=1e-6)
        assert list(module.last_terms) == ["ce/a", "ce/b", "ce/c"]
        assert all(float(term) == pytest.approx(cost) for term in module.last_terms.values())


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_first_loss_is_that_of_the_formula(module_of, relation):
    module = module_of(relation, stage2={"temperature": 0.5})
    module.fill_bank(module.source.in_order(0))
    module.on_train_epoch_start()
    index = torch.tensor([3, 0, 7])
    module.eval()
    embeddings = module.relation(module.source.joint[index])
    if not module.relation.normed:
        length = embeddings.shape[-1] ** 0.5
        embeddings = length * embeddings / embeddings.norm(dim=-1, keepdim=True)
    terms = []
    for number, found in enumerate(module.clusterings):
        prototypes = found.centroids / found.centroids.norm(dim=1, keepdim=True)
        logits = embeddings[:, number] @ prototypes.T / 0.5
        own = found.assignments[index]
        terms.append(-logits.log_softmax(1)[torch.arange(3), own].mean())
    loss = module.training_step(module.source.batch(index), 0)
    assert float(loss.detach()) == pytest.approx(
        float(torch.stack(terms).mean().detach()), rel=1e-5
    )
    for term, wanted in zip(module.last_terms.values(), terms, strict=True):
        assert float(term) == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_a_sum_is_k_means(module_of):
    losses = []
    for how in ("mean", "sum"):
        module = module_of(stage2={"label_loss": how})
        module.fill_bank(module.source.in_order(0))
        module.on_train_epoch_start()
        loss = module.training_step(module.source.batch(torch.arange(4)), 0)
        losses.append(float(loss.detach()))
        terms = {name: float(term) for name, term in module.last_terms.items()}
        assert module.total(terms) == pytest.approx(losses[-1])
    assert losses[1] == pytest.approx(2 * losses[0])


@pytest.mark.parametrize("relation", ["proj", "msa", "tel", "te"])
def test_the_order_of_labels_does_not_matter(module_of, relation):
    """Labels in another order, with their projections, clusters and prototypes, cost the same."""
    losses = []
    for order in ((0, 1, 2), (2, 0, 1)):
        module = module_of(relation, labels=[PseudoLabel(f"{n}", 3) for n in order]).eval()
        state = copy.deepcopy(module.relation.state_dict())
        turned = dict(state)
        for place, label in enumerate(order):
            for part in ("weight", "bias"):
                turned[f"project.heads.{place}.{part}"] = state[f"project.heads.{label}.{part}"]
        module.relation.load_state_dict(turned)
        generator = torch.Generator().manual_seed(1)
        prototypes = torch.randn(3, 3, 4, generator=generator)
        targets = torch.randint(0, 3, (3, COUNT), generator=generator)
        for head, label in zip(module.prototypes.heads, order, strict=True):
            head.weight.data.copy_(prototypes[label])
        module.assigned = targets[list(order)]
        losses.append(module.training_step(module.source.batch(torch.arange(5)), 0))
        terms = module.last_terms
    torch.testing.assert_close(losses[0], losses[1])
    assert list(terms) == ["ce/2", "ce/0", "ce/1"]


# Clusters and prototypes


@pytest.mark.parametrize("clusterer", ["faiss", "release", "sinkhorn"])
def test_an_epoch_begins_with_its_centroids_as_prototypes(module_of, clusterer):
    module = module_of(clusterer=registry("clusterers").get(clusterer)())
    module.fill_bank(module.source.in_order(0))
    bank = module.bank.clone()
    module.on_train_epoch_start()
    for number, (head, found) in enumerate(
        zip(module.prototypes.heads, module.clusterings, strict=True)
    ):
        wanted = found.centroids / found.centroids.norm(dim=1, keepdim=True)
        torch.testing.assert_close(head.weight.detach(), wanted, rtol=0, atol=1e-6)
        assert torch.equal(module.assigned[number], found.assignments)
        # Every study is nearest to its own prototype.
        near = (bank[number] @ head.weight.detach().T).argmax(1)
        assert clusterer == "sinkhorn" or torch.equal(near, found.assignments)
    assert torch.equal(module.bank, bank)


def test_prototypes_drift_in_an_epoch_and_are_brought_back(module_of):
    module = module_of(clusterer=Noting())
    module.fill_bank(module.source.in_order(0))
    optimiser = module.configure_optimizers()
    epoch_of(module, optimiser)
    head = module.prototypes.heads[0].weight
    assert (head.detach().norm(dim=1) - 1).abs().max() > 1e-3
    module.on_train_epoch_start()
    torch.testing.assert_close(head.detach().norm(dim=1), torch.ones(3))


def test_frozen_prototypes_stay_the_centroids(module_of):
    module = module_of(stage2={"freeze_prototypes": True})
    module.fill_bank(module.source.in_order(0))
    before = [one.clone() for one in module.relation.parameters()]
    epoch_of(module)
    for head, found in zip(module.prototypes.heads, module.clusterings, strict=True):
        assert torch.equal(head.weight, F.normalize(found.centroids, dim=1))
    after = list(module.relation.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_each_label_and_epoch_has_a_seed_of_its_own(module_of):
    noting = Noting()
    module = module_of(clusterer=noting)
    module.fill_bank(module.source.in_order(0))
    for epoch in range(3):
        module.first_epoch = epoch
        module.on_train_epoch_start()
    seeds = [seed for _, _, seed in noting.seen]
    assert len(set(seeds)) == 6
    assert [k for _, k, _ in noting.seen] == [3, 2] * 3
    assert all(0 <= seed < 2**31 for seed in seeds)
    # They do not depend on what ran before.
    again = Noting()
    module = module_of(clusterer=again)
    module.first_epoch = 2
    module.on_train_epoch_start()
    assert [seed for _, _, seed in again.seen] == seeds[4:]
    other = Noting()
    module_of(clusterer=other, seed=1).on_train_epoch_start()
    assert not set(seeds) & {seed for _, _, seed in other.seen}


def test_an_epoch_remembers_the_partition_before(module_of):
    module = module_of()
    module.fill_bank(module.source.in_order(0))
    module.on_train_epoch_start()
    assert module.before is None
    first = module.assigned.clone()
    module.first_epoch = 1
    module.on_train_epoch_start()
    assert torch.equal(module.before, first)


# The memory bank


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_bank_holds_all_embeddings(module_of, relation):
    module = module_of(relation)
    module.fill_bank(module.source.in_order(0))
    assert module.relation.training
    module.eval()
    wanted = module.embed(module.source.joint).transpose(0, 1)
    torch.testing.assert_close(module.bank, wanted, rtol=1e-5, atol=1e-6)
    assert not module.bank.requires_grad
    # A layer norm counts its epsilon, which takes a little from the length.
    torch.testing.assert_close(
        module.bank.norm(dim=-1),
        torch.full((2, COUNT), module.relation.embedding**0.5),
        rtol=1e-3,
        atol=0,
    )


def test_the_bank_may_be_filled_under_dropout(module_of):
    module = module_of()
    module.fill_bank(module.source.in_order(0))
    sure = module.bank.clone()
    module.fill_bank(module.source.in_order(0), dropout=True)
    assert not torch.equal(module.bank, sure)


def test_a_step_writes_its_embeddings_before_the_weights_change(module_of):
    module = module_of()
    module.fill_bank(module.source.in_order(0))
    optimiser = module.configure_optimizers()
    module.on_train_epoch_start()
    before = module.bank.clone()
    index = torch.tensor([5, 2, 9])
    others = [row for row in range(COUNT) if row not in index]
    state = torch.get_rng_state()
    with torch.no_grad():
        wanted = module.embed(module.source.joint[index])  # Under dropout.
    torch.set_rng_state(state)
    module.training_step(module.source.batch(index), 0).backward()
    optimiser.step()
    assert torch.equal(module.bank[:, index], wanted.transpose(0, 1))
    assert torch.equal(module.bank[:, others], before[:, others])
    assert not torch.equal(module.bank[:, index], before[:, index])
    assert not module.bank.requires_grad
    with torch.no_grad():
        assert not torch.equal(module.embed(module.source.joint[index]), wanted)


def test_the_next_epoch_clusters_what_the_steps_left(module_of):
    noting = Noting()
    module = module_of(clusterer=noting)
    module.fill_bank(module.source.in_order(0))
    epoch_of(module)
    left = module.bank.clone()
    module.first_epoch = 1
    module.on_train_epoch_start()
    assert torch.equal(torch.stack([seen for seen, _, _ in noting.seen[2:]]), left)
    assert module.source.asked == [0]


def test_a_fresh_bank_is_embedded_anew_before_each_epoch(module_of):
    noting = Noting()
    module = module_of(clusterer=noting, stage2={"bank": "fresh"})
    module.fill_bank(module.source.in_order(0))
    optimiser = module.configure_optimizers()
    for epoch in range(2):
        module.first_epoch = epoch
        before = [one.clone() for one in module.relation.parameters()]
        epoch_of(module, optimiser)
        current = [one.detach().clone() for one in module.relation.parameters()]
        with torch.no_grad():
            for one, old in zip(module.relation.parameters(), before, strict=True):
                one.copy_(old)
            wanted = module.eval().embed(module.source.joint).transpose(0, 1)
            for one, new in zip(module.relation.parameters(), current, strict=True):
                one.copy_(new)
        module.train()
        seen = torch.stack([rows for rows, _, _ in noting.seen[-2:]])
        torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(module.bank, wanted, rtol=1e-5, atol=1e-6)
    assert module.source.asked == [0, 0, 1]


# An epoch


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_learns_its_clusters(module_of, relation):
    module = module_of(relation, stage2={"lr": 1e-2})
    module.fill_bank(module.source.in_order(0))
    module.on_train_epoch_start()
    optimiser = module.configure_optimizers()
    losses = []
    for step in range(60):
        optimiser.zero_grad()
        loss = module.training_step(module.source.batch(torch.arange(COUNT)), step)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    learning = [*module.relation.parameters(), *module.prototypes.parameters()]
    assert all(one.grad is not None for one in learning)


def test_dropout_follows_from_the_epoch_alone(module_of):
    answers = []
    for noise in (0, 1):
        module = module_of()
        module.fill_bank(module.source.in_order(0))
        torch.manual_seed(noise)
        answers.append(epoch_of(module))
    assert answers[0] == answers[1]


def test_nothing_to_learn_changes_nothing(module_of):
    module = module_of("none", stage2={"freeze_prototypes": True})
    module.fill_bank(module.source.in_order(0))
    before = module.bank.clone()
    losses = epoch_of(module)
    assert all(math.isfinite(loss) for loss in losses)
    torch.testing.assert_close(module.bank, before)


def test_the_optimiser_takes_the_settings_of_stage_2(module_of):
    module = module_of(stage2={"lr": 0.5, "eps": 1e-3, "weight_decay": 0.25}, stage1={"lr": 7.0})
    (group,) = module.configure_optimizers().param_groups
    assert (group["lr"], group["eps"], group["weight_decay"]) == (0.5, 1e-3, 0.25)
    assert module.rate == 0.5


def test_a_loss_that_is_not_finite_names_its_label(module_of):
    module = module_of()
    module.fill_bank(module.source.in_order(0))
    module.on_train_epoch_start()
    module.prototypes.heads[1].weight.data.fill_(torch.inf)
    with pytest.raises(TrainingError) as caught:
        module.training_step(module.source.batch(torch.arange(4)), 0)
    assert str(caught.value) == (
        "The loss term ce/two is not finite in epoch 1 of stage 2. Lower -o stage2.lr, now 0.01."
    )


def test_embeddings_that_are_not_finite_are_said(module_of):
    module = module_of()
    module.bank.fill_(torch.nan)
    told = r"Label one in epoch 1 of stage 2: 12 of 12 embeddings hold values that are not finite"
    with pytest.raises(DataError, match=told):
        module.on_train_epoch_start()


# What is shown of it


def test_what_is_shown_of_an_epoch(module_of):
    module = module_of(clusterer=Noting())
    module.on_train_epoch_start()
    truth = {"one": torch.arange(COUNT) % 3, "elsewhere": torch.zeros(COUNT, dtype=torch.long)}
    module.truth = truth
    row = module.look()
    assert (row["sizes/one"], row["sizes/two"]) == ("4+4+4", "6+6")
    assert row["entropy/one"] == pytest.approx(1)
    assert row["nmi_truth/one"] == pytest.approx(1)
    assert (row["objective/two"], row["reseeded/two"]) == (1.0, 0)
    # Remainders by three and by two are independent.
    assert row["nmi_labels"] == pytest.approx(0, abs=1e-12)
    assert not {"nmi_before/one", "nmi_truth/two", "nmi_truth/elsewhere"} & set(row)
    module.first_epoch = 1
    module.on_train_epoch_start()
    assert module.look()["nmi_before/two"] == pytest.approx(1)
    unknown = torch.where(torch.arange(COUNT) < 6, truth["one"], -1)
    module.truth = {"one": unknown}
    assert module.look()["nmi_truth/one"] == pytest.approx(1)
    module.truth = {"one": torch.full((COUNT,), -1)}
    assert np.isnan(module.look()["nmi_truth/one"])


# Clusterers that leave studies out, weigh them, or find their own number of clusters


class Choosing(Noting):
    """Gives two clusters with the last study left out, then three; numbers turn in each epoch."""

    chooses_k, keeps_numbers = True, True

    def __init__(self, numbers=(2, 3)):
        super().__init__()
        self.numbers, self.told = numbers, []

    def most(self, k):
        return 4

    def before_epoch(self, progress):
        self.told.append(progress)

    def fit(self, embeddings, k, seed):
        found = super().fit(embeddings, self.numbers[len(self.told) - 1], seed)
        turned = (found.assignments + len(self.told)) % len(found.centroids)
        turned[-1] = -1
        weights = torch.linspace(0, 1, len(turned))
        return Clustering(turned, found.centroids.roll(len(self.told), 0), 1.0, 0, weights)


def test_what_is_left_out_or_weighs_nothing_changes_nothing(module_of):
    module = module_of("none", Choosing())
    module.on_train_epoch_start()
    module.bank.normal_(generator=torch.Generator().manual_seed(1))
    module.on_train_epoch_start()
    batch = module.source.batch(torch.arange(COUNT))
    for study, changes in ((0, False), (COUNT - 1, False), (5, True)):
        joint = batch.joint.clone()
        joint[study] += 3
        other = JointBatch(joint, batch.labels, batch.index)
        losses = [float(module.training_step(one, 0).detach()) for one in (batch, other)]
        assert (losses[0] != losses[1]) == changes


def test_only_live_clusters_take_part(module_of, joint):
    """Two of at most four clusters: the logits of the others are not there, nor is their gradient."""
    module = module_of("none", Choosing())
    module.fill_bank(module.source.in_order(0))
    module.on_train_epoch_start()
    assert [rows.shape[1] for rows in module.logits(module.embed(joint))] == [2, 2]
    module.training_step(module.source.batch(torch.arange(COUNT)), 0).backward()
    for head in module.prototypes.heads:
        assert head.weight.shape == (4, WIDTH)
        assert head.weight.grad[:2].abs().min(dim=1).values.min() > 0
        assert head.weight.grad[2:].abs().max() == 0


def test_clusters_keep_their_numbers_and_progress_is_told(module_of):
    module = module_of("none", Choosing((3, 3)))
    module.fill_bank(module.source.in_order(0))
    module.on_train_epoch_start()
    before = module.assigned.clone()
    module.first_epoch = 1  # The next one.
    module.on_train_epoch_start()
    assert torch.equal(module.assigned, before)
    assert module.clusterer.told == [0.0, pytest.approx(1 / (module.epochs - 1))]
    for number, head in enumerate(module.prototypes.heads):
        # The centroid of a cluster is the first of its studies; see `Noting`.
        first = F.normalize(module.bank[number][:3], dim=1)
        torch.testing.assert_close(head.weight[before[number, :3]].detach(), first)
