"""Tar shards: the studies that were packed, and shards that others made."""

import csv
import io
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from sm3kit.core.errors import DataError, SM3Error, VariantError
from sm3kit.core.members import read_member, shown
from sm3kit.core.registry import registry
from sm3kit.data.check import check_spec
from sm3kit.data.file_hashes import FileHashes
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.packing import pack
from sm3kit.data.pool import open_pool
from sm3kit.data.specs import open_dataset
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study, WeakScores, as_paths
from sm3kit.datasets.shards import Shards
from sm3kit.modalities.base import Modality, read_image
from sm3kit.modalities.photo import Photo
from sm3kit.synthesis.layouts import write
from sm3kit.tables import shard_index, shard_listing
from sm3kit.tables.shard_file import Limits, Packing, write_shards
from sm3kit.tables.shard_index import open_shard

FACTS = {"labels": [], "weak": {}, "notes": [], "modalities": {}}


@pytest.fixture(scope="session")
def lesions(tmp_path_factory):
    """The spec of ten drawn lesions as MILK10k, with weak labels and unknown ones."""
    folder = tmp_path_factory.mktemp("lesions") / "milk10k"
    write("milk10k", folder, 10, 32)
    return f"milk10k:{folder}"


@pytest.fixture(scope="session")
def packed(lesions, tmp_path_factory):
    """The folder of their shards, four studies each."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    assert pack(lesions, {}, folder, most_studies=4)[:2] == (10, 3)
    return folder


@pytest.fixture
def copied(packed, tmp_path):
    return Path(shutil.copytree(packed, tmp_path / "copy"))


def members_of(file):
    with tarfile.open(file) as tar:
        return tar.getmembers()


def without_paths(studies):
    return [replace(study, images=sorted(study.images)) for study in studies]


def assert_same(own, other):
    """Everything that a data set says of its studies; the bytes of their images."""
    assert without_paths(own.studies()) == without_paths(other.studies())
    assert (list(own.labels), own.modalities) == (list(other.labels), other.modalities)
    assert (list(own.notes), own.weak_scores()) == (list(other.notes), other.weak_scores())
    for left, right in zip(own.studies(), other.studies(), strict=True):
        for name, images in left.images.items():
            pairs = zip(as_paths(images), as_paths(right.images[name]), strict=True)
            assert all(Path(path).read_bytes() == read_member(copy) for path, copy in pairs)


def test_the_studies_stay_the_same(lesions, packed):
    assert_same(open_dataset(lesions), Shards(str(packed)))


def test_a_pattern_may_name_some_shards(packed):
    every = Shards(str(packed)).studies()
    for pattern, studies in {
        "milk10k-{000000..000001}.tar": every[:8],
        "milk10k-00000{0,2}.tar": every[:4] + every[8:],
        "milk10k-00000[12].tar": every[4:],
        "milk10k-000001.tar": every[4:8],
        "*.tar": every,
    }.items():
        assert Shards(str(packed / pattern)).studies() == studies
    assert Shards(str(packed)).studies("val") == [study for study in every if study.split == "val"]


@pytest.mark.parametrize("name", ["set[1]", "{a,b}", "what?", "*"])
def test_a_folder_may_have_any_name(packed, tmp_path, name):
    """A folder that is there is no pattern; what is behind it may be one."""
    folder = tmp_path / name
    shutil.copytree(packed, folder)
    every = [study.id for study in Shards(str(packed)).studies()]
    for pattern in (folder, folder / "*.tar", folder / "milk10k-{000000..000002}.tar"):
        assert [study.id for study in Shards(str(pattern)).studies()] == every
    first = folder / "milk10k-000000.tar"
    assert len(Shards(str(first)).studies()) == 4
    first.rename(folder / "milk[{0,1}].tar")
    (folder / "milk10k-000000.tar.json").unlink()
    assert len(Shards(str(folder / "milk[{0,1}].tar")).studies()) == 4
    with pytest.raises(DataError, match="There is no tar file"):
        Shards(str(tmp_path / "other[1]"))


def test_equal_data_give_equal_bytes(lesions, packed, tmp_path):
    pack(lesions, {}, tmp_path / "again", most_studies=4)
    for file in packed.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_a_shard_ends_before_it_is_too_large(lesions, tmp_path):
    pack(lesions, {}, tmp_path / "s", most_bytes=3 * 10_240)
    files = sorted((tmp_path / "s").glob("*.tar"))
    assert 1 < len(files) < 10
    assert max(file.stat().st_size for file in files) <= 3 * 10_240
    assert pack(lesions, {}, tmp_path / "t", most_bytes=1).shards == 10  # A study is never cut.


@pytest.mark.parametrize("records", [2, 3])
def test_headers_ends_and_long_names_count(tmp_path, records):
    """Studies of hardly any bytes: all but a hundredth of a shard is headers and what fills blocks."""
    (tmp_path / "a.jpg").write_bytes(b"x")
    long = "m" * 120  # Such a name has two blocks more.
    studies = [
        Packing({"id": f"{n}"}, {name: [str(tmp_path / "a.jpg")] for name in ("derm", long)})
        for n in range(40)
    ]
    limit = records * tarfile.RECORDSIZE
    shards = write_shards(tmp_path, "s", FACTS, studies, Limits(limit))
    assert {shard.stat().st_size for shard in shards[:-1]} == {limit}
    keys = [
        member.name for shard in shards for member in members_of(shard) if "json" in member.name
    ]
    assert len(keys) == 40 + len(shards)
    # Not one more study fits.
    members = members_of(shards[0])
    free = limit - 1024 - members[-1].offset_data - 512
    study = next(at.offset for at in members[4:] if at.name == "1.json") - members[1].offset
    assert 0 <= free < study


def test_a_pool_of_shards_is_the_pool(lesions, packed, tmp_path):
    """The same images, cached and hashed as those of the files, also of a shard that is packed again."""
    pack(f"shards:{packed}", {}, tmp_path / "again", only=["derm"], most_studies=7)
    cache = ImageCache(tmp_path / "images")
    specs = [lesions, f"shards:{packed}", f"shards:{tmp_path / 'again'}"]
    plain, shards, again = (open_pool([spec], image_size=lambda name: 32) for spec in specs)
    for left, right, third in zip(
        *(pool.of(["train", "test"]) for pool in (plain, shards, again)), strict=True
    ):
        assert replace(left.study, images={}) == replace(right.study, images={})
        assert (left.labels, left.group) == (right.labels, right.group)
        assert third.images.keys() == {"derm"}
        for name, (path,) in left.images.items():
            own, other = plain.readers[0][name], shards.readers[0][name]
            assert cache.digest(path, own) == cache.digest(right.images[name][0], other)
            assert np.array_equal(cache.get(path, own), cache.get(right.images[name][0], other))
    files = list((tmp_path / "images").rglob("*.npy"))
    assert len(files) == len(
        {
            cache.digest(c.images[m][0], plain.readers[0][m])
            for c in plain.of(["train", "test"])
            for m in c.images
        }
    )
    assert (
        again.listing_hash()
        == open_pool([f"shards:{packed}"], image_size=lambda n: 32, only=["derm"]).listing_hash()
    )


def test_only_the_member_is_hashed(packed, monkeypatch):
    """Shards are large: a hash of the whole file for each image would read it a thousand times."""
    study = Shards(str(packed)).studies()[0]
    tar, size = str(study.images["derm"]).partition("#")[0], []
    monkeypatch.setattr(
        "sm3kit.core.members.read_member", lambda file: size.append(file) or b"bytes"
    )
    assert ImageCache(None).digest(study.images["derm"], Photo(32))
    assert size == [study.images["derm"]]
    assert tar.endswith(".tar")


def test_the_check_reads_shards(packed, copied):
    report = check_spec(f"shards:{packed}", {})
    assert report.ok
    assert report.sizes["derm"].images == 10
    file = copied / "milk10k-000001.tar"
    path = Shards(str(copied)).studies()[4].images["derm"]
    start = int(path.partition("@")[2].partition("+")[0])
    content = bytearray(file.read_bytes())
    content[start : start + 400] = bytes(400)
    file.write_bytes(content)
    (problem,) = check_spec(f"shards:{copied}", {}).problems
    assert problem.startswith(f"1 image unreadable, first {shown(path)} (study ")
    assert "is not in a format that Pillow knows" in problem


# Several images, parts, other modalities


class Slices(Modality):
    """A row of an array, `rows.npy#2`, for which it needs a real file."""

    channels, reading = 1, "rows"

    def __init__(self, image_size=8):
        self.image_size = image_size

    def files(self, path):
        return (path, f"{path}.raw") if path.endswith("mhd") else super().files(path)

    def read(self, path):
        file, _, row = path.partition("#")
        return np.load(file)[int(row or 0)][np.newaxis, np.newaxis]


class Scans(Dataset):
    """Two scans with several slices of one file each, and a study without labels."""

    def __init__(self, argument):
        for name in "ab":
            np.save(
                Path(argument) / f"{name}.scan.npy",
                np.arange(24, dtype=np.uint8).reshape(4, 6) + ord(name),
            )
        self.modalities = {
            "ct.one": ModalitySpec("slices", {}, "body"),
            "photo/2": ModalitySpec("photo", {"border": 2}),
        }
        self.labels = [LabelSpec("kind", ("x", "y 1"), "y 1")]
        self.notes = ["Made by hand."]
        first, second = (f"{argument}/{name}.scan.npy" for name in "ab")
        self._studies = [
            Study(
                "a/1.2",
                {"ct.one": (f"{first}#0", f"{first}#3", f"{first}#1")},
                {"kind": 1},
                "p 1",
                "train",
            ),
            Study("ä#b", {"ct.one": f"{second}#2"}, {"kind": -1}, "p 2", "val"),
            Study("none", {}, {}, "p 2", "val"),
        ]

    def studies(self, split=None):
        return [study for study in self._studies if split in (None, study.split)]

    def weak_scores(self):
        return {"kind": WeakScores(("x", "y 1"), {"none": (float("nan"), 2.0)}, True)}


@pytest.fixture
def scans(tmp_path):
    (tmp_path / "scans").mkdir()
    registry("datasets").register("scans")(Scans)
    registry("modalities").register("slices")(Slices)
    yield tmp_path / "scans"
    registry("datasets").unregister("scans")
    registry("modalities").unregister("slices")


def test_parts_names_and_weak_labels(scans, tmp_path):
    pack(f"scans:{scans}", {}, tmp_path / "s")
    own, other = Scans(str(scans)), Shards(str(tmp_path / "s"))
    weak, packed_weak = own.weak_scores().pop("kind"), other.weak_scores()["kind"]
    assert (weak.classes, weak.makes_label) == (packed_weak.classes, packed_weak.makes_label)
    assert np.array_equal(weak.scores["none"], packed_weak.scores["none"], equal_nan=True)
    assert own.modalities == other.modalities
    assert [study.labels for study in other.studies()] == [{"kind": 1}, {}, {}]
    names = [member.name for member in members_of(tmp_path / "s" / "scans-000000.tar")]
    assert names[1:] == [
        "a%2F1%2E2.json",
        "a%2F1%2E2.ct%2Eone.0.npy",
        "%C3%A4%23b.json",
        "%C3%A4%23b.ct%2Eone.npy",
        "none.json",
    ]
    for left, right in zip(own.studies(), other.studies(), strict=True):
        assert (left.id, left.group, left.split) == (right.id, right.group, right.split)
        assert left.images.keys() == right.images.keys()
        for name in left.images:
            for path, copy in zip(
                as_paths(left.images[name]), as_paths(right.images[name]), strict=True
            ):
                assert np.array_equal(read_image(path, Slices()), read_image(copy, Slices()))


REFUSED = {
    "a folder": (
        {"ct.one": "{}"},
        "is a folder, and an image in a shard is one file. Name the modalities to pack with --modality",
    ),
    "two files": ({"ct.one": "{}/two.mhd"}, "is read from 2 files, and an image in a shard is one"),
    "missing": (
        {"ct.one": "{}/gone.npy"},
        "There is no image .*gone.npy. It is of study c, ct.one",
    ),
    "8 GiB": (
        {"ct.one": "{}/large.npy"},
        "large.npy has 8 GiB or more, and a shard holds smaller files. Name the modalities",
    ),
    "a part for many": (
        {"ct.one": "{}/a.scan.npy#1"},
        "is a part of a file of many studies, and a shard would hold a copy",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_packed_is_refused_before_anything_is_written(
    scans, tmp_path, monkeypatch, case
):
    images, text = REFUSED[case]
    images = {name: path.format(scans) for name, path in images.items()}
    with (scans / "large.npy").open("wb") as file:
        file.truncate(8 * 2**30)  # Without a byte on the disk.
    own = Scans.__init__

    def with_one_more(self, argument):
        own(self, argument)
        self._studies.append(Study("c", images, {}, "c", "test"))

    monkeypatch.setattr(Scans, "__init__", with_one_more)
    with pytest.raises(DataError, match=text):
        pack(f"scans:{scans}", {}, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    assert pack(f"scans:{scans}", {}, tmp_path / "s", only=["photo/2"]).studies == 4


def test_packing_needs_a_modality_and_an_empty_folder(lesions, packed, tmp_path):
    with pytest.raises(VariantError, match="No modality named 'ct'. Known: clinic, derm."):
        pack(lesions, {}, tmp_path / "s", only=["ct"])
    with pytest.raises(DataError, match="already exists and is not an empty folder"):
        pack(lesions, {}, packed)


@pytest.mark.parametrize("name", registry("modalities").names())
def test_every_modality_reads_members(name, tmp_path):
    """The same image from a shard as from the file, for all that make one of one file."""
    plugin = registry("modalities").get(name)
    path, modality = plugin.example(tmp_path), plugin(32)
    study = Packing({"id": "7"}, {name: [path]})
    (shard,) = write_shards(tmp_path, "s", FACTS, [study])
    (copy,) = open_shard(shard).entries[0].images[name]
    assert np.array_equal(read_image(path, modality), read_image(copy, modality))
    cache = ImageCache(tmp_path / "cache")
    assert cache.digest(path, modality) == cache.digest(copy, modality)


# Shards of webdataset


def jpeg(shade):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 90, 200)).save(file, "JPEG")
    return file.getvalue()


def wds_shards(folder, samples):
    """Two shards that webdataset writes."""
    pattern = str(folder / "their-%06d.tar")
    with webdataset.ShardWriter(pattern, maxcount=(len(samples) + 1) // 2, verbose=0) as writer:
        for sample in samples:
            writer.write(sample)
    return str(folder / "their-{000000..000001}.tar")


def sample(number, **more):
    facts = {
        "group": f"p{number // 2}",
        "labels": {
            "DIAG": ["NEV", "MEL"][number % 2],
            "age": number // 3 + 8,
            "rare": None,
            "one": "x",
        },
    }
    images = {
        "derm.jpg": jpeg(10 * number),
        "clinic.0.jpg": jpeg(5),
        "clinic.1.jpg": jpeg(6 + number),
    }
    return {"__key__": f"sub.d/{number:03}", "json": {**facts, **more}, **images, "cls": number}


def test_shards_of_webdataset_are_read(tmp_path, monkeypatch):
    argument = wds_shards(tmp_path, [sample(number) for number in range(12)])
    dataset = Shards(argument)
    studies = dataset.studies()
    assert [study.id for study in studies] == [f"sub.d/{number:03}" for number in range(12)]
    assert dataset.modalities == {"clinic": ModalitySpec(), "derm": ModalitySpec()}
    assert dataset.labels == [
        LabelSpec("DIAG", ("MEL", "NEV")),
        LabelSpec("age", ("8", "9", "10", "11")),
    ]
    assert studies[7].labels == {"DIAG": 0, "age": 2}
    assert [read_member(path) for path in studies[7].images["clinic"]] == [jpeg(5), jpeg(13)]
    assert read_member(studies[7].images["derm"]) == jpeg(70)
    assert {study.split for study in studies} == {"train", "val", "test"}
    assert len({(study.group, study.split) for study in studies}) == 6
    assert dataset.notes == [
        "Members that are not KEY.MODALITY.SUFFIX, and are not used: 12.",
        "Labels of one class, which are left out: one.",
        "No study has a split: split by group, stratified on DIAG, seed 0.",
    ]
    # Listed once: the index is in the cache, by size and time of the shard.
    monkeypatch.setattr(shard_listing, "scan", None)
    assert Shards(argument).studies() == studies
    assert not list(tmp_path.glob("*.json"))


def test_a_changed_shard_is_listed_anew(tmp_path):
    argument = wds_shards(tmp_path, [sample(number) for number in range(4)])
    assert Shards(argument).studies()[0].id == "sub.d/000"
    wds_shards(tmp_path, [sample(number) for number in range(4, 8)])
    assert Shards(argument).studies()[0].id == "sub.d/004"


def packed_again(folder, tmp_path, study, **facts):
    """One shard of three studies, then another of the same, one of them with other facts."""
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    for place in ("first", "second"):
        (folder / place).mkdir(parents=True)
        studies = [{"id": f"{n}", "split": "train", "labels": {"DIAG": "MEL"}} for n in range(3)]
        if place == "second":
            studies[study] |= facts
        known = {**FACTS, "modalities": {"derm": {"plugin": "photo", "options": {}, "frame": ""}}}
        known["labels"] = [{"name": "DIAG", "classes": ["MEL", "NEV"], "reported": ""}]
        packings = [Packing(facts, {"derm": [str(tmp_path / "a.jpg")]}) for facts in studies]
        write_shards(folder / place, "s", known, packings)
    return folder / "first" / "s-000000.tar", folder / "second" / "s-000000.tar"


@pytest.mark.parametrize("study", range(3))
@pytest.mark.parametrize("facts", [{"labels": {"DIAG": "NEV"}}, {"id": "7"}], ids=["label", "id"])
def test_an_index_of_an_earlier_shard_is_left_aside(tmp_path, study, facts):
    """Only the tar file is copied again; it has as many bytes as before, and may be older."""
    old, new = packed_again(tmp_path / "s", tmp_path, study, **facts)
    assert len(Shards(str(old)).studies()) == 3  # The index is compared, and this is kept.
    wanted = without_paths(Shards(str(new)).studies())
    times = old.stat().st_mtime_ns - 10**9
    assert old.stat().st_size == new.stat().st_size
    shutil.copyfile(new, old)
    os.utime(old, ns=(times, times))
    assert without_paths(Shards(str(old)).studies()) == wanted
    assert all(read_member(study.images["derm"]) for study in Shards(str(old)).studies())


def test_a_study_that_is_added_in_the_room_at_the_end_is_seen(tmp_path):
    (shard,) = write_shards(tmp_path, "s", FACTS, [Packing({"id": "7", "split": "train"})])
    size = shard.stat().st_size
    assert len(open_shard(shard).entries) == 1
    with tarfile.open(shard, "a") as tar:
        member = tarfile.TarInfo("8.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"{}"))
    assert shard.stat().st_size == size
    assert [entry.id for entry in open_shard(shard).entries] == ["7", "8"]


def test_an_index_that_does_not_say_what_it_is_of_is_left_aside(copied):
    """As those of earlier versions of sm3kit."""
    index = copied / "milk10k-000000.tar.json"
    known = json.loads(index.read_text("utf-8"))
    studies = Shards(str(copied)).studies()
    for digested in (None, [[-5, 3]], [["a"]], 3):
        other = {**known, "studies": [], "digest": f"of {digested}", "digested": digested}
        if digested is None:
            del other["digest"], other["digested"]
        index.write_text(json.dumps(other), "utf-8")
        assert Shards(str(copied)).studies() == studies


def test_an_index_is_compared_once(copied, monkeypatch):
    studies = Shards(str(copied)).studies()
    monkeypatch.setattr(shard_index, "digest_of", None)
    monkeypatch.setattr(shard_index, "make_index", None)
    assert Shards(str(copied)).studies() == studies


def test_splits_of_others(tmp_path):
    words = ["training", "Dev", "test", "train"]
    argument = wds_shards(tmp_path, [sample(n, split=word) for n, word in enumerate(words)])
    assert [study.split for study in Shards(argument).studies()] == [
        "train",
        "val",
        "test",
        "train",
    ]


def test_webdataset_reads_what_is_packed(lesions, packed):
    """In order, decoded, without the member that holds what is known of the data set."""
    urls = str(packed / "milk10k-{000000..000002}.tar")
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    studies = open_dataset(lesions).studies()
    classes = {label.name: label.classes for label in open_dataset(lesions).labels}
    assert [one["json"]["id"] for one in samples] == [study.id for study in studies]
    for one, study in zip(samples, studies, strict=True):
        names = {label: classes[label][value] for label, value in study.labels.items()}
        assert one["json"]["labels"] == names
        for name, path in study.images.items():
            assert np.array_equal(one[f"{name}.jpg"], np.asarray(Image.open(path)))


# Mistakes


def edited(folder, change):
    """Rewrites the first shard without its index: change(name, content) -> content, or None."""
    file = folder / "milk10k-000000.tar"
    with tarfile.open(file) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(file, "w") as tar:
        for member, content in members:
            text = change(member.name, content)
            if text is not None:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
    Path(f"{file}.json").unlink()
    return str(folder)


def with_json(**more):
    def change(name, content):
        first = name.endswith("0000001.json")
        return json.dumps({**json.loads(content), **more}).encode() if first else content

    return change


def replaced(end, text):
    return lambda name, content: text if name.endswith(end) else content


NAME = r"milk10k-000000.tar, IL_0000001.json"
MISTAKES = {
    "unknown class": (
        with_json(labels={"DIAG": "MELL"}),
        rf"{NAME}: No class of 'DIAG' named 'MELL'. Did you mean 'MEL'",
    ),
    "unknown split": (
        with_json(split="later"),
        rf"{NAME}: the split 'later' is not train, val or test",
    ),
    "no split": (
        with_json(split=None),
        rf"{NAME}: there is no split. Give every study one, or none",
    ),
    "unknown modality": (
        with_json(images={"dermo": ["derm.jpg"]}),
        rf"{NAME}: No modality named 'dermo'",
    ),
    "missing image": (
        with_json(images={"derm": ["b.jpg"]}),
        "IL_0000001.json names the image IL_0000001.b.jpg, which is not there",
    ),
    "weak scores": (
        with_json(weak={"MONET_hair": [1, 2, 3]}),
        f"{NAME}: 3 weak scores of 'MONET_hair', which has 2 classes",
    ),
    "the same id": (
        with_json(id="IL_0063348"),
        "is also in .*milk10k-000000.tar, IL_.*Each study needs its own id",
    ),
    "labels of a list": (
        with_json(labels=["MEL"]),
        "the member IL_0000001.json cannot be understood: labels is not a table",
    ),
    "no JSON": (
        replaced("0000001.json", None),
        r"milk10k-000000.tar has no IL_0000001.json beside IL_0000001.\w+.jpg. Add one; {} is enough",
    ),
    "not JSON": (
        replaced("0000001.json", b"{"),
        "the member IL_0000001.json cannot be understood: it is not JSON",
    ),
    "not UTF-8": (
        replaced("0000001.json", b"\xff\xfe\x00"),
        "IL_0000001.json cannot be understood: it is not UTF-8 text",
    ),
    "other facts": (
        replaced("data.json", json.dumps({"format": 1, **FACTS}).encode()),
        "were packed from different data: their modalities differ. Give each its own --data",
    ),
    "newer facts": (
        replaced("data.json", json.dumps({"format": 2, **FACTS}).encode()),
        "was packed by a newer sm3kit",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_shard_is_one_line(copied, mistake):
    change, text = MISTAKES[mistake]
    if mistake == "the same id":
        change = with_json(id=Shards(str(copied)).studies()[5].id)
        text = "is also in .*Each study needs its own id"
    argument = edited(copied, change)
    with pytest.raises(DataError, match=text) as refusal:
        Shards(argument)
    assert "\n" not in str(refusal.value)


def test_damaged_and_missing_shards(copied):
    first = copied / "milk10k-000000.tar"
    known = json.loads(Path(f"{first}.json").read_text("utf-8"))
    whole = first.read_bytes()
    first.write_bytes(whole[:5000])
    with pytest.raises(
        DataError,
        match=r"milk10k-000000.tar has 5,000 bytes, but [\d,]+ by its index milk10k-000000.tar.json: one of them is truncated",
    ):
        Shards(str(copied))
    Path(f"{first}.json").rename(copied / "aside")
    with pytest.raises(
        DataError, match="000000.tar is truncated, damaged, or not an uncompressed tar file"
    ):
        Shards(str(copied))
    first.write_bytes(whole)
    for text in (
        "{",
        "[]",
        '{"format": 9, "bytes": 1}',
        json.dumps({**known, "studies": [3]}),
    ):
        Path(f"{first}.json").write_text(text)
        with pytest.raises(
            DataError,
            match="is damaged, or is not an index of a shard: .*Delete it: the shard is then listed anew",
        ):
            Shards(str(copied))
    first.unlink()
    with pytest.raises(
        DataError,
        match="1 of 3 shards of .* are missing, first .*milk10k-000000.tar. Copy them here",
    ):
        Shards(str(copied / "milk10k-{000000..000002}.tar"))
    with pytest.raises(
        DataError,
        match="There is no tar file .*MILK10K-000001.tar .'MILK10K-000001.tar' and 'milk10k-000001.tar' differ only in case",
    ):
        Shards(str(copied / "MILK10K-000001.tar"))
    with pytest.raises(DataError, match=r"There is no tar file .*b-\*.tar. shards:PATTERN takes"):
        Shards(str(copied / "b-*.tar"))
    with pytest.raises(DataError, match="aside is not named .tar. Images are read at their place"):
        Shards(str(copied / "aside"))
    with pytest.raises(SM3Error, match="Did you mean 'shards:x.tar'"):
        open_dataset("x.tar")


def test_shards_without_studies(tmp_path):
    (shard,) = write_shards(tmp_path, "s", FACTS, [Packing({"id": "7"})])
    with tarfile.open(shard, "w"):
        pass
    Path(f"{shard}.json").unlink()
    with pytest.raises(
        DataError, match="There is no study in these shards: no member is named KEY.json"
    ):
        Shards(str(shard))
    with tarfile.open(shard, "w") as tar:
        for name, text in {"7.json": b"{}", "7.jpg": b"x"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    with pytest.raises(
        DataError,
        match="there is no image of a modality beside it. Name the members KEY.MODALITY.SUFFIX",
    ):
        Shards(str(shard))


def test_a_damaged_index_in_the_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))
    argument = wds_shards(tmp_path, [sample(number) for number in range(4)])
    studies = Shards(argument).studies()
    for file in (tmp_path / "cache" / "shards").iterdir():
        file.write_text("{")
    assert Shards(argument).studies() == studies


def test_an_index_that_is_used_is_not_old(tmp_path, monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))
    argument = wds_shards(tmp_path, [sample(number) for number in range(4)])
    Shards(argument)
    indices = list((tmp_path / "cache" / "shards").iterdir())
    for index in indices:
        os.utime(index, (1, 1))
    Shards(argument)
    assert indices and all(index.stat().st_mtime > 1 for index in indices)


@pytest.mark.parametrize("kept", [False, True], ids=["nothing kept", "kept by somebody else"])
def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, kept):
    """Shards are listed and hashed as ever; what somebody has kept is read."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))
    argument = wds_shards(tmp_path, [sample(number) for number in range(4)])
    (tmp_path / "a.txt").write_text("a")
    os.utime(tmp_path / "a.txt", (1, 1))
    monkeypatch.setattr("sm3kit.data.file_hashes.SETTLED", -60)
    facts = (1, 10**9)
    if kept:
        hashes = FileHashes(tmp_path / "cache" / "images")
        hashes.of(str(tmp_path / "a.txt"), facts)
        hashes.keep()
        Shards(argument)
    for name in ("os.utime", "pathlib.Path.mkdir", "pathlib.Path.touch"):
        monkeypatch.setattr(name, refuse)
    assert len(Shards(argument).studies()) == 4
    hashes = FileHashes(tmp_path / "cache" / "images")
    assert (hashes.kept(str(tmp_path / "a.txt"), facts) is not None) == kept
    assert hashes.of(str(tmp_path / "a.txt"), facts) is not None
    hashes.keep()


