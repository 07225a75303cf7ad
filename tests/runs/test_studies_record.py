"""A run keeps which studies it was trained with, and what their images were."""

import dataclasses
import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import altered

from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.data.image_cache import ImageCache
from sm3kit.modalities.base import Modality
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.studies_record import fingerprint, same_image, write_studies
from sm3kit.synthesis.layouts import write

SPLITS = {"train", "val", "test"}


@pytest.fixture
def drawn(tmp_path):
    """A folder of 20 pairs that a test may change."""
    write("manifest", tmp_path / "data", 20, 32, 0)
    return tmp_path / "data"


@pytest.fixture
def variant(tiny, drawn):
    """One epoch of stage 1 on them."""
    data = (f"manifest:{drawn / 'manifest.csv'}",)
    return altered(tiny, data=data, stage1={"epochs": 1, "monitor_every": 0})


def test_a_run_keeps_all_studies_and_a_fingerprint_of_each_image(variant, train, drawn):
    outcome, _ = train(variant)
    (source,) = outcome.run.studies()
    assert (source.run, source.data, source.splits) == ("", variant.data[0], ["train"])
    assert len(source.studies) == 20
    assert {one["split"] for one in source.studies.values()} == SPLITS
    assert len(source.trained) == sum(one["split"] == "train" for one in source.studies.values())
    entry = source.studies["lesion-00000"]
    assert entry["group"] == "lesion-00000"
    (text,) = entry["images"]["derm"]
    size, time, digest = text.split(" ")
    state = (drawn / "images" / "lesion-00000_derm.jpg").stat()
    assert (int(size), int(time), len(digest)) == (state.st_size, state.st_mtime_ns, 16)


def test_equal_records_are_equal_bytes(variant, train):
    runs = [train(variant, folder=name)[0].run for name in ("one", "two")]
    one, two = (run.studies_file.read_bytes() for run in runs)
    assert one == two
    write_studies(runs[0].studies_file, runs[1].studies())
    assert runs[0].studies_file.read_bytes() == two


def test_going_on_with_other_images_is_refused_before_anything_is_written(variant, train, drawn):
    run = train(variant)[0].run
    for picture in (drawn / "images").iterdir():
        os.utime(picture, (1, 1))
    longer = altered(variant, stage1={"epochs": 2})
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    shutil.copy(drawn / "images/lesion-00001_derm.jpg", drawn / "images/lesion-00000_derm.jpg")
    with pytest.raises(CheckpointError) as caught:
        train(longer, resume=True)
    count = len(run.studies()[0].trained)
    assert str(caught.value) == (
        f"Images of {run.folder} have been replaced since its training began, those of 1 of "
        f"{count} studies: lesion-00000. Restore them, or start a new run with another --out."
    )
    after = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    assert after == before
    write("manifest", drawn.parent / "again", 20, 32, 0)
    shutil.copy(
        drawn.parent / "again/images/lesion-00000_derm.jpg",
        drawn / "images/lesion-00000_derm.jpg",
    )
    assert train(longer, resume=True)[0].run.finished


def test_an_older_run_goes_on_and_keeps_them_from_then(variant, train):
    run = train(variant)[0].run
    kept = run.studies_file.read_bytes()
    run.studies_file.unlink()
    assert run.studies() == []
    train(altered(variant, stage1={"epochs": 2}), resume=True)
    assert run.studies_file.read_bytes() == kept


def test_a_stage_of_its_own_on_the_same_data_says_it_once(second, studies, train):
    assert len(train(second)[0].run.studies()) == 1
    other = dataclasses.replace(second, data=("synthetic:60",))
    earlier, own = sorted(train(other, "other")[0].run.studies(), key=lambda one: not one.run)
    assert (earlier.run, earlier.data) == (second.init, studies("own"))
    assert earlier.studies == earlier.trained
    assert (own.run, own.data) == ("", "synthetic:60")


def test_what_a_killed_run_left_half_written_goes(variant, train):
    run = train(variant)[0].run
    left = run.folder / f".{run.studies_file.name}.0123456789ab.part"
    left.touch()
    train(variant, resume=True)
    assert not left.exists()


GOOD = {"run": "", "data": "d", "splits": ["train"], "readings": {}, "studies": {}}
ENTRY = {"group": "g", "split": "train", "images": {"derm": ["1 2 0123456789abcdef"]}}


