"""The data check, on a small data set with every fault."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sm3kit.core.errors import DataError
from sm3kit.data.check import Sizes, check
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study


class Listed(Dataset):
    """Studies as they are given."""

    def __init__(self, studies: Sequence[Study]) -> None:
        self.modalities = {"derm": ModalitySpec(), "clinic": ModalitySpec()}
        self.labels = [LabelSpec("DIAG", ("NEV", "MEL"), "MEL")]
        self.notes = ["Made by hand."]
        self._studies = list(studies)

    def studies(self, split: str | None = None) -> list[Study]:
        return [study for study in self._studies if split in (None, study.split)]


def read(modality: str, path: str) -> np.ndarray:
    if path.endswith("odd.jpg"):
        raise RuntimeError("a plugin's own mistake")
    try:
        return np.moveaxis(np.asarray(Image.open(path)), -1, 0)
    except OSError:
        raise DataError(f"{path} is damaged.") from None


def study(folder: Path, name: str, split: str, **changes: object) -> Study:
    """A study with two pictures of its own."""
    images = {}
    for modality, width in (("derm", 40), ("clinic", 60)):
        path = folder / f"{name}_{modality}.png"
        pixels = np.random.default_rng(list(path.name.encode())).integers(0, 255, (30, width, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        images[modality] = str(path)
    parts: dict[str, object] = {"images": images, "labels": {"DIAG": 1}, "group": name}
    return Study(id=name, split=split, **{**parts, **changes})  # type: ignore[arg-type]


@pytest.fixture
def sound(tmp_path: Path) -> list[Study]:
    return [
        study(tmp_path, "a", "train"),
        study(tmp_path, "b", "train", labels={"DIAG": 0}),
        study(tmp_path, "c", "val"),
        study(tmp_path, "d", "test", labels={"DIAG": -1}),
        study(tmp_path, "e", "test"),
    ]


def test_a_sound_data_set(sound: list[Study]) -> None:
    report = check(Listed(sound), read)
    assert report.ok
    assert (report.problems, report.warnings) == ((), ())
    assert report.notes == ("Made by hand.",)
    assert report.studies == {"train": 2, "val": 1, "test": 2}
    assert report.complete == report.studies
    assert report.modalities == {"derm": report.studies, "clinic": report.studies}
    (label,) = report.labels
    assert label.known == {"train": (1, 1), "val": (0, 1), "test": (0, 1)}
    assert label.unknown == {"train": 0, "val": 0, "test": 1}
    assert report.sizes["derm"] == Sizes(5, (30, 40), (30, 40), (30, 40))


def test_sizes(tmp_path: Path, sound: list[Study]) -> None:
    Image.new("RGB", (90, 20)).save(tmp_path / "a_derm.png")
    assert check(Listed(sound), read).sizes["derm"] == Sizes(5, (20, 40), (30, 40), (30, 90))


def test_nothing_is_read_without_a_reader(tmp_path: Path, sound: list[Study]) -> None:
    (tmp_path / "a_derm.png").write_text("no picture")
    report = check(Listed(sound))
    assert report.ok
    assert report.sizes == {}


def test_missing_files_and_modalities(tmp_path: Path, sound: list[Study]) -> None:
    (tmp_path / "d_clinic.png").unlink()
    lone = study(tmp_path, "f", "train", images={"derm": str(tmp_path / "f_derm.png")})
    report = check(Listed([*sound, lone]), read)
    assert report.complete["train"] == 2
    assert report.modalities["clinic"]["train"] == 2
    (fault,) = report.missing
    assert (fault.use.study, fault.use.modality) == ("d", "clinic")
    assert report.problems == (
        f"1 image missing, first {tmp_path}/d_clinic.png (study d, clinic): "
        "No such file or directory",
    )
    assert not report.ok
    assert report.sizes["clinic"].images == 4


def test_unreadable_images(tmp_path: Path, sound: list[Study]) -> None:
    (tmp_path / "a_derm.png").write_text("no picture")
    (tmp_path / "b_derm.png").write_bytes(b"")
    odd = tmp_path / "odd.jpg"
    odd.write_text("x")
    report = check(Listed([*sound, study(tmp_path, "f", "val", images={"derm": str(odd)})]), read)
    assert [fault.reason for fault in report.unreadable] == [
        "The file is empty.",
        f"{tmp_path}/a_derm.png is damaged.",
        "RuntimeError: a plugin's own mistake",
    ]
    assert report.problems == (
        f"3 images unreadable, first {tmp_path}/b_derm.png (study b, derm): The file is empty.",
    )


def test_pipes_and_names_that_no_file_has_are_told_without_a_reader(
    tmp_path: Path, sound: list[Study]
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    images = {"derm": str(tmp_path / "pipe.png"), "clinic": f"{tmp_path}/{'a' * 256}.png"}
    nul = study(tmp_path, "g", "val", images={"derm": f"{tmp_path}/a\0b.png"})
    report = check(Listed([*sound, study(tmp_path, "f", "val", images=images), nul]))
    assert [fault.reason for fault in report.unreadable] == [
        f"{tmp_path}/pipe.png is a named pipe, not an image. Check the table that names it."
    ]
    assert [fault.reason for fault in report.missing] == [
        "File name too long",
        "No file has such a name",
    ]


def test_leaking_groups(tmp_path: Path, sound: list[Study]) -> None:
    more = [study(tmp_path, "f", "test", group="a"), study(tmp_path, "g", "train", group="b")]
    report = check(Listed([*sound, *more]))
    assert report.leaking == {"a": ("train", "test")}
    assert report.problems == (
        "1 group in several splits, first 'a' in train and test: "
        "results would be optimistically biased.",
    )


def test_files_shared_across_splits_are_problems_within_one_warnings(
    tmp_path: Path, sound: list[Study]
) -> None:
    first = sound[0].images["derm"]
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(first).read_bytes())
    more = [
        study(tmp_path, "f", "val", images={"derm": first, "clinic": first}),
        study(tmp_path, "g", "test", images={"derm": str(copy)}),
        study(tmp_path, "h", "val", images={"derm": str(tmp_path / "." / "c_derm.png")}),
    ]
    report = check(Listed([*sound, *more]), read)
    assert not report.ok
    across, within = report.shared
    assert across.across_splits
    assert not within.across_splits
    assert [(use.study, use.modality) for use in across.uses] == [
        ("a", "derm"),
        ("f", "derm"),
        ("f", "clinic"),
        ("g", "derm"),
    ]
    assert report.problems == (
        f"1 file used in several splits, first {first} (a, derm, train; f, derm, val): "
        "results would be optimistically biased.",
    )
    assert report.warnings == (
        f"1 file used more than once in one split, first {tmp_path}/c_derm.png "
        "(c, derm, val; h, derm, val).",
    )


def test_without_a_reader_no_file_is_opened_and_links_are_found_all_the_same(
    tmp_path: Path, sound: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(sound[0].images["derm"])
    link, name, copy = (tmp_path / f"{word}.png" for word in ("link", "name", "copy"))
    link.hardlink_to(first)
    name.symlink_to(first)
    copy.write_bytes(first.read_bytes())
    empty = tmp_path / "empty.png"
    empty.touch()
    paths = {"f": link, "g": name, "h": copy, "i": empty, "j": tmp_path / "gone.png"}
    more = [study(tmp_path, own, "test", images={"derm": str(p)}) for own, p in paths.items()]
    monkeypatch.setattr(Path, "open", lambda path, *rest, **more: pytest.fail(f"opened {path}"))
    monkeypatch.setattr("builtins.open", lambda path, *rest, **more: pytest.fail(f"opened {path}"))
    report = check(Listed([*sound, *more]))
    (shared,) = report.shared
    assert [use.study for use in shared.uses] == ["a", "f", "g"]
    assert shared.across_splits
    assert [fault.use.study for fault in (*report.missing, *report.unreadable)] == ["j", "i"]
    assert report.sizes == {}


def test_problems_come_most_serious_first(tmp_path: Path, sound: list[Study]) -> None:
    (tmp_path / "a_derm.png").unlink()
    (tmp_path / "b_derm.png").write_text("no picture")
    bare = study(tmp_path, "f", "test", group="a", images={})
    problems = check(Listed([*sound, bare]), read).problems
    assert [problem.split()[1:3] for problem in problems] == [
        ["image", "missing,"],
        ["image", "unreadable,"],
        ["group", "in"],
        ["study", "without"],
    ]
    assert problems[-1] == "1 study without any image, first f."


def test_empty_splits(sound: list[Study]) -> None:
    assert check(Listed([])).problems == ("There is no study.",)
    report = check(Listed([one for one in sound if one.split == "val"]))
    assert report.problems == ("No study is in train: there is nothing to train on.",)
    assert report.warnings == ("No study is in test.",)


def test_a_reported_class_that_does_not_occur(tmp_path: Path, sound: list[Study]) -> None:
    report = check(Listed([*sound[1:4]]))
    assert report.warnings == (
        "Label DIAG: no study of train or test is of the reported class MEL.",
    )