# A run


def test_a_run_on_shards_gives_the_same_numbers(stage1_run, studies, tmp_path, train):
    from safetensors.torch import load_file

    from sm3kit.runs.folder import RunFolder

    variant = RunFolder(stage1_run).record().variant
    pack(studies("own"), {}, tmp_path / "s", most_studies=15)
    train(replace(variant, data=(f"shards:{tmp_path / 's'}",)))
    own, other = (load_file(RunFolder(folder).model) for folder in (stage1_run, tmp_path / "run"))
    assert own.keys() == other.keys()
    assert all((own[name] == other[name]).all() for name in own)
    read = [
        list(csv.DictReader((folder / "metrics.csv").open()))
        for folder in (stage1_run, tmp_path / "run")
    ]
    for left, right in zip(*read, strict=True):
        assert {n: v for n, v in left.items() if "second" not in n} == {
            n: v for n, v in right.items() if "second" not in n
        }


def test_the_command_packs(lesions, tmp_path):
    from click.testing import CliRunner

    from sm3kit.cli.main import cli

    out = tmp_path / "s[1]"
    result = CliRunner().invoke(
        cli,
        [
            "data",
            "pack",
            lesions,
            "--out",
            str(out),
            "--modality",
            "derm",
            "--studies-per-shard",
            "6",
            "-o",
            "milk10k.labels=DIAG",
        ],
    )
    assert result.exit_code == 0
    size = sum(file.stat().st_size for file in out.glob("*.tar")) / 1024
    assert (
        result.stdout
        == f"Packed 10 studies into 2 shards ({size:.0f} KiB) in {out}. Use them with: --data 'shards:{out}'\n"
    )
    dataset = Shards(str(out))
    assert (list(dataset.modalities), [label.name for label in dataset.labels]) == (
        ["derm"],
        ["DIAG"],
    )
    result = CliRunner().invoke(
        cli, ["data", "pack", lesions, "--out", str(out), "--shard-size", "0"]
    )
    assert result.exit_code == 2
