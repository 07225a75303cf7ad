"""The laws of every contract, over every registered plugin."""

import numpy as np
import pytest
import torch

from sm3kit import testing
from sm3kit.core.errors import ContractError, DataError
from sm3kit.core.registry import registry
from sm3kit.imaging.augmentation_batches import FLIP
from sm3kit.nn.pairs.contrastive import pairwise_ntx
from sm3kit.objectives.base import Objective
from sm3kit.testing import objectives
from sm3kit.testing.law import judge


def names(family):
    """The plugins of sm3kit itself; others are tested by their own distributions."""
    return [line.name for line in registry(family).declarations() if line.distribution == "sm3kit"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """What the data set `manifest` is tried on."""
    return registry("datasets").get("manifest").example(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    return PHOTO.example(tmp_path_factory.mktemp("photo"))


def verdict_of(law, objective):
    """One law alone: all together take long."""
    (own,) = [one for one in objectives.LAWS.all if one.name == law]
    return judge(own, objectives.ObjectiveTrial(objective))


@pytest.mark.parametrize("name", names("backbones"))
def test_backbone(name):
    backbone = registry("backbones").get(name)
    testing.check_backbone(backbone, backbone.example())


@pytest.mark.parametrize("name", names("objectives"))
def test_objective(name):
    testing.check_objective(registry("objectives").get(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", names("objectives"))
def test_objective_of_two_processes(name):
    assert verdict_of("two processes", registry("objectives").get(name)).outcome != "FAILED"


@pytest.mark.parametrize("name", names("fusions"))
def test_fusion(name):
    testing.check_fusion(registry("fusions").get(name))


@pytest.mark.parametrize("name", names("clusterers"))
def test_clusterer(name):
    testing.check_clusterer(registry("clusterers").get(name))


@pytest.mark.parametrize("name", names("relations"))
def test_relation(name):
    testing.check_relation(registry("relations").get(name))


@pytest.mark.parametrize("name", names("classifiers"))
def test_classifier(name):
    testing.check_classifier(registry("classifiers").get(name))


@pytest.mark.parametrize("name", names("losses"))
def test_loss(name):
    testing.check_loss(registry("losses").get(name))


@pytest.mark.parametrize("name", names("samplers"))
def test_sampler(name):
    testing.check_sampler(registry("samplers").get(name))


@pytest.mark.parametrize("name", names("modalities"))
def test_modality(name, tmp_path):
    modality = registry("modalities").get(name)
    testing.check_modality(modality, modality.example(tmp_path))


@pytest.mark.parametrize("rotate", [0.0, 10.0])
def test_a_modality_with_local_views(photograph, rotate):
    options = {"local_views": 3, "local_size": 16, "rotate": rotate}
    testing.check_modality(PHOTO, photograph, **options)


@pytest.mark.parametrize("name", names("datasets"))
def test_dataset(name, tmp_path):
    dataset = registry("datasets").get(name)
    testing.check_dataset(dataset, dataset.example(tmp_path))


class Positional(Objective):
    """An objective that breaks a law: it compares rows by their position."""

    def __init__(self, width):
        super().__init__()

    def forward(self, features, targets=None, *, present=None, group=None):
        place = torch.arange(len(features[0]), dtype=torch.float32).unsqueeze(1)
        return {
            "loss": pairwise_ntx(features[0] * place, features[1], 1.0)
            + (place * features[0]).sum()
        }


class Silent(Objective):
    """An objective that breaks a law: a weight of it never learns."""

    def __init__(self, width):
        super().__init__()
        self.unused = torch.nn.Linear(width, width)

    def forward(self, features, targets=None, *, present=None, group=None):
        return {"loss": (features[0] - features[1]).square().mean()}


class Careless(registry("fusions").get("sep_sep")):
    """A fusion that breaks a law: absent rows reach the batch statistics."""

    def forward(self, features, present):
        return {n: [self.projectors[n](v) for v in views] for n, views in features.items()}


class Credulous(registry("clusterers").get("faiss")):
    """A clusterer that breaks a law: it clusters NaN."""

    def fit(self, embeddings, k, seed):
        return super().fit(embeddings.nan_to_num().repeat(2, 1)[: max(len(embeddings), 3)], k, seed)


class Forgetful(registry("clusterers").get("torch")):
    """A clusterer that breaks a law: it asks for a start and numbers clusters as it likes."""

    def fit(self, embeddings, k, seed, start=None):
        return super().fit(embeddings, k, seed)


class Counting(registry("objectives").get("ssd_kd")):
    """An objective that breaks a law: its mean is over the known labels, and there may be none."""

    def forward(self, features, targets=None, *, labels, **more):
        terms = super().forward(features, targets, labels=labels, **more)
        return {**terms, "ce": terms["ce"] * (labels >= 0).sum() / (labels >= 0).sum()}


class Unnamed(Silent):
    """An objective that breaks a law: nobody can say who teaches it."""

    wants_teacher = True

    def __init__(self, width, teaching):
        super().__init__(width)


@pytest.mark.parametrize(
    ("check", "plugin", "said"),
    [
        (testing.check_objective, Positional, "Positional depends on the order of the rows"),
        (testing.check_objective, Silent, "Silent gives weight 'unused.weight' no gradient"),
        (
            testing.check_objective,
            Counting,
            "Counting gives a term 'ce' that is not finite for a batch",
        ),
        (
            testing.check_objective,
            Unnamed,
            "Unnamed wants a teacher, and has no option 'teacher' that",
        ),
        (testing.check_fusion, Careless, "Careless lets absent rows change present ones"),
        (testing.check_clusterer, Credulous, "Credulous clusters what cannot be clustered"),
        (testing.check_clusterer, Forgetful, "Forgetful does not keep the numbers of its start"),
    ],
)
def test_a_broken_plugin_is_found_out(check, plugin, said):
    with pytest.raises(ContractError, match=said):
        check(plugin)


def test_a_dataset_whose_labels_are_out_of_range_is_found_out(table):
    class Wrong(registry("datasets").get("manifest")):
        """A data set with a class that is not declared."""

        def studies(self, split=None):
            found = super().studies(split)
            found[0].labels["DIAG"] = 99
            return found

    with pytest.raises(ContractError, match="Wrong has DIAG = 99 in study"):
        testing.check_dataset(Wrong, table)
    with pytest.raises(DataError):
        testing.check_dataset(Wrong, "nowhere.csv")


PHOTO = registry("modalities").get("photo")


class FlippedApart(PHOTO):
    """A modality that breaks a law: flips do not come from the geometry."""

    def views(self, image, rng=None, geometry=None):
        views = super().views(image, rng, geometry)
        return [view[:, :, ::-1] if rng.random() < 0.5 else view for view in views]


class Unpaired(PHOTO):
    """A modality that breaks a law: it takes a geometry and does not use it."""

    def views(self, image, rng=None, geometry=None):
        return super().views(image, rng)


class Global(PHOTO):
    """A modality that breaks a law: it draws from NumPy's global random state."""

    def views(self, image, rng=None, geometry=None):
        return super().views(image, np.random.default_rng(np.random.randint(2**31)), geometry)


class Narrow(PHOTO):
    """A modality that breaks a law: its views are not of the shape that it says."""

    shape = (3, 16, 32)


class Upright(PHOTO):
    """A modality that breaks a law: it gives its random views where it should turn them."""

    def rotations(self, image, rng=None, geometry=None):
        return self.views(image, rng, geometry)


class Batchwise(PHOTO):
    """A modality that breaks a law: it normalises by the batch."""

    def normalise(self, views):
        views = super().normalise(views)
        return views - views.mean()


class Unlike(PHOTO):
    """A modality that breaks a law: in batches, its views are not flipped."""

    def apply_views(self, images, drawn):
        drawn = drawn.clone()
        drawn[:, :, FLIP] = 0
        return super().apply_views(images, drawn)


class Spendthrift(PHOTO):
    """A modality that breaks a law: for batches it draws more than it needs."""

    def draw_views(self, image, rng=None, geometry=None):
        drawn = super().draw_views(image, rng, geometry)
        rng.random()
        return drawn


class Single(PHOTO):
    """A modality without pairs, which leaves the geometry out."""

    def views(self, image, rng=None):
        return super().views(image, rng)


class Noisy(PHOTO):
    """A modality whose honest noise is no other geometry."""

    def views(self, image, rng=None, geometry=None):
        views = super().views(image, rng, geometry)
        noise = [rng.normal(0, 10, view.shape) for view in views]
        return [
            (view + one).clip(0, 255).astype(np.uint8)
            for view, one in zip(views, noise, strict=True)
        ]


class LocalFirst(PHOTO):
    """A modality that breaks a law: its local views change the others."""

    def views(self, image, rng=None, geometry=None):
        rng.random(self.local_views)
        return super().views(image, rng, geometry)


class Uniform(PHOTO):
    """A modality that breaks a law: its local views are as large as the others."""

    def views(self, image, rng=None, geometry=None):
        whole = self.global_views(super().views(image, rng, geometry))
        return [*whole, *whole[: self.local_views]]


class Fixed(PHOTO):
    """A modality that breaks a law: it gives local views whatever it is told."""

    def without_local(self):
        return self


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (LocalFirst, "gives other global views beside local ones"),
        (Uniform, r"gives a local view \(3, 32, 32\), not \(3, 16, 16\)"),
        (Fixed, "gives 0 local views, not 2"),
    ],
)
def test_broken_local_views_are_found_out(plugin, said, photograph):
    with pytest.raises(ContractError, match=f"{plugin.__name__} {said}"):
        testing.check_modality(plugin, photograph, local_views=2, local_size=16)


class Torn(Objective):
    """An objective that breaks a law: on streams, it wants local views."""

    on, wants_local = "streams", True

    def __init__(self, width):
        super().__init__()


def test_an_objective_on_streams_has_no_local_views():
    with pytest.raises(ContractError, match="Torn wants local views, which streams"):
        testing.check_objective(Torn)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (FlippedApart, "crops, flips or rotates differently for the same `geometry`"),
        (Unpaired, "ignores `geometry`"),
        (Global, "gives different views for the same seed"),
        (Narrow, r"gives a view \(3, 32, 32\), not \(3, 16, 32\)"),
        (Batchwise, "normalises a view by its neighbours"),
        (Upright, "gives 2 rotated views, not 4"),
        (Unlike, "makes other views in apply_views than in views"),
        (Spendthrift, "draws other random numbers in draw_views than in views"),
    ],
)
def test_a_broken_modality_is_found_out(plugin, said, photograph):
    with pytest.raises(ContractError, match=f"{plugin.__name__} {said}"):
        testing.check_modality(plugin, photograph)


