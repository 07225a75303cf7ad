"""A file is whole or not there."""

import errno
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import cache_root, file_and_part, regular_file, whole_file, whole_folder


def write(path, text):
    with whole_file(path) as temporary:
        temporary.write_text(text)


def test_the_file_is_there_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    with whole_file(path) as temporary:
        assert temporary.parent == path.parent  # One disk, so that the move is atomic.
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    write(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_in_the_block_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    write(path, "old")
    with pytest.raises(type(error)) as caught, whole_file(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert caught.value is error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_leaves_no_new_file(tmp_path):
    with pytest.raises(ValueError), whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("ne")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "No space left on device"), (errno.EACCES, "Permission denied")],
)
def test_a_full_or_closed_disk_is_one_line(tmp_path, number, reason):
    path = tmp_path / "a.txt"
    write(path, "old")
    with pytest.raises(SM3Error) as caught, whole_file(path):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == (
        f"Cannot write {path}: {reason}. Free some disk space, or choose another folder."
    )
    assert caught.value.__cause__.errno == number
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_remedy_of_the_caller(tmp_path):
    with pytest.raises(SM3Error) as caught, whole_file(tmp_path / "a", "Empty the bin."):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'a'}: No space left on device. Empty the bin."
    )


def test_a_folder_that_is_a_file(tmp_path):
    write(tmp_path / "a", "x")
    with pytest.raises(SM3Error) as caught:
        write(tmp_path / "a" / "b.txt", "x")
    assert str(caught.value).startswith(f"Cannot write {tmp_path / 'a' / 'b.txt'}: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SM3Error, match=r"Cannot write .*/a: Permission denied\. Free some space"):
        write(tmp_path / "a", "x")


def test_a_disk_that_fills_while_writing(tmp_path):
    """A limit on the size of files is the real thing, without filling a disk."""
    path = tmp_path / "a.txt"
    write(path, "old")
    code = (
        "import sys, pathlib; from sm3kit.core.files import whole_file\n"
        "from sm3kit.core.errors import SM3Error\n"
        "try:\n"
        "    with whole_file(pathlib.Path(sys.argv[1])) as t: t.write_bytes(b'x' * 9000)\n"
        "except SM3Error as e: print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        f"Cannot write {path}: File too large. Free some disk space, or choose another folder.\n"
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "old")
    code = (
        "import os, sys, pathlib; from sm3kit.core.files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as t:\n"
        "    t.write_text('ne'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


def test_concurrent_writers_never_mix(tmp_path):
    path = tmp_path / "a.txt"
    texts = [letter * 50_000 for letter in "abcd"]
    write(path, texts[0])

    def work(number):
        for _ in range(15):
            write(path, texts[number])
            assert path.read_text() in texts

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
@pytest.mark.parametrize("private", [False, True])
def test_the_mode_is_that_of_an_ordinary_file(tmp_path, umask, private):
    """Also where a library has put a private file in the place of the temporary one."""
    before = os.umask(umask)
    try:
        (tmp_path / "plain").write_text("")
        with whole_file(tmp_path / "a") as temporary:
            if private:
                temporary.unlink()
                os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o400))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    monkeypatch.setenv("HOME", "/three")
    assert cache_root() == Path("/one")
    monkeypatch.setenv("SM3KIT_CACHE", "")
    assert cache_root() == Path("/two/sm3kit")
    monkeypatch.delenv("SM3KIT_CACHE")
    assert cache_root() == Path("/two/sm3kit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path("/three/.cache/sm3kit")


# Files of users


def refusal(path, **words):
    with pytest.raises(SM3Error) as told:
        regular_file(path, **words)
    return told.value.args[0]


def test_a_regular_file_and_a_link_to_one(tmp_path):
    write(tmp_path / "a.csv", "x")
    (tmp_path / "link").symlink_to("a.csv")
    for name in ("a.csv", "link"):
        assert regular_file(str(tmp_path / name)) == tmp_path / name


def test_what_is_not_there(tmp_path):
    assert refusal(tmp_path / "a.csv", noun="table") == (
        f"There is no table {tmp_path}/a.csv. Check the path."
    )
    (tmp_path / "link").symlink_to("gone")
    assert refusal(tmp_path / "link") == (
        f"There is no file {tmp_path}/link (a link to gone). Check the path."
    )
    write(tmp_path / "b", "x")
    assert refusal(tmp_path / "b" / "c") == f"There is no file {tmp_path}/b/c. Check the path."


def test_what_would_be_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        assert refusal(tmp_path / name, noun="image", remedy="Look.", error=DataError) == (
            f"{tmp_path}/{name} is a named pipe, not an image. Look."
        )
    assert refusal("/dev/null") == "/dev/null is a device, not a file. Check the path."
    assert refusal(tmp_path) == f"{tmp_path} is a folder, not a file. Check the path."


def test_names_that_no_file_has(tmp_path):
    assert refusal("a\0b") == "No file can be named 'a\\x00b'. Check the path."
    long = tmp_path / ("a" * 256)
    assert refusal(long) == f"Cannot open the file {long}: File name too long. Check the path."
    (tmp_path / "round").symlink_to("round")
    assert "Cannot open the file" in refusal(tmp_path / "round")


def test_a_closed_file(tmp_path, monkeypatch):
    write(tmp_path / "a", "x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # Tests may run as root.
    assert refusal(tmp_path / "a") == (
        f"Cannot open the file {tmp_path}/a: Permission denied. Check the path."
    )


@pytest.mark.parametrize("path", [".", "", "/", "folder"])
def test_a_folder_is_no_place_for_a_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    refused = pytest.raises(SM3Error, match=r"it is a folder\. Give the name of a file\.")
    with refused, whole_file(Path(path)):
        pass
    assert [one.name for one in tmp_path.rglob("*")] == ["folder"]


def keep_all(old, new):
    for file in old.iterdir():
        file.rename(new / file.name)


@pytest.mark.parametrize("carry_over", [None, keep_all])
def test_a_folder_is_whole_and_takes_the_place_of_an_empty_one(carry_over, tmp_path):
    for out in (tmp_path / "new" / "folder", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with whole_folder(out, carry_over) as folder:
            write(folder / "a", "x")
            assert not (out / "a").exists()
        assert [file.name for file in out.iterdir()] == ["a"]
        assert [file.name for file in out.parent.glob(".*")] == []


def test_a_folder_in_use_is_replaced_only_with_what_carries_over(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "mine", "keep")
    refused = pytest.raises(DataError, match="out already exists")
    with refused, whole_folder(tmp_path / "out"):
        pass
    with whole_folder(tmp_path / "out", keep_all) as folder:
        write(folder / "a", "x")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a", "mine"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path):
    write(tmp_path / "out", "keep")
    with (
        pytest.raises(DataError, match="out already exists"),
        whole_folder(tmp_path / "out", keep_all),
    ):
        pass
    assert (tmp_path / "out").read_text() == "keep"


@pytest.mark.parametrize("carry_over", [None, keep_all])
def test_the_target_of_a_link_is_replaced(carry_over, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far")
    with whole_folder(tmp_path / "link", carry_over) as folder:
        write(folder / "a", "x")
    assert (tmp_path / "link").is_symlink()
    assert [file.name for file in (tmp_path / "far").iterdir()] == ["a"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["far", "link"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "mine", "keep")
    rename = Path.rename

    def full(self, target):
        if self.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(SM3Error) as told, whole_folder(tmp_path / "out", keep_all):
        pass
    assert str(told.value) == (
        f"Cannot write {tmp_path}/out: No space left on device. "
        "Free some disk space, or choose another folder."
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.png", ("a.png", "")),
        ("ct.nii.gz#slice=12", ("ct.nii.gz", "slice=12")),
        ("table.csv#id=a#b", ("table.csv", "id=a#b")),
        ("folder/#", ("folder/", "")),
    ],
)
def test_the_part_stands_behind_the_mark(path, found):
    assert file_and_part(path) == found


def test_a_file_that_is_there_is_taken_whole(tmp_path):
    path = tmp_path / "lesion#2.png"
    path.touch()
    assert file_and_part(str(path)) == (str(path), "")
    assert file_and_part(f"{path}#id=a#b") == (str(path), "id=a#b")