def packed(facts):
    return gzip.compress(json.dumps(facts).encode())


def of(**changes):
    return packed({"format": 1, "sources": [{**GOOD, **changes}]})


def with_image(text):
    return of(studies={"a": {**ENTRY, "images": {"derm": [text]}}})


DAMAGED = {
    "empty": b"",
    "text": b"studies",
    "cut": of(studies={"a": ENTRY})[:-6],
    "no JSON": gzip.compress(b"{"),
    "no UTF-8": gzip.compress(b"\xff\xfe"),
    "deep": gzip.compress(b"[" * 100_000),
    "a list": packed([]),
    "another format": packed({"format": 2, "sources": []}),
    "no sources": packed({"format": 1}),
    "no split": of(studies={"a": {"group": "g", "images": {}}}),
    "a number as an id": of(studies=[1]),
    "a null as a group": of(studies={"a": {**ENTRY, "group": None}}),
    "no hash": with_image("1 2"),
    "a hash that is none": with_image("1 2 zz"),
    "no number": with_image("one 2 0123456789abcdef"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_one_line(tmp_path, content):
    run = RunFolder(tmp_path)
    run.studies_file.write_bytes(content)
    with pytest.raises(
        CheckpointError, match="is damaged, or is not a record of studies: "
    ) as caught:
        run.studies()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(" Restore it, or delete it to do without.")


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(RunFolder(tmp_path).studies_file)
    with pytest.raises(CheckpointError, match="is a named pipe, not a record of studies"):
        RunFolder(tmp_path).studies()


class Rows(Modality):
    """Reads a line of a text, or a file of it, or the files of a folder."""

    channels, image_size, reading = 1, 1, "rows"

    def read(self, path):
        file, _, line = path.partition("#")
        try:
            lines = Path(file).read_text("utf-8").splitlines()
            return np.full((1, 1, 1), float(lines[int(line)]), np.float32)
        except (OSError, ValueError, IndexError) as error:
            raise DataError(str(error)) from error


class TestFingerprints:
    """Each image is known again where it is the same, and only there."""

    reader = Rows()

    def taken(self, path, parts=True):
        return fingerprint(str(path), self.reader, ImageCache(None), parts=parts)

    def same(self, path, before, alike=True):
        return same_image(str(path), self.reader, ImageCache(None), before, alike=alike)

    def test_a_file_that_was_copied_is_the_same(self, tmp_path):
        (tmp_path / "a").write_text("1\n")
        before = self.taken(tmp_path / "a")
        (tmp_path / "b").write_text("1\n")
        os.utime(tmp_path / "b", (1, 1))
        assert self.same(tmp_path / "b", before) is True
        (tmp_path / "b").write_text("2\n")
        assert self.same(tmp_path / "b", before) is False
        (tmp_path / "b").write_text("10\n")
        assert self.same(tmp_path / "b", before) is False

    def test_a_folder_is_known_by_the_start_of_its_files(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "1").write_bytes(b"head" + bytes(10_000))
        before = self.taken(tmp_path / "a")
        os.utime(tmp_path / "b" / "1", (1, 1))
        assert self.same(tmp_path / "b", before) is True
        (tmp_path / "b" / "1").write_bytes(b"HEAD" + bytes(10_000))
        assert self.same(tmp_path / "b", before) is False
        (tmp_path / "b" / "1").rename(tmp_path / "b" / "2")
        assert self.same(tmp_path / "b", before) is False

    def test_of_a_part_only_the_part_counts(self, tmp_path):
        file = tmp_path / "a"
        file.write_text("1\n2\n3\n")
        before = self.taken(f"{file}#1")
        file.write_text("100\n2\n300\n")
        assert self.same(f"{file}#1", before) is True
        file.write_text("100\n4\n300\n")
        assert self.same(f"{file}#1", before) is False
        assert self.same(f"{file}#1", before, alike=False) is None
        assert self.taken(f"{file}#1", parts=False) == "0 0 "

    def test_nothing_is_said_of_what_cannot_be_read(self, tmp_path):
        assert self.taken(tmp_path / "a") == "0 0 "
        (tmp_path / "a").write_text("1\n")
        assert self.same(tmp_path / "a", "0 0 ") is None
        before = self.taken(tmp_path / "a")
        (tmp_path / "a").unlink()
        assert self.same(tmp_path / "a", before) is None
