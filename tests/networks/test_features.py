"""Features of stage 2: encoded once, kept by what they depend on, and the same as without a cache."""

import dataclasses
import errno
import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_runs import altered

from sm3kit.backbones.timm import Timm
from sm3kit.data.batches import EVALUATION, Collate, StudyViews
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.data.viewing import change_views
from sm3kit.networks.assemble import build_pool
from sm3kit.networks.extraction import Encoder, Features
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.networks.joint_batches import CachedJoint, EncodedJoint
from sm3kit.runs.folder import RunFolder
from sm3kit.training import stage1
from sm3kit.training.preparation import Setup

change = dataclasses.replace


@pytest.fixture
def encoded(monkeypatch):
    """encoded[0]: how many images any backbone has seen."""
    count = [0]
    forward = Timm.forward

    def counting(self, view):
        # Before a training each backbone is shown a single blank view.
        count[0] += len(view) if len(view) > 1 else 0
        return forward(self, view)

    monkeypatch.setattr(Timm, "forward", counting)
    return count


def files(root):
    return sorted(root.rglob("*.npy"))


@pytest.fixture
def study_of(tmp_path):
    """study_of(variant, cache): all that features are made of."""

    def make(variant, cache=None, precision="32-true"):
        pool = build_pool(variant)
        run, quiet = RunFolder(tmp_path / "run"), Reporter(Console(file=io.StringIO()))
        cache = cache or FeatureCache(None)
        images = ImageCache(None)
        cases = pool.of(variant.splits)
        setup = Setup(run, variant, pool, cases, images, cache, quiet, "hash", 0)
        branches = stage1.build(setup, setup.variant, {}).branches
        branches.requires_grad_(False).eval()
        return setup, branches, Encoder(branches, variant, cache, quiet, precision)

    return make


@pytest.fixture
def some(tiny2):
    options = {**tiny2.options, "synthetic": {"size": 32, "missing": 0.4}}
    return altered(tiny2, data=("synthetic:20",), options=options)


def views_of(setup, variant, view):
    """The studies under one view, as a batch."""
    pool = (
        setup.pool
        if view == EVALUATION
        else change_views(setup.pool, variant, variant.stage2.views)
    )
    shown = StudyViews(pool, setup.cases, setup.images, variant.seed)
    return Collate(list(pool.modalities))([shown[view, i] for i in range(len(shown))])


# Encoded once


def test_no_view_is_encoded_twice(second, train, tmp_path, encoded):
    kept = tmp_path / "features"
    train(second, "a", features=kept)
    assert encoded[0] == 24 * 2 * 2  # Studies, modalities, views.
    assert len(files(kept)) == 4
    train(altered(second, relation="msa", seed=0, stage2={"epochs": 3}), "b", features=kept)
    assert encoded[0] == 96
    train(altered(second, stage2={"feature_views": 3}), "c", features=kept)
    assert encoded[0] == 96 + 48
    train(altered(second, seed=1), "d", features=kept)
    assert encoded[0] == 96 + 48 + 96


def test_without_a_cache_each_run_encodes(second, train, tmp_path, encoded):
    for name in ("a", "b"):
        train(altered(second, stage2={"epochs": 1}), name)
    assert encoded[0] == 2 * 96
    assert not list(tmp_path.rglob("*features*"))


def test_new_views_are_encoded_in_every_epoch(second, train, tmp_path, encoded):
    train(altered(second, stage2={"feature_views": 0}), features=tmp_path / "features")
    # To fill the bank, and in each of two epochs.
    assert encoded[0] == 24 * 2 * 3
    assert not (tmp_path / "features").exists()


def test_the_cache_changes_no_number(second, train, tmp_path):
    for name, kept in (("a", None), ("b", tmp_path / "features"), ("c", tmp_path / "features")):
        train(second, name, features=kept)
    models = [RunFolder(tmp_path / name).model.read_bytes() for name in ("a", "b", "c")]
    metrics = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in "abc"]
    losses = [[row.split(",")[2] for row in rows] for rows in metrics]
    assert losses[0] == losses[1] == losses[2]
    assert len({len(model) for model in models}) == 1


# Right


