"""Whole steps of both stages against a second way in plain torch, number by number.

Losses, gradients, weights and running statistics of three AdamW steps, in float64. The backbone
is a small convolutional network, so that batch norm of the backbone counts.
"""

import copy
import math

import pytest
import torch
from small_networks import EXACT, LABELS, WIDTH, Listed, Plain, contrast
from tiny_runs import altered
from torch.nn import functional as F

from sm3kit.core.registry import registry
from sm3kit.data.batches import Batch
from sm3kit.networks.assemble import build_stage1
from sm3kit.objectives.byol import BYOL
from sm3kit.objectives.swav import SwAV
from sm3kit.training.stage1 import MultiModalSSL
from sm3kit.training.stage2 import MultiLabelSSL

MODALITIES = ("derm", "clinic")
ROWS, STEPS, PROJECTION = 8, 3, 4
ADAMW = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-5, "weight_decay": 0.05}


def stage1(tiny, objective, fusion, **changes):
    """The training step of a variant, in float64, with small layers and no mask of groups."""
    options = {
        "simclr": {"projection": PROJECTION, "mask_groups": False},
        "crossmodal": {"mask_groups": False},
        "byol": {"projection": PROJECTION, "hidden": 7},
        "swav": {"projection": PROJECTION, "prototypes": 5, "freeze": 0.3},
        fusion: {} if fusion == "none" else {"projection": PROJECTION},
    }
    variant = altered(
        tiny,
        backbone="small/any",
        objective=(objective,),
        fusion=fusion,
        options=options,
        stage1={
            "epochs": 1,
            "lr": ADAMW["lr"],
            "betas": ADAMW["betas"],
            "eps": ADAMW["eps"],
            "weight_decay": ADAMW["weight_decay"],
        },
        machine={"channels_last": False},
        **changes,
    )
    torch.manual_seed(0)
    modalities = {name: Plain() for name in MODALITIES}
    return MultiModalSSL(build_stage1(variant, modalities), variant, STEPS).double()


def batches(steps=STEPS):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        yield {
            name: [
                torch.randn(ROWS, 3, 9, 9, generator=generator, dtype=torch.float64)
                for _ in range(2)
            ]
            for name in MODALITIES
        }


def batch_of(views):
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in MODALITIES}
    index = torch.arange(ROWS)
    return Batch(views, present, torch.full((ROWS, 1), -1), index, index)


# The reference: formulas of the paper and the released code, in torch alone.


def joined(network, views):
    """One call for both views."""
    return network(torch.cat(views)).chunk(2)


def within_by_simclr(heads, features):
    return sum(contrast(*joined(heads[name], features[name])) for name in MODALITIES)


def none(heads, features):
    return within_by_simclr(heads, features)


def sep_sep(heads, features):
    cross = [
        contrast(heads["to derm"](derm), heads["to clinic"](clinic))
        for derm, clinic in zip(features["derm"], features["clinic"], strict=True)
    ]
    return within_by_simclr(heads, features) + 0.5 * cross[0] + 0.5 * cross[1]


def sep_shared(heads, features):
    shared = {**heads, "to derm": heads["to all"], "to clinic": heads["to all"]}
    return sep_sep(shared, features)


def concat(heads, features):
    both = [torch.cat(view, dim=1) for view in zip(*features.values(), strict=True)]
    return within_by_simclr(heads, features) + contrast(*joined(heads["to all"], both))


def sum_(heads, features):
    both = [derm + clinic for derm, clinic in zip(*features.values(), strict=True)]
    return within_by_simclr(heads, features) + contrast(*joined(heads["to all"], both))


HEADS = {
    "none": (none, {}),
    "sep_sep": (sep_sep, {"to derm": "projectors.derm", "to clinic": "projectors.clinic"}),
    "sep_shared": (sep_shared, {"to all": "projector"}),
    "concat": (concat, {"to all": "projector"}),
    "sum": (sum_, {"to all": "projector"}),
}