def test_a_modality_with_views_of_its_own_makes_none_in_batches():
    assert PHOTO.in_batches
    assert Unlike.in_batches
    assert Batchwise.in_batches
    assert not Noisy.in_batches
    assert not Upright.in_batches


@pytest.mark.parametrize("plugin", [Single, Noisy])
def test_a_modality_may_have_no_pairs_and_may_have_noise(plugin, photograph):
    testing.check_modality(plugin, photograph, blur=0.0)


def test_a_missing_image_that_is_not_left_out_is_found_out(table):
    class Wrong(registry("datasets").get("manifest")):
        """A data set with an empty path."""

        def studies(self, split=None):
            found = super().studies(split)
            found[0].images["clinic"] = ()
            return found

    with pytest.raises(ContractError, match=r"Wrong has clinic = \(\) in study .*; leave it out"):
        testing.check_dataset(Wrong, table)


class Present(registry("objectives").get("crossmodal")):
    """An objective that breaks a law: it takes absent rows for present ones."""

    def forward(self, features, targets=None, *, present=None, group=None):
        return super().forward(features, targets, present=None, group=group)


def test_an_objective_that_counts_absent_rows_is_found_out():
    with pytest.raises(ContractError, match="Present lets absent rows count"):
        testing.check_objective(Present)