@pytest.mark.parametrize("view", [EVALUATION, 0, 2])
def test_features_are_those_of_a_direct_forward(some, study_of, tmp_path, view):
    setup, branches, encoder = study_of(some, FeatureCache(tmp_path / "features"))
    for _ in range(2):  # Encoded, then from the cache.
        if view == EVALUATION:
            features, place = encoder.evaluation(setup.views), 0
        else:
            features, place = encoder.random_views(setup.views, 3, some.stage2.views), view
        batch = views_of(setup, some, view)
        for name in ("derm", "clinic"):
            mask = features.present[name]
            assert torch.equal(mask, batch.present[name])
            table = torch.from_numpy(np.array(features.views[name][place]))
            with torch.no_grad():
                direct = branches.encode(name, batch.views[name][0][mask])
            torch.testing.assert_close(table[mask], direct, rtol=0, atol=1e-6)
            assert table[~mask].abs().max() == 0 if bool((~mask).any()) else name == "derm"
        assert torch.equal(features.labels, batch.labels)
        assert torch.equal(features.groups, batch.group)
        assert list(features.ids) == [case.study.id for case in setup.cases]


def test_views_of_an_epoch_are_the_cached_ones(some, study_of):
    """Without a cache, epoch e sees what is cached as view e."""
    setup, branches, encoder = study_of(some)
    features = encoder.random_views(setup.views, 3, some.stage2.views)
    present = features.present
    other = change_views(setup.pool, some, some.stage2.views)
    shown = StudyViews(other, setup.cases, setup.images, some.seed)
    anew = EncodedJoint(shown, branches, "32-true", batch_size=5)
    for epoch in range(3):
        chosen = {name: np.full(len(features), epoch) for name in present}
        wanted = branches.joint(features.rows(torch.arange(len(features)), chosen), present)
        found = list(anew.in_order(epoch))
        assert torch.cat([batch.index for batch in found]).tolist() == list(range(len(features)))
        joint = torch.cat([batch.joint for batch in found])
        torch.testing.assert_close(joint, wanted, rtol=0, atol=1e-6)
        # And so in the shuffled order of that epoch.
        batches = EpochBatches(len(features), 4, some.seed)
        batches.set_epoch(epoch)
        for batch in anew.shuffled(batches):
            torch.testing.assert_close(batch.joint, wanted[batch.index], rtol=0, atol=1e-6)


def test_the_networks_are_in_eval_mode_when_it_encodes(some, study_of):
    setup, branches, encoder = study_of(some)
    branches.train()
    before = {name: value.clone() for name, value in branches.state_dict().items()}
    encoder.evaluation(setup.views)
    assert all(torch.equal(before[name], value) for name, value in branches.state_dict().items())


# Keys


def repainted(folder):
    """A manifest of its own, whose pictures can be changed."""
    folder.mkdir()
    lines = ["id,split,group,derm,clinic"]
    for i in range(4):
        for name in ("derm", "clinic"):
            Image.new("RGB", (32, 32), (50 * i, 90, 20)).save(folder / f"{name}{i}.png")
        lines.append(f"s{i},train,g{i},derm{i}.png,clinic{i}.png")
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'm.csv'}"


@pytest.mark.parametrize(
    ("changes", "new"),
    [
        ({}, 0),
        ({"relation": "te", "stage2": {"lr": 5.0, "clusters": 2}}, 0),
        ({"stage1": {"batch_size": 3, "lr": 9.0}}, 0),
        ({"seed": 1}, 2),
        ({"image_size": 40}, 2),
        ({"stage2": {"views": {"jitter": 0.9, "views": 1}}}, 2),
        ({"options": {"clinic": {"flip": 0.1}}}, 1),
        ({"options": {"photo": {"crop_scale": (0.6, 1.0)}}}, 2),
        ({"weights of": "derm"}, 1),
        ({"statistics of": "clinic"}, 1),
        ({"image of": "derm"}, 1),
        ({"precision": "bf16-mixed"}, 2),
    ],
    ids=str,
)
def test_what_features_depend_on_names_them(tiny2, study_of, tmp_path, changes, new):
    one = altered(tiny2, data=(repainted(tmp_path / "d"),), stage1={"batch_size": 4})
    cache = FeatureCache(tmp_path / "features")
    setup, _, encoder = study_of(one, cache)
    encoder.random_views(setup.views, 1, one.stage2.views)
    assert len(files(cache.root)) == 2
    options = {**one.options, **changes.get("options", {})}
    settings = {n: v for n, v in changes.items() if " " not in n and n != "precision"}
    other = altered(one, **{**settings, "options": options})
    # Weights depend on the seed as well; here they are told apart.
    setup, branches, encoder = study_of(
        altered(other, seed=0), cache, changes.get("precision", "32-true")
    )
    setup = altered(setup, variant=other)
    if "weights of" in changes:
        first = next(branches.backbones[changes["weights of"]].parameters())
        first.data[(0,) * first.ndim] += 1e-6
    if "statistics of" in changes:
        state = branches.backbones[changes["statistics of"]].state_dict()
        next(value for name, value in state.items() if "running_var" in name).mul_(1.001)
    if "image of" in changes:
        Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "d" / f"{changes['image of']}2.png")
    encoder.random_views(setup.views, 1, other.stage2.views)
    assert len(files(cache.root)) == 2 + new