class Twin:
    """Copies of all networks of a module, moved by an optimiser of their own.

    Each is called as plain torch; nothing of the module's own code runs.
    """

    def __init__(self, module, named):
        self.pairs = {name: (network, copy.deepcopy(network)) for name, network in named.items()}
        learning = [p for _, own in self.pairs.values() for p in own.parameters()]
        self.optimiser = torch.optim.AdamW([p for p in learning if p.requires_grad], **ADAMW)

    def __getitem__(self, name):
        return self.pairs[name][1]

    def heads(self):
        return {name: own for name, (_, own) in self.pairs.items()}

    def compare(self):
        """Weights, gradients, running statistics and their counts."""
        for name, (theirs, own) in self.pairs.items():
            wanted = own.state_dict()
            for key, value in theirs.state_dict().items():
                message = f"{name} {key}"
                torch.testing.assert_close(value, wanted[key], **EXACT, msg=message)
            for (key, one), two in zip(theirs.named_parameters(), own.parameters(), strict=True):
                assert (one.grad is None) == (two.grad is None), f"{name} {key}"
                if one.grad is not None:
                    torch.testing.assert_close(one.grad, two.grad, **EXACT, msg=f"{name} {key}")


def compare_steps(module, twin, loss_of, before=lambda step: None):
    """Takes the steps of both, and compares after each."""
    optimiser = module.configure_optimizers()
    for step, views in enumerate(batches()):
        optimiser.zero_grad()
        loss = module.training_step(batch_of(views), step)
        loss.backward()
        optimiser.step()
        before(step)
        twin.optimiser.zero_grad()
        wanted = loss_of(views)
        wanted.backward()
        twin.optimiser.step()
        torch.testing.assert_close(loss, wanted, **EXACT)
        twin.compare()


@pytest.mark.parametrize("fusion", HEADS)
def test_a_row_of_simclr(tiny, fusion):
    module = stage1(tiny, "simclr", fusion)
    reference, heads = HEADS[fusion]
    parts = module.parts
    named = {f"backbone {name}": parts.branches.backbones[name] for name in MODALITIES}
    named |= {name: parts.objectives["simclr"][name].head for name in MODALITIES}
    named |= {name: parts.branches.fusion.get_submodule(place) for name, place in heads.items()}
    twin = Twin(module, named)

    def loss_of(views):
        features = {
            name: [twin[f"backbone {name}"](view) for view in views[name]] for name in MODALITIES
        }
        return reference(twin.heads(), features)

    compare_steps(module, twin, loss_of)
    for name in MODALITIES:
        counts = [
            int(value)
            for key, value in twin[f"backbone {name}"].state_dict().items()
            if key.endswith("num_batches_tracked")
        ]
        assert counts == [2 * STEPS] * 2  # The backbone is called once per view.


def test_joined_views_are_one_batch_of_the_backbone(tiny):
    module = stage1(altered(tiny, stage1={"join_views": True}), "simclr", "none")
    parts = module.parts
    named = {f"backbone {name}": parts.branches.backbones[name] for name in MODALITIES}
    named |= {name: parts.objectives["simclr"][name].head for name in MODALITIES}
    twin = Twin(module, named)

    def loss_of(views):
        features = {name: joined(twin[f"backbone {name}"], views[name]) for name in MODALITIES}
        return none(twin.heads(), features)

    compare_steps(module, twin, loss_of)


def test_equation_1_with_the_first_view_as_the_only_anchor(tiny):
    module = stage1(tiny, "simclr", "none")
    for objective in module.parts.objectives["simclr"].values():
        objective.anchors = "first"
    parts = module.parts
    named = {f"backbone {name}": parts.branches.backbones[name] for name in MODALITIES}
    named |= {name: parts.objectives["simclr"][name].head for name in MODALITIES}
    twin = Twin(module, named)

    def loss_of(views):
        total = 0
        for name in MODALITIES:
            features = [twin[f"backbone {name}"](view) for view in views[name]]
            total = total + contrast(*joined(twin[name], features), anchors="first")
        return total

    compare_steps(module, twin, loss_of)


