"""Members of tar files as files: read at their place, refused in one line where they are damaged."""

import io
import ntpath
import tarfile
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError
from sm3kit.core.files import file_and_part
from sm3kit.core.members import (
    Member,
    as_file,
    member_path,
    open_bytes,
    read_member,
    scan,
    shown,
    size_and_time,
    taken_apart,
)

CONTENT = {
    "7.derm.bin": b"dermoscopic",
    "a/b.json": b"{}",
    "8.x": bytes(range(256)) * 5,
    "9.x": b"",
}


def pack(file, content=CONTENT, **more):
    with tarfile.open(file, "w", **more) as tar:
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return file


@pytest.fixture
def archive(tmp_path):
    return pack(tmp_path / "s.tar")


def paths(archive):
    return [member_path(archive, member) for member, _ in scan(archive, lambda name: False)]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_was_packed_is_read(tmp_path, form):
    content = {**CONTENT, f"{'long/' * 30}n.x": b"of a long name"}
    archive = pack(tmp_path / "s.tar", content, format=form)
    listed = paths(archive)
    assert [read_member(path) for path in listed] == list(content.values())
    assert [open_bytes(path).read() for path in listed] == list(content.values())
    assert [taken_apart(path)[1].name for path in listed] == list(content)


def test_only_what_is_wanted_is_read(archive):
    assert [text for _, text in scan(archive, lambda name: name.endswith(".json"))] == [
        b"",
        b"{}",
        b"",
        b"",
    ]


def test_a_member_is_a_file_and_may_have_a_part(archive):
    path = paths(archive)[0]
    assert file_and_part(path) == (path, "")
    assert file_and_part(f"{path}#slice=3&a#b") == (path, "slice=3&a#b")
    assert size_and_time(path) == (11, archive.stat().st_mtime_ns)
    assert shown(path) == f"{archive}#7.derm.bin"
    assert size_and_time(str(archive)) is taken_apart("a.tar#7.jpg") is None


def test_a_copy_has_the_name_of_the_member_and_goes(archive):
    path = paths(archive)[0]
    with as_file(f"{path}#slice=3") as local:
        file, part = file_and_part(local)
        assert (Path(file).name, Path(file).read_bytes(), part) == (
            "7.derm.bin",
            b"dermoscopic",
            "slice=3",
        )
    assert not Path(file).parent.exists()
    with as_file(path, copied=False) as local:
        assert local == path
    with as_file(str(archive)) as local:
        assert local == str(archive)


@pytest.mark.parametrize("copied", [True, False])
def test_messages_name_the_member(archive, copied):
    path = paths(archive)[0]
    with pytest.raises(DataError) as refusal, as_file(path, copied=copied) as local:
        raise DataError(f"Cannot read {local}: it is blue.")
    assert str(refusal.value) == f"Cannot read {archive}#7.derm.bin: it is blue."


def test_no_copy_on_a_full_disk(archive, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    path = paths(archive)[0]
    monkeypatch.setattr(Path, "write_bytes", full)
    with (
        pytest.raises(
            DataError,
            match="Cannot copy 7.derm.bin of .*s.tar to a temporary file: No space left on device. Set TMPDIR",
        ),
        as_file(path),
    ):
        pass


def test_a_changed_archive_is_noticed(archive):
    listed = paths(archive)
    pack(archive, {"other": b"x" * 3000, **CONTENT})
    for path in listed[:3]:
        with pytest.raises(
            DataError, match="s.tar has changed since its members were listed, or is damaged"
        ):
            read_member(path)
    archive.unlink()
    with pytest.raises(DataError, match="There is no tar file .*s.tar. Copy it here"):
        read_member(listed[0])


def test_another_member_at_the_place_is_noticed(tmp_path):
    """Of the same size; in a header of any format, and where only the name is another."""
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        archive = pack(
            tmp_path / "s.tar", {"7.derm.jpg": b"one", "8.derm.jpg": b"two"}, format=form
        )
        listed = paths(archive)
        pack(archive, {"8.derm.jpg": b"two", "7.derm.jpg": b"one"}, format=form)
        for path in listed:
            with pytest.raises(DataError, match="has changed since its members .*same copy"):
                read_member(path)


def test_a_place_before_the_first_header_is_refused(archive):
    with pytest.raises(DataError, match="Cannot read .*s.tar|has changed since"):
        read_member(f"{archive}#7.derm.bin@3+11")


@pytest.mark.parametrize(
    "name", ["..\\..\\a.bin", "C:\\a.bin", "c:a.bin", "x/..\\a.bin", "a.bin:s"]
)
def test_a_copy_stays_in_its_folder_on_every_system(tmp_path, name):
    archive = pack(tmp_path / "s.tar", {name: b"text"})
    path = member_path(archive, Member(name, 512, 4))  # As an index from elsewhere may have it.
    with as_file(path) as local:
        assert Path(local).read_bytes() == b"text"
        copied = Path(local).name
        assert ntpath.split(ntpath.join("D:\\temp", copied)) == ("D:\\temp", copied)
        assert ":" not in copied


def test_a_truncated_member_is_noticed(archive):
    path = paths(archive)[2]
    archive.write_bytes(archive.read_bytes()[: taken_apart(path)[1].start + 100])
    with pytest.raises(
        DataError, match="has changed since its members were listed, or is damaged: 8.x"
    ):
        read_member(path)


def cut(at):
    return lambda content: content[:at]


def overwritten(at):
    return lambda content: content[:at] + b"\xff" * 512 + content[at + 512 :]


# Members begin at 0, 1024, 2048 and 4096, the end mark at 4608.
DAMAGES = {
    "within a member": cut(2048 + 512 + 700),
    "within a header": cut(1024 + 100),
    "between two members": cut(2048),
    "before the end mark": cut(4608),
    "empty": cut(0),
    "a header overwritten": overwritten(1024),
    "the first header overwritten": overwritten(0),
    "no tar file": lambda content: b"\xff\xd8\xff" * 4000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_one_line(archive, damage):
    archive.write_bytes(DAMAGES[damage](archive.read_bytes()))
    with pytest.raises(
        DataError,
        match="s.tar is truncated, damaged, or not an uncompressed tar file: .*Copy it again",
    ):
        list(scan(archive, lambda name: True))


def test_what_is_no_shard_is_refused(tmp_path, archive):
    packed = pack(tmp_path / "zipped.tar")
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(archive, "7.x")
    with pytest.raises(DataError, match="not an uncompressed tar file"):
        list(scan(packed, bool))
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("7.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "8.jpg"
        tar.addfile(link)
    with pytest.raises(DataError, match="7.jpg is a link or a special file"):
        list(scan(archive, bool))
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        large = tarfile.TarInfo("7.jpg")
        large.size = 8 * 2**30
        with archive.open("wb") as file:
            file.write(large.tobuf(form))
            file.truncate(file.tell() + large.size + 1024)  # Without a byte on the disk.
        with pytest.raises(DataError, match="7.jpg has 8 GiB or more, and a member is read as a"):
            list(scan(archive, bool))
    with tarfile.open(archive, "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("7.jpg"))
    with pytest.raises(DataError, match="s.tar has two members named 7.jpg"):
        list(scan(archive, bool))
    with pytest.raises(DataError, match="the name of the member 'a#b.jpg' has a '#'"):
        member_path(archive, Member("a#b.jpg", 512, 3))


def test_folders_and_hidden_files_are_left_out(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("7.x", "._7.x"):
        (tmp_path / "in" / name).write_text("text")
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(tmp_path / "in", "in")
    assert [member.name for member, _ in scan(tmp_path / "s.tar", bool)] == ["in/7.x"]