def test_evaluation_views_do_not_depend_on_the_seed(tiny2, study_of, tmp_path):
    cache = FeatureCache(tmp_path / "features")
    for seed in (0, 1):
        setup, _, encoder = study_of(tiny2, cache)
        encoder.evaluation(altered(setup, variant=altered(tiny2, seed=seed)).views)
        assert len(files(cache.root)) == 2
    encoder.random_views(setup.views, 1, tiny2.stage2.views)
    assert len(files(cache.root)) == 4


def test_equal_pictures_under_other_names_share_their_features(tiny2, study_of, tmp_path, encoded):
    cache = FeatureCache(tmp_path / "features")
    for name in ("d", "e"):
        one = altered(tiny2, data=(repainted(tmp_path / name),), stage1={"batch_size": 4})
        setup, _, encoder = study_of(one, cache)
        encoder.evaluation(setup.views)
    assert encoded[0] == 8


def test_what_no_study_has_is_zeros_and_not_encoded(some, study_of, tmp_path, encoded):
    """Whatever else is dropped, what was encoded is not encoded again."""
    cache = FeatureCache(tmp_path / "features")
    setup, _, encoder = study_of(some, cache)
    whole = encoder.evaluation(setup.views)
    before, kept = encoded[0], files(cache.root)
    cases = [
        change(case, images={n: own for n, own in case.images.items() if n != "clinic"})
        for case in setup.cases
    ]
    shown = StudyViews(setup.pool, cases, setup.images, some.seed)
    left = encoder.evaluation(shown)
    assert (encoded[0], files(cache.root)) == (before, kept)
    assert torch.equal(left.whole()["derm"], whole.whole()["derm"])
    assert not left.whole()["clinic"].any() and not left.present["clinic"].any()
    assert list(left.views) == list(whole.views)
    # Nor do the networks below nothing: with new views, half are encoded.
    encoder.random_views(shown, 1, {})
    assert encoded[0] - before == int(left.present["derm"].sum())


# The folder


def table(value=1.0):
    return np.full((3, 2), value, np.float32)


def test_what_is_kept_comes_back(tmp_path):
    cache = FeatureCache(tmp_path)
    assert cache.get("abcd") is None
    given = cache.put("abcd", table(7))
    for rows in (given, cache.get("abcd"), FeatureCache(tmp_path).get("abcd")):
        assert (np.asarray(rows) == table(7)).all()
        assert rows.dtype == np.float32
    assert [file.relative_to(tmp_path).as_posix() for file in files(tmp_path)] == ["ab/cd.npy"]


def test_no_folder_keeps_nothing(tmp_path):
    cache = FeatureCache(None)
    rows = table()
    assert cache.put("abcd", rows) is rows
    assert cache.get("abcd") is None


@pytest.mark.parametrize("keep", [0, 5, 60, 140])
def test_a_truncated_table_is_encoded_anew(some, study_of, tmp_path, encoded, keep):
    cache = FeatureCache(tmp_path / "features")
    setup, _, encoder = study_of(some, cache)
    wanted = {n: np.array(v[0]) for n, v in encoder.evaluation(setup.views).views.items()}
    before = encoded[0]
    whole = {file: file.read_bytes() for file in files(cache.root)}
    for file, content in whole.items():
        file.write_bytes(content[:keep])
    again = encoder.evaluation(setup.views).views
    assert encoded[0] == 2 * before
    assert all((np.asarray(again[name][0]) == wanted[name]).all() for name in wanted)
    assert {file: file.read_bytes() for file in files(cache.root)} == whole


@pytest.mark.parametrize("other", [np.zeros((3, 2), np.float64), np.zeros(3, np.float32)])
def test_another_table_is_not_taken(tmp_path, other):
    FeatureCache(tmp_path).put("abcd", table())
    np.save(files(tmp_path)[0], other)
    assert FeatureCache(tmp_path).get("abcd") is None


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"no table", bytes(300)])
def test_what_is_no_table_is_not_taken(tmp_path, content):
    FeatureCache(tmp_path).put("abcd", table())
    files(tmp_path)[0].write_bytes(content)
    assert FeatureCache(tmp_path).get("abcd") is None