class Diluted(registry("objectives").get("crossmodal")):
    """An objective that breaks a law: its mean is over all rows, present or not."""

    def forward(self, features, targets=None, *, present=None, group=None):
        terms = super().forward(features, targets, present=present, group=group)
        share = torch.stack(list(present.values())).any(dim=0).float().mean()
        return {name: term * share for name, term in terms.items()}


class LastRow(registry("objectives").get("crossmodal")):
    """An objective that breaks a law, but only where the last row of the first stream is absent."""

    def forward(self, features, targets=None, *, present=None, group=None):
        terms = super().forward(features, targets, present=present, group=group)
        extra = next(iter(features.values()))[0][-1].sum()
        return {name: term + extra for name, term in terms.items()}


class Three(registry("objectives").get("swav")):
    """An objective that breaks a law: three rows are too few for it."""

    def forward(self, features, targets=None, *, present=None, group=None):
        terms = super().forward(features, targets, present=present, group=group)
        return {"loss": terms["loss"] / (0.0 if len(features[0]) == 3 else 1.0)}


class Kept(registry("objectives").get("simclr")):
    """An objective that breaks a law: a later batch of another size does not fit."""

    def forward(self, features, targets=None, *, present=None, group=None):
        if not hasattr(self, "last"):
            self.last = features[0].detach()
        return super().forward([features[0] + self.last, *features[1:]], group=group)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Diluted, "It counts studies without any image."),
        (LastRow, "It lets absent rows count."),
        (Three, "It gives a term 'loss' that is not finite for a batch of 3 rows."),
        (Kept, "It raises RuntimeError: The size of tensor a (5) must match the size of tensor b"),
    ],
)
def test_an_objective_is_tried_on_all_ways_to_be_absent(plugin, said):
    verdict = verdict_of("missing images", plugin)
    assert verdict.outcome == "FAILED"
    assert verdict.sentence.startswith(said)


class Statistics(registry("fusions").get("concat")):
    """A fusion that breaks a law: absent rows reach the running statistics alone."""

    def forward(self, features, present):
        if self.training:
            self.projector(torch.cat([views[0] for views in features.values()], dim=1))
        return super().forward(features, present)


class Joined(registry("fusions").get("sep_sep")):
    """A fusion that breaks a law: absent rows stay in the joint feature."""

    def joint(self, features, present):
        return torch.cat([features[name] for name in self.widths], dim=1)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Statistics, "Statistics lets absent rows change its running statistics"),
        (Joined, "Joined lets absent rows change joint features"),
    ],
)
def test_a_fusion_is_tried_on_all_ways_to_be_absent(plugin, said):
    with pytest.raises(ContractError, match=said):
        testing.check_fusion(plugin)