def test_the_row_of_byol(tiny):
    module = stage1(tiny, "byol", "none")
    parts, momentum = module.parts, BYOL(WIDTH).momentum
    named = {}
    for name in MODALITIES:
        objective = parts.objectives["byol"][name]
        named[f"backbone {name}"] = parts.branches.backbones[name]
        named[f"slow backbone {name}"] = module.targets["byol"][name]
        named[f"projector {name}"] = objective.projector
        named[f"slow projector {name}"] = objective.target_projector
        named[f"predictor {name}"] = objective.predictor
    twin = Twin(module, named)

    def before(step):
        if not step:
            return
        now = 1 - (1 - momentum) * (math.cos(math.pi * step / (STEPS - 1)) + 1) / 2
        with torch.no_grad():
            for part in ("backbone", "projector"):
                for name in MODALITIES:
                    fast, slow = twin[f"{part} {name}"], twin[f"slow {part} {name}"]
                    for one, two in zip(fast.parameters(), slow.parameters(), strict=True):
                        two.copy_(now * two + (1 - now) * one)

    def loss_of(views):
        total = 0
        for name in MODALITIES:
            asked = [
                twin[f"predictor {name}"](twin[f"projector {name}"](twin[f"backbone {name}"](view)))
                for view in views[name]
            ]
            with torch.no_grad():
                told = [
                    twin[f"slow projector {name}"](twin[f"slow backbone {name}"](view))
                    for view in views[name]
                ]
            for one, two in ((0, 1), (1, 0)):
                cosine = (F.normalize(asked[one], dim=1) * F.normalize(told[two], dim=1)).sum(1)
                total = total + (2 - 2 * cosine).mean()
        return total

    compare_steps(module, twin, loss_of, before)


def shares_by_sinkhorn(scores):
    """Three times rows and columns of equal mass, starting from exp(scores / 0.05)."""
    mass = (scores / 0.05).exp()
    mass = mass / mass.sum()
    for _ in range(3):
        mass = mass / mass.sum(0, keepdim=True) / mass.shape[1]
        mass = mass / mass.sum(1, keepdim=True) / mass.shape[0]
    return mass * mass.shape[0]


def test_the_row_of_swav(tiny):
    module = stage1(tiny, "swav", "none")
    parts = module.parts
    named, queues = {}, {}
    for name in MODALITIES:
        objective = parts.objectives["swav"][name]
        named[f"backbone {name}"] = parts.branches.backbones[name]
        named[f"projector {name}"] = objective.projector
        named[f"prototypes {name}"] = objective.prototypes.heads[0]
        queues[name] = []
        assert objective.prototypes.heads[0].bias is None
    twin = Twin(module, named)

    def before(step):
        for name in MODALITIES:
            weight = twin[f"prototypes {name}"].weight
            with torch.no_grad():
                weight.copy_(F.normalize(weight, dim=1))
            weight.requires_grad_(step / (STEPS - 1) >= 0.3)

    def loss_of(views):
        total = 0
        for name in MODALITIES:
            unit = [
                F.normalize(twin[f"projector {name}"](twin[f"backbone {name}"](view)), dim=1)
                for view in views[name]
            ]
            prototypes = twin[f"prototypes {name}"].weight.T
            scores = [rows @ prototypes for rows in unit]
            for one, two in ((0, 1), (1, 0)):
                # The queue is empty in the first step, and joins from a tenth of the training on.
                earlier = [pair[one] for pair in queues[name]]
                with torch.no_grad():
                    every = torch.cat([scores[one].detach(), *[q @ prototypes for q in earlier]])
                    wanted = shares_by_sinkhorn(every)[:ROWS]
                told = (scores[two] / 0.1).log_softmax(dim=1)
                total = total - (wanted * told).sum(1).mean() / 2
            queues[name].insert(0, [rows.detach() for rows in unit])
        return total

    compare_steps(module, twin, loss_of, before)


def test_a_batch_with_fewer_rows_than_prototypes_takes_the_queue_from_the_beginning():
    generator = torch.Generator().manual_seed(0)
    views = [[torch.randn(4, WIDTH, generator=generator) for _ in range(2)] for _ in range(2)]
    found = []
    for prototypes in (3, 5):
        torch.manual_seed(0)
        objective = SwAV(WIDTH, projection=PROJECTION, prototypes=prototypes, queue=8)
        without = copy.deepcopy(objective)
        objective(views[0])
        found.append(float((objective(views[1])["loss"] - without(views[1])["loss"]).detach()))
    assert found[0] == 0
    assert abs(found[1]) > 1e-4


# Stage 2


STUDIES = 12


def normalised_sum(rows, weight, bias):
    """A layer norm by hand."""
    mean = rows.mean(-1, keepdim=True)
    spread = ((rows - mean) ** 2).mean(-1, keepdim=True)
    return (rows - mean) / (spread + 1e-5).sqrt() * weight + bias