def test_a_full_disk_costs_only_the_copy(some, study_of, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    setup, _, encoder = study_of(some)
    wanted = encoder.evaluation(setup.views).whole()
    cache = FeatureCache(tmp_path / "features")
    monkeypatch.setattr("sm3kit.core.files.os.fsync", full)
    setup, _, encoder = study_of(some, cache)
    found = encoder.evaluation(setup.views).whole()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert [one for one in cache.root.rglob("*") if one.is_file()] == []


def test_the_least_recently_used_tables_go_first(tmp_path):
    size = FeatureCache(tmp_path / "one").put("abcd", table()).nbytes + 128
    cache = FeatureCache(tmp_path / "many", 4 * size)
    for number in range(4):
        cache.put(f"a{number}", table(number))
    for file in files(cache.root):
        os.utime(file, (1000, 1000))
    assert cache.get("a2") is not None  # Used again.
    held = cache.put("a9", table(9))
    assert cache.get("a2") is not None
    assert sum(file.stat().st_size for file in files(cache.root)) <= 4 * size
    assert (np.asarray(held) == table(9)).all()


def test_a_table_larger_than_the_limit_is_not_kept(tmp_path):
    cache = FeatureCache(tmp_path / "features", 10)
    assert (cache.put("abcd", table()) == table()).all()
    assert not (tmp_path / "features").exists()


# Draws


@pytest.fixture
def drawing(some, study_of):
    """drawing(seed, count, views): a CachedJoint over made-up features."""
    _, branches, _ = study_of(some)
    widths = branches.widths

    def make(seed=0, count=50, views=4):
        tables = {
            name: [np.full((count, width), view, np.float32) for view in range(views)]
            for name, width in widths.items()
        }
        present = {name: torch.arange(count) % 5 != place for place, name in enumerate(widths)}
        labels = torch.arange(count).unsqueeze(1)
        ids = [str(i) for i in range(count)]
        features = Features(tables, present, labels, ids, torch.arange(count))
        return CachedJoint(features, branches, seed, batch_size=16)

    return make


def test_draws_depend_on_seed_epoch_and_modality(drawing):
    one, again, other = drawing(0), drawing(0), drawing(1)
    first = one.draw_views(3)
    assert all((again.draw_views(3)[name] == first[name]).all() for name in first)
    assert (first["derm"] != first["clinic"]).any()
    for another in (one.draw_views(4), other.draw_views(3)):
        assert all((another[name] != first[name]).any() for name in first)
    # Nothing global is drawn from, and nothing is remembered.
    torch.manual_seed(9)
    one.draw_views(5)
    assert (one.draw_views(3)["derm"] == first["derm"]).all()
    assert set(first["derm"].tolist()) == {0, 1, 2, 3}


def test_in_order_and_shuffled_show_the_same_views(drawing):
    source = drawing()
    ordered = list(source.in_order(2))
    assert [batch.count for batch in ordered] == [16, 16, 16, 2]
    joint = torch.cat([batch.joint for batch in ordered])
    chosen = source.draw_views(2)
    width = source.branches.widths["derm"]
    for place, name in enumerate(("derm", "clinic")):
        part = joint[:, place * width : (place + 1) * width]
        views = torch.from_numpy(chosen[name]) * source.features.present[name]
        assert torch.equal(part, views.float().unsqueeze(1).expand(-1, width))
    batches = EpochBatches(50, 8, seed=0)
    batches.set_epoch(2)
    loader = source.shuffled(batches)
    assert len(loader) == 7
    seen = list(loader)
    assert sorted(torch.cat([batch.index for batch in seen]).tolist()) == list(range(50))
    for batch in seen:
        assert torch.equal(batch.joint, joint[batch.index])
        assert torch.equal(batch.labels, batch.index.unsqueeze(1))
    assert not torch.equal(torch.cat([batch.joint for batch in source.in_order(3)]), joint)


def test_a_study_that_is_drawn_again_has_another_view(drawing):
    """All of its views come round before one comes again."""
    source = drawing()
    chosen, index = source.draw_views(0), torch.full((9,), 7)
    batch = source.batch(index, chosen, range(9))
    place, width = list(source.branches.widths).index("derm"), source.branches.widths["derm"]
    shown = batch.joint[:, place * width].tolist()
    first = int(chosen["derm"][7])
    assert shown == [(first + turn) % 4 for turn in range(9)]


def test_one_view_is_drawn_always(drawing):
    source = drawing(views=1)
    joints = [torch.cat([batch.joint for batch in source.in_order(epoch)]) for epoch in range(3)]
    assert torch.equal(joints[0], joints[1])
    assert torch.equal(joints[0], joints[2])
