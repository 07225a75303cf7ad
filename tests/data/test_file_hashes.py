"""Each file is read for its hash once, also by the next process, and never for another content."""

import os
from hashlib import blake2b
from pathlib import Path

import pytest

from sm3kit.data import file_hashes
from sm3kit.data.file_hashes import FileHashes, digest, state_of


@pytest.fixture
def read(monkeypatch):
    """The names of the files that were read for a hash, in order."""
    names = []
    monkeypatch.setattr(
        file_hashes, "digest", lambda name: names.append(Path(name).name) or digest(name)
    )
    return names


@pytest.fixture
def settled(monkeypatch):
    """Files that were written a moment ago count as settled."""
    monkeypatch.setattr(file_hashes, "SETTLED", 0)


def hash_of(hashes, path):
    (facts,) = state_of([str(path)])
    return hashes.of(str(path), facts)


def written(path, content):
    path.write_bytes(content)
    return path


def test_the_next_process_reads_no_file(tmp_path, read, settled):
    paths = [written(tmp_path / f"{number}.jpg", b"%d" % number) for number in range(9)]
    first = FileHashes(tmp_path / "cache")
    hashes = [hash_of(first, path) for path in paths]
    assert hashes == [blake2b(path.read_bytes(), digest_size=20).hexdigest() for path in paths]
    first.keep()
    assert len(read) == 9
    again = FileHashes(tmp_path / "cache")
    assert [hash_of(again, path) for path in paths] == hashes
    assert len(read) == 9


def test_a_new_content_of_the_same_size_and_time_is_read(tmp_path, read, settled):
    """As from an archive in which all files have one time: the disk knows better."""
    path = written(tmp_path / "a.npy", b"old")
    os.utime(path, (1000, 1000))
    hashes = FileHashes(tmp_path / "cache")
    old = hash_of(hashes, path)
    hashes.keep()
    written(path, b"new")
    os.utime(path, (1000, 1000))
    assert hash_of(FileHashes(tmp_path / "cache"), path) == digest(str(path)) != old
    assert read == ["a.npy", "a.npy"]


def test_what_has_just_changed_is_not_kept(tmp_path, read):
    path = written(tmp_path / "a.jpg", b"a")
    for _ in range(2):
        hashes = FileHashes(tmp_path / "cache")
        hash_of(hashes, path)
        hashes.keep()
    assert read == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": [1, 2]}', b"\xff"])
def test_a_damaged_table_costs_a_second_reading(tmp_path, read, settled, content):
    path = written(tmp_path / "a.jpg", b"a")
    hashes = FileHashes(tmp_path / "cache")
    wanted = hash_of(hashes, path)
    hashes.keep()
    (table,) = (tmp_path / "cache").rglob("hashes.json")
    table.write_bytes(content)
    hashes = FileHashes(tmp_path / "cache")
    assert hash_of(hashes, path) == wanted
    hashes.keep()
    assert hash_of(FileHashes(tmp_path / "cache"), path) == wanted
    assert read == ["a.jpg", "a.jpg"]


def test_two_processes_keep_what_each_has_read(tmp_path, read, settled, monkeypatch):
    monkeypatch.setattr(file_hashes, "_table", lambda name: "00")
    paths = [written(tmp_path / f"{number}.jpg", b"%d" % number) for number in range(2)]
    both = [FileHashes(tmp_path / "cache") for _ in paths]
    for hashes, path in zip(both, paths, strict=True):
        hash_of(hashes, path)
    for hashes in both:
        hashes.keep()
    again = FileHashes(tmp_path / "cache")
    assert [hash_of(again, path) for path in paths] == [digest(str(path)) for path in paths]
    assert len(read) == 2


def test_a_table_names_so_many_files_the_newest(tmp_path, read, settled, monkeypatch):
    monkeypatch.setattr(file_hashes, "_table", lambda name: "00")
    monkeypatch.setattr(file_hashes, "MOST", 3)
    hashes = FileHashes(tmp_path / "cache")
    for number in range(4):
        hash_of(hashes, written(tmp_path / f"{number}.jpg", b"a"))
        hashes.keep()
    del read[:]
    again = FileHashes(tmp_path / "cache")
    for number in range(4):
        hash_of(again, tmp_path / f"{number}.jpg")
    assert read == ["0.jpg"]


def test_a_full_disk_costs_the_hashes_alone(tmp_path, settled, monkeypatch):
    (tmp_path / "cache").write_text("a file, where a folder should be")
    hashes = FileHashes(tmp_path / "cache")
    path = written(tmp_path / "a.jpg", b"a")
    hash_of(hashes, path)
    hashes.keep()
    assert hash_of(hashes, path) == digest(str(path))


def test_a_folder_and_what_cannot_be_read(tmp_path, settled):
    """A folder of slices is looked through each time; what is gone has no hash."""
    written(tmp_path / "a.dcm", b"a")
    hashes = FileHashes(tmp_path / "cache")
    before = hash_of(hashes, tmp_path)
    hashes.keep()
    assert not (tmp_path / "cache").exists()
    written(tmp_path / "b.dcm", b"b")
    assert hash_of(hashes, tmp_path) not in (None, before)
    assert hashes.of(str(tmp_path / "gone.jpg"), (1, 1)) is None
    assert state_of([str(tmp_path / "gone.jpg")]) is None
