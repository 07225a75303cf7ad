"""Stage 2: where paper and code disagree, on made-up joint features."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from differences_page import ROWS, STAGE_2, row, sentence
from row_settings import COLUMNS, recipe, values
from small_networks import EXACT, LABELS, WIDTH, Listed
from tiny_networks import COUNT, TRAINING, table, width_of_the_joint_feature
from tiny_pictures import grey_share, photo, plain_picture, views_of
from torch import nn
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering
from sm3kit.clusterers.faiss import Faiss
from sm3kit.clusterers.release import Release, from_start
from sm3kit.core.registry import registry
from sm3kit.datasets import derm7pt
from sm3kit.datasets.base import LabelSpec
from sm3kit.relations.msa import MSA
from sm3kit.relations.none import NoRelation
from sm3kit.training import stage2
from sm3kit.training.stage2 import MultiLabelSSL

SMALL_EMBEDDING = 4


class Noting(Clusterer):
    """Takes the first rows as centroids, and remembers what it was asked."""

    def __init__(self):
        self.seen = []

    def fit(self, embeddings, k, seed):
        self.seen.append(embeddings.clone())
        return Clustering(torch.arange(len(embeddings)) % k, 3 * embeddings[:k].clone(), 0.0)


def second(relation="tel", *names, **changes):
    """Stage 2 of recipes on made-up joint features, its bank filled and its first epoch begun."""
    variant = recipe(*names, **changes)
    options = {} if relation == "none" else {"embedding": SMALL_EMBEDDING}
    built = registry("relations").get(relation)(WIDTH, len(LABELS), **options)
    source = Listed(table(kind=torch.float32))
    module = MultiLabelSSL(built, Noting(), LABELS, variant, source, 2)
    module.fill_bank(iter([source.batch(torch.arange(COUNT))]))
    module.on_train_epoch_start()
    return module


def step_of(module, optimiser, index):
    """One step; gives the loss."""
    optimiser.zero_grad()
    loss = module.training_step(module.source.batch(index), 0)
    loss.backward()
    optimiser.step()
    return loss.detach()


@row(STAGE_2, "Eq. 6, over the labels", "mean")
def test_equation_6_is_the_mean_over_the_labels():
    for name, together in (("sm3", torch.mean), ("release", torch.mean), ("paper", torch.sum)):
        module = second("tel", name)
        loss = module.training_step(module.source.batch(torch.arange(COUNT)), 0)
        terms = torch.stack(list(module.last_terms.values()))
        torch.testing.assert_close(loss.detach(), together(terms))


@row(STAGE_2, "Weight decay", "0.05")
def test_weight_decay_of_stage_2_reaches_the_optimiser():
    for cell, name in COLUMNS.items():
        # Whatever that of stage 1 is.
        groups = (
            second("tel", name, stage1={"weight_decay": 0.5}).configure_optimizers().param_groups
        )
        decay = float(ROWS[STAGE_2, "Weight decay"][cell])
        assert {one["weight_decay"] for one in groups} == {decay}


@row(
    STAGE_2,
    "k-means",
    "FAISS: spherical, k-means++, five starts, 25 iterations; empty clusters are refilled",
)
def test_k_means_by_faiss(monkeypatch):
    import faiss

    assert recipe("sm3").clusterer == "faiss"
    rows = table(30, 3, kind=torch.float32)
    lengths = torch.linspace(0.1, 9, 30).unsqueeze(1)
    one, other = (Faiss().fit(given, 4, 0).assignments for given in (rows, lengths * rows))
    assert torch.equal(one, other)
    asked = {}

    class AllInOne:
        """Leaves all clusters but the first empty."""

        def __init__(self, width, k, **settings):
            asked.update(settings)
            self.k = k

        def train(self, rows):
            self.centroids = rows[: self.k].copy()

        def assign(self, rows):
            return np.ones(len(rows), np.float32), np.zeros(len(rows), np.int64)

    monkeypatch.setattr(faiss, "Kmeans", AllInOne)
    found = Faiss().fit(rows, 4, 0)
    assert (asked["spherical"], asked["nredo"], asked["niter"]) == (True, 5, 25)
    assert asked["init_method"] == faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    assert found.reseeded == 3
    assert found.sizes.min() > 0


def test_k_means_of_the_release():
    """Ten iterations by inner product from random rows; an empty cluster keeps its centroid."""
    assert "ten iterations by inner product" in ROWS[STAGE_2, "k-means"]["released code"]
    rows = table(30, 3) + 1
    order = torch.randperm(30, generator=torch.Generator().manual_seed(5))
    centroids = rows[order[:4]]
    for _ in range(10):
        nearest = (rows @ centroids.T).argmax(1)
        means = [
            rows[nearest == k].mean(0) if (nearest == k).any() else centroids[k] for k in range(4)
        ]
        centroids = F.normalize(torch.stack(means), dim=1)
    found = Release().fit(rows, 4, 5)
    torch.testing.assert_close(found.centroids, centroids, **EXACT)
    assert torch.equal(found.assignments, (rows @ centroids.T).argmax(1))
    away = torch.tensor([[1.0, 1.0, 1.0], [-2.0, 0.0, 0.0]]).double()
    _, centroids = from_start(rows.abs(), away, Release().iterations)
    assert torch.equal(centroids[1], F.normalize(away[1], dim=0))


@row(STAGE_2, "Views", "like the code, in `paper`, too")
def test_views_of_stage_2():
    for name in ("sm3", "release", "paper"):
        changes = recipe(name).stage2.views
        assert changes["views"] == 1
        views = views_of(photo(name, **changes), 800)
        assert len(views) == 800
        assert grey_share(views) == 0
        shown = plain_picture((180, 120, 60))[:, :16, :16]
        # Four deviations of the share among 800 views: 4 * sqrt(0.5 * 0.5 / 800).
        assert np.mean([(view != shown).any() for view in views]) == pytest.approx(0.5, abs=0.07)
        assert changes["blur"] == 0


def test_views_of_stage_2_are_set_in_a_recipe(tmp_path):
    assert ROWS[STAGE_2, "Views"]["how to change it"] == "`stage2: {views: {…}}` in a recipe"
    (tmp_path / "mine.yaml").write_text("stage2: {views: {jitter: 0.8}}\n", encoding="utf-8")
    assert recipe(str(tmp_path / "mine.yaml")).stage2.views["jitter"] == 0.8


@row(STAGE_2, "What is clustered", "like the code")
def test_the_next_epoch_clusters_what_the_steps_left():
    module = second()
    optimiser = module.configure_optimizers()
    left = torch.empty_like(module.bank)
    step = module.embed

    def embed(joint):
        embeddings = step(joint)
        if module.training:
            here = [int((module.source.joint == one).all(1).nonzero()) for one in joint]
            left[:, here] = embeddings.detach().transpose(0, 1)
        return embeddings

    module.embed = embed
    for index in torch.arange(COUNT).split(4):
        step_of(module, optimiser, index)
    module.first_epoch = 1
    module.on_train_epoch_start()
    assert torch.equal(torch.stack(module.clusterer.seen[2:]), left)
    with torch.no_grad():
        assert not torch.allclose(module.eval().embed(module.source.joint).transpose(0, 1), left)


@row(STAGE_2, "Temperature of the logits", "1")
def test_the_logits_are_divided_by_one():
    module = second("proj")
    joint, targets = module.source.joint, module.assigned.T
    loss = module.training_step(module.source.batch(torch.arange(COUNT)), 0)
    logits = module.prototypes(module.embed(joint))
    terms = [F.cross_entropy(rows, targets[:, n]) for n, rows in enumerate(logits)]
    torch.testing.assert_close(loss, torch.stack(terms).mean())


@row(
    STAGE_2,
    "Embeddings without a layer norm (`none`, `proj`, `msa`)",
    "scaled to the length that a layer norm gives",
)
def test_all_embeddings_are_as_long_as_a_layer_norm_makes_them():
    relations = ["none", "proj", "msa", "tel", "te"]
    key = (STAGE_2, "Embeddings without a layer norm (`none`, `proj`, `msa`)")
    bare = [name for name in relations if not registry("relations").get(name).normed]
    assert bare == re.findall(r"`(\w+)`", key[1])
    for name in relations:
        module = second(name)
        lengths = module.embed(module.source.joint).norm(dim=-1)
        wanted = module.relation.embedding**0.5
        # A layer norm adds 1e-5 to the variance, which counts where the input is small.
        slack = 1e-5 if name in bare else 1e-2
        torch.testing.assert_close(lengths, torch.full_like(lengths, wanted), rtol=slack, atol=0)


@row(STAGE_2, "Labels that share a partition", "like the code")
def test_nothing_keeps_labels_apart_unless_asked():
    for name in COLUMNS.values():
        module = second("tel", name)
        step_of(module, module.configure_optimizers(), torch.arange(COUNT))
        assert set(module.last_terms) == {f"ce/{label.name}" for label in LABELS}
    # With this made-up clusterer all labels share one partition.
    module = second("tel", stage2={"diversity": 1.0, "diversity_target": 0.0})
    step_of(module, module.configure_optimizers(), torch.arange(COUNT))
    assert module.last_terms["diversity"] > 0


@row(STAGE_2, "Prototypes during an epoch", "like the code")
@sentence(STAGE_2, "**prototypes are unit vectors** at the start of an epoch")
def test_prototypes_learn_and_are_overwritten():
    for frozen in (False, True):
        module = second("tel", stage2={"freeze_prototypes": frozen})
        optimiser = module.configure_optimizers()
        for epoch in range(2):
            module.first_epoch = epoch
            module.on_train_epoch_start()
            begin = [head.weight.detach().clone() for head in module.prototypes.heads]
            for weight, found in zip(begin, module.clusterings, strict=True):
                torch.testing.assert_close(weight, F.normalize(found.centroids, dim=1))
            step_of(module, optimiser, torch.arange(COUNT))
            pairs = zip(begin, module.prototypes.heads, strict=True)
            assert [torch.equal(old, head.weight) for old, head in pairs] == [frozen, frozen]


@row(STAGE_2, "Row no_proj", "the paper's text")
def test_the_row_no_proj_has_the_joint_feature_itself():
    joint = table(kind=torch.float32)
    relation = registry("relations").get(recipe("no_proj").relation)(WIDTH, 3)
    assert torch.equal(relation(joint), joint.unsqueeze(1).expand(-1, 3, -1))


@row(STAGE_2, "Residual in row msa", "none")
def test_the_row_msa_has_no_residual():
    assert recipe("msa").relation == "msa"
    joint, found = table(kind=torch.float32), {}
    for residual in (None, True):
        torch.manual_seed(0)
        options = {} if residual is None else {"residual": residual}
        relation = MSA(WIDTH, 3, embedding=SMALL_EMBEDDING, **options).eval()
        labels = relation.project(joint)
        found[residual] = relation(joint)
        attended = relation.attend(labels, labels, labels)[0]
        torch.testing.assert_close(found[residual], attended + (labels if residual else 0))


@row(STAGE_2, "Layers in row te", "2")
def test_the_row_te_has_two_layers():
    relation = registry("relations").get(recipe("te").relation)(WIDTH, 3, embedding=4)
    assert [isinstance(one, nn.TransformerEncoderLayer) for one in relation.layers] == [True] * 2


@sentence(
    STAGE_2,
    "Paper, code and sm3kit agree on 150 epochs, batches of 256, a learning rate of 1e-4,"
    " embeddings of 512, one head, a feed-forward layer of 128, dropout 0.1, and as many "
    "clusters as classes",
)
@pytest.mark.parametrize("name", ["sm3", "release", "paper"])
def test_what_all_have_in_stage_2(name):
    variant = recipe(name)
    assert (variant.stage2.epochs, variant.stage2.batch_size, variant.stage2.lr) == (150, 256, 1e-4)
    assert variant.relation == "tel"
    sizes = ("embedding", "heads", "feedforward", "dropout")
    assert [values(("tel", size), name, "") for size in sizes] == [[512], [1], [128], [0.1]]
    labels = [LabelSpec(n, tuple(g.classes), g.reported) for n, g in derm7pt.GROUPINGS.items()]
    job = SimpleNamespace(
        variant=variant, pool=SimpleNamespace(labels=labels), cases=range(TRAINING), weak={}
    )
    found = [label.clusters for label in stage2.pseudo_labels(job)]
    assert found == [len(label.classes) for label in labels] == [5, 3, 2, 3, 3, 3, 3, 2]


@sentence(
    STAGE_2,
    "Embeddings are about 22.6 long (the root of 512), so the logits of stage 2 are cosines times "
    "22.6, in the code and here; times 64 in the row no_proj",
)
def test_logits_are_cosines_times_the_root_of_the_width():
    (embedding,) = values(("tel", "embedding"), "sm3", "")
    assert round(embedding**0.5, 1) == 22.6
    assert NoRelation(width_of_the_joint_feature(), 8).embedding ** 0.5 == 64
    for name in ("tel", "none"):
        module = second(name)
        embeddings = module.embed(module.source.joint)
        for number, logits in enumerate(module.prototypes(embeddings)):
            prototypes = module.prototypes.heads[number].weight
            cosines = F.normalize(embeddings[:, number], dim=1) @ F.normalize(prototypes, dim=1).T
            wanted = cosines * module.relation.embedding**0.5
            # The 1e-5 in a layer norm, see above.
            torch.testing.assert_close(logits, wanted, rtol=1e-2, atol=1e-3)