def transformer_layer(layer, rows):
    """A post-norm encoder layer with one head by hand, of rows (B, K, P)."""
    size = rows.shape[-1]
    asked, keys, values = (
        rows @ weight.T + bias
        for weight, bias in zip(
            layer.self_attn.in_proj_weight.chunk(3),
            layer.self_attn.in_proj_bias.chunk(3),
            strict=True,
        )
    )
    attention = (asked @ keys.transpose(1, 2) / math.sqrt(size)).softmax(dim=-1)
    heard = attention @ values @ layer.self_attn.out_proj.weight.T + layer.self_attn.out_proj.bias
    rows = normalised_sum(rows + heard, layer.norm1.weight, layer.norm1.bias)
    inner = (rows @ layer.linear1.weight.T + layer.linear1.bias).relu()
    rows = rows + inner @ layer.linear2.weight.T + layer.linear2.bias
    return normalised_sum(rows, layer.norm2.weight, layer.norm2.bias)


def released_clusters(rows, start):
    """Ten updates of directions by inner product, from the start; an empty one stays."""
    centroids = start.clone()
    for _ in range(10):
        nearest = (rows @ centroids.T).argmax(1)
        for cluster in range(len(centroids)):
            if bool((nearest == cluster).any()):
                centroids[cluster] = rows[nearest == cluster].mean(0)
        centroids = centroids / centroids.norm(dim=1, keepdim=True)
    return (rows @ centroids.T).argmax(1), centroids


def test_stage_2_of_two_epochs(second):
    """The released form: a memory bank, ten iterations, a transformer layer, the mean of labels."""
    joint = torch.randn(STUDIES, WIDTH, generator=torch.Generator().manual_seed(3)).double()
    variant = altered(second, stage2={"bank": "memory", "epochs": 2, "lr": 1e-2, "eps": 1e-8})
    torch.manual_seed(0)
    relation = registry("relations").get("tel")(
        WIDTH, 2, embedding=PROJECTION, feedforward=5, dropout=0.0
    )
    clusterer = registry("clusterers").get("release")()
    asked = []
    fit = clusterer.fit
    clusterer.fit = lambda rows, k, seed: (asked.append((k, seed)), fit(rows, k, seed))[1]
    source = Listed(joint)
    module = MultiLabelSSL(relation, clusterer, LABELS, variant, source, STEPS).double()
    module.fill_bank(iter([source.batch(torch.arange(STUDIES))]))
    own = copy.deepcopy(relation)
    prototypes = [torch.zeros(label.clusters, PROJECTION).double() for label in LABELS]
    learning = [*own.parameters(), *(p.requires_grad_() for p in prototypes)]
    decay = variant.stage2.weight_decay
    own_optimiser = torch.optim.AdamW(
        learning, 1e-2, betas=variant.stage1.betas, weight_decay=decay
    )
    optimiser = module.configure_optimizers()

    def embed(rows):
        labels = torch.stack([head(rows) for head in own.project.heads], dim=1)
        return transformer_layer(own.layer, labels)

    bank = embed(joint).detach()
    for epoch in range(2):
        module.first_epoch = epoch
        module.on_train_epoch_start()
        targets = []
        for number, (k, seed) in enumerate(asked[-2:]):
            order = torch.randperm(STUDIES, generator=torch.Generator().manual_seed(seed))
            nearest, centroids = released_clusters(bank[:, number], bank[order[:k], number])
            prototypes[number].data.copy_(centroids)
            targets.append(nearest)
        assert torch.equal(module.assigned, torch.stack(targets))
        order = torch.randperm(STUDIES, generator=torch.Generator().manual_seed(epoch))
        for step, index in enumerate(order.split(4)):
            optimiser.zero_grad()
            loss = module.training_step(source.batch(index), step)
            loss.backward()
            optimiser.step()
            own_optimiser.zero_grad()
            embedded = embed(joint[index])
            bank[index] = embedded.detach()
            terms = [
                F.cross_entropy(embedded[:, number] @ prototypes[number].T, targets[number][index])
                for number in range(2)
            ]
            wanted = (terms[0] + terms[1]) / 2
            wanted.backward()
            own_optimiser.step()
            torch.testing.assert_close(loss, wanted, **EXACT)
            for one, two in zip(module.relation.parameters(), own.parameters(), strict=True):
                torch.testing.assert_close(one.grad, two.grad, **EXACT)
                torch.testing.assert_close(one, two, **EXACT)
            for head, weight in zip(module.prototypes.heads, prototypes, strict=True):
                torch.testing.assert_close(head.weight, weight, **EXACT)
        torch.testing.assert_close(module.bank, bank.transpose(0, 1), **EXACT)
