"""Decoded once, never wrong, never larger than allowed."""

import errno
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from sm3kit.core import threads
from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import file_and_part
from sm3kit.data import file_hashes
from sm3kit.data.cache_folders import GIB
from sm3kit.data.image_cache import Filled, ImageCache
from sm3kit.imaging import arrays
from sm3kit.modalities.photo import Photo


class Counting(Photo):
    """A photo that counts how often it decodes."""

    decoded = 0

    def read(self, path):
        self.decoded += 1
        return super().read(path)


SIDE = 40
PIXELS = SIDE * SIDE * 3


def picture(folder, name, seed=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "PNG")
    return str(path)


def files(root):
    return sorted(Path(root).rglob("*.npy"))


@pytest.fixture
def photo():
    return Counting(64)


@pytest.fixture
def cache(tmp_path):
    return ImageCache(tmp_path / "cache")


def test_an_image_is_decoded_once(tmp_path, cache, photo):
    path = picture(tmp_path, "a.png")
    first, second = cache.get(path, photo), cache.get(path, photo)
    third = ImageCache(cache.root).get(path, photo)  # another process
    assert photo.decoded == 1
    wanted = Photo(64).read(path)
    for image in (first, second, third):
        assert image.dtype == np.uint8
        assert image.strides == wanted.strides
        assert (image == wanted).all()


def test_without_a_folder_it_is_decoded_each_time(tmp_path, photo):
    path = picture(tmp_path, "a.png")
    cache = ImageCache(None)
    assert (cache.get(path, photo) == cache.get(path, photo)).all()
    assert photo.decoded == 2
    assert cache.fill([(path, photo)]) == Filled(1, 1, PIXELS)


def test_copies_of_a_file_share_their_pixels(tmp_path, cache, photo):
    path, copy = picture(tmp_path, "a.png"), picture(tmp_path, "elsewhere/b.png")
    assert (cache.get(path, photo) == cache.get(copy, photo)).all()
    assert photo.decoded == 1
    assert len(files(cache.root)) == 1


def test_a_changed_file_gives_its_new_pixels(tmp_path, cache, photo):
    path = picture(tmp_path, "a.png")
    old = cache.get(path, photo)
    time.sleep(0.01)  # The time of change moves on.
    picture(tmp_path, "a.png", seed=1)
    assert (cache.get(path, photo) == Photo(64).read(path)).all()
    assert not (cache.get(path, photo) == old).all()
    assert photo.decoded == 2


def test_each_reading_has_its_own_pixels(tmp_path, cache):
    path = picture(tmp_path, "a.png")
    assert cache.get(path, Photo(64)).shape == (3, 40, 40)
    assert cache.get(path, Photo(64, border=5)).shape == (3, 30, 30)
    assert cache.get(path, Photo(64, channels=1)).shape == (1, 40, 40)


def test_float_images_of_many_channels_are_kept(tmp_path, cache):
    array = np.random.default_rng(0).random((6, 20, 30)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    photo = Counting(64, channels=6)
    for _ in range(2):
        image = cache.get(str(tmp_path / "a.npy"), photo)
        assert image.dtype == np.float32
        assert (image == array).all()
    assert photo.decoded == 1


def test_the_files_are_arrays_that_numpy_reads(tmp_path, cache, photo):
    path = picture(tmp_path, "a.png")
    image = cache.get(path, photo)
    (file,) = files(cache.root)
    assert (np.load(file) == image.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("keep", [0, 3, 50, PIXELS, PIXELS + 100])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new process"])
def test_a_truncated_cache_file_is_written_anew(tmp_path, cache, photo, keep, known):
    path = picture(tmp_path, "a.png")
    wanted = cache.get(path, photo)
    (file,) = files(cache.root)
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    cache = cache if known else ImageCache(cache.root)
    assert (cache.get(path, photo) == wanted).all()
    assert photo.decoded == 2
    assert file.read_bytes() == whole


@pytest.mark.parametrize("place", [7, 30, 200, -1])
def test_a_damaged_cache_file_is_written_anew(tmp_path, cache, photo, place):
    path = picture(tmp_path, "a.png")
    wanted = cache.get(path, photo)
    (file,) = files(cache.root)
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    file.write_bytes(damaged)
    assert (ImageCache(cache.root).get(path, photo) == wanted).all()
    assert photo.decoded == 2
    assert file.read_bytes() == whole


def test_a_file_that_another_process_removed_is_decoded_again(tmp_path, cache, photo):
    path = picture(tmp_path, "a.png")
    wanted = cache.get(path, photo)
    files(cache.root)[0].unlink()
    assert (cache.get(path, photo) == wanted).all()
    assert len(files(cache.root)) == 1


def test_the_least_recently_used_go_first(tmp_path, photo):
    room = 10 * (PIXELS + 200)
    root = tmp_path / "cache"
    paths = [picture(tmp_path, f"{number}.png", number) for number in range(10)]
    ImageCache(root, room).fill([(path, photo) for path in paths], threads=1)
    kept = files(root)
    assert len(kept) == 10
    for file in kept:
        os.utime(file, (1000, 1000))
    ImageCache(root, room).get(paths[3], photo)  # used again
    used = [file for file in kept if file.stat().st_mtime > 1000]
    assert len(used) == 1
    cache = ImageCache(root, room)
    for number in range(10, 14):
        cache.get(picture(tmp_path, f"{number}.png", number), photo)
    assert used[0].exists()
    assert sum(file.stat().st_size for file in files(root)) <= room
    assert len(files(root)) >= 8  # a tenth makes way, not all


def test_more_images_than_fit_are_all_given_and_the_limit_holds(tmp_path, photo):
    cache = ImageCache(tmp_path / "cache", 3 * (PIXELS + 200))
    items = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(12)]
    filled = cache.fill(items, threads=1)
    assert filled == Filled(12, 12, 12 * PIXELS)
    assert filled.bytes > cache.limit
    assert 0 < len(files(cache.root)) <= 3
    for path, _ in items:
        assert (cache.get(path, photo) == Photo(64).read(path)).all()


def test_an_image_larger_than_the_limit_is_not_kept(tmp_path, photo):
    cache = ImageCache(tmp_path / "cache", PIXELS - 1)
    cache.get(picture(tmp_path, "a.png"), photo)
    assert files(tmp_path / "cache") == []


def test_what_a_crash_left_is_removed(tmp_path, cache, photo):
    old, new = cache.root / "ab" / ".x.npy.1.part", cache.root / "ab" / ".x.npy.2.part"
    old.parent.mkdir(parents=True)
    old.touch()
    new.touch()
    os.utime(old, (1000, 1000))
    cache.get(picture(tmp_path, "a.png"), photo)
    assert not old.exists()
    assert new.exists()


def test_the_limit_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("SM3KIT_CACHE_LIMIT", raising=False)
    assert ImageCache(None).limit == 20 * GIB
    monkeypatch.setenv("SM3KIT_CACHE_LIMIT", "1.5")
    assert ImageCache(None).limit == 1.5 * GIB
    assert ImageCache(None, 7).limit == 7


@pytest.mark.parametrize("text", ["20GB", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number(monkeypatch, text):
    monkeypatch.setenv("SM3KIT_CACHE_LIMIT", text)
    with pytest.raises(SM3Error) as error:
        ImageCache(None)
    assert str(error.value) == (
        f"SM3KIT_CACHE_LIMIT must be a number of GiB, not {text!r}. The default is 20."
    )


def test_fill_decodes_what_is_not_there_and_tells_how_far_it_is(tmp_path, cache, photo):
    items = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(5)]
    cache.get(items[2][0], photo)
    steps = []
    filled = cache.fill(items, progress=lambda done, total: steps.append((done, total)))
    assert filled == Filled(5, 4, 5 * PIXELS)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert cache.fill(iter(items)) == Filled(5, 0, 5 * PIXELS)


def test_a_second_start_opens_no_image(tmp_path, cache, photo, monkeypatch):
    """Sizes and times tell that all is there; pixels are read, and checked, when they are used."""
    monkeypatch.setattr(file_hashes, "SETTLED", 0)
    items = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(5)]
    cache.fill(items)
    opened, looked = [], []
    stat, start = os.stat, Path.open
    with monkeypatch.context() as watched:
        watched.setattr(
            Path,
            "open",
            lambda path, *how, **more: opened.append(path) or start(path, *how, **more),
        )
        watched.setattr(
            os, "stat", lambda path, **how: looked.append(str(path)) or stat(path, **how)
        )
        again = ImageCache(cache.root).fill(items)
    assert again == Filled(5, 0, 5 * PIXELS)
    assert {path.name for path in opened} == {"hashes.json"}
    assert len([file for file in looked if file.endswith(".png")]) <= 2 * 5
    assert photo.decoded == 5


def test_fill_asks_threads_in_parts(tmp_path, cache, photo, monkeypatch):
    monkeypatch.setattr(threads, "PARTS", 2)
    good = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(5)]
    bad = [(str(tmp_path / "no.png"), photo)]
    with pytest.raises(DataError, match=r"^1 of 6 images cannot be read: "):
        cache.fill(good[:2] + bad + good[2:])
    assert cache.fill(good) == Filled(5, 0, 5 * PIXELS)


def test_files_are_hashed_by_several_threads(tmp_path, cache, photo, monkeypatch):
    """On a first start this reads every file, and no thread may wait for another one's."""
    items = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(2)]
    together, digest = Barrier(2, timeout=20), file_hashes.digest

    def meet(name):
        together.wait()
        return digest(name)

    monkeypatch.setattr(file_hashes, "digest", meet)
    assert cache.fill(items, threads=2) == Filled(2, 2, 2 * PIXELS)


def test_fill_lists_what_cannot_be_read(tmp_path, cache, photo):
    good = [picture(tmp_path, f"{number}.png", number) for number in range(3)]
    bad = [str(tmp_path / f"no{number}.png") for number in range(7)]
    with pytest.raises(DataError) as error:
        cache.fill([(path, photo) for path in [*good, *bad]])
    remedy = "Check the data folder, or the table that names this file."
    told = [f"({n}) There is no image {path}. {remedy}" for n, path in enumerate(bad[:5], start=1)]
    assert error.value.args[0] == (f"7 of 10 images cannot be read: {' '.join(told)} And 2 more.")
    assert len(files(cache.root)) == 3  # The good ones are ready for the next try.


def test_an_unreadable_image_says_so_on_get(tmp_path, cache, photo):
    with pytest.raises(DataError, match="There is no image"):
        cache.get(str(tmp_path / "no.png"), photo)


class Slices(Counting):
    """An image that is a folder, as a series of slices would be, or one slice of it."""

    def read(self, path):
        self.decoded += 1
        folder, part = file_and_part(path)
        slices = [np.asarray(Image.open(one)) for one in sorted(Path(folder).glob("*.png"))]
        return np.stack([slices[int(part or 0)][:, :, 0]])


def series(folder, count=3):
    for number in range(count):
        picture(folder, f"{number}.png", seed=number)
    return str(folder)


def test_a_folder_of_slices_is_kept_until_one_of_them_changes(tmp_path, cache):
    folder, modality = series(tmp_path / "series"), Slices(64)
    first = cache.get(folder, modality)
    again = ImageCache(cache.root).get(folder, modality)
    assert modality.decoded == 1
    assert (first == again).all()
    picture(tmp_path / "series", "0.png", seed=9)
    changed = ImageCache(cache.root).get(folder, modality)
    assert modality.decoded == 2
    assert (changed != first).any()


def test_parts_of_one_image_are_kept_apart(tmp_path, cache):
    folder, modality = series(tmp_path / "series"), Slices(64)
    parts = [cache.get(f"{folder}#{number}", modality) for number in range(3)]
    again = [ImageCache(cache.root).get(f"{folder}#{number}", modality) for number in range(3)]
    assert modality.decoded == 3
    for number, (one, other) in enumerate(zip(parts, again, strict=True)):
        assert (one == other).all()
        assert (one == modality.read(f"{folder}#{number}")).all()
    assert len({cache.digest(f"{folder}#{number}", modality) for number in range(3)}) == 3


def test_a_file_with_many_parts_is_hashed_once(tmp_path, cache, photo, monkeypatch):
    hashed = []
    digest = file_hashes.digest
    monkeypatch.setattr(file_hashes, "digest", lambda path: hashed.append(path) or digest(path))
    path = picture(tmp_path, "volume.png")
    for number in range(5):
        cache.digest(f"{path}#slice={number}", photo)
    assert hashed == [path]


class Detached(Counting):
    """An image whose pixels lie in a file beside it."""

    def files(self, path):
        return (path, f"{path}.raw")

    def read(self, path):
        self.decoded += 1
        return np.frombuffer(Path(f"{path}.raw").read_bytes(), np.uint8).reshape(1, 4, 4)


def test_all_files_of_an_image_are_watched(tmp_path, cache):
    modality, path = Detached(64), tmp_path / "scan.mhd"
    path.write_text("the same header for all")
    raw = tmp_path / "scan.mhd.raw"
    raw.write_bytes(bytes(16))
    assert cache.get(str(path), modality).max() == 0
    assert cache.get(str(path), modality).max() == 0
    assert modality.decoded == 1
    before = cache.digest(str(path), modality)
    raw.write_bytes(bytes([7] * 16))
    os.utime(raw, (1000, 1000))
    assert cache.get(str(path), modality).min() == 7
    assert ImageCache(cache.root).get(str(path), modality).min() == 7
    assert modality.decoded == 2
    assert cache.digest(str(path), modality) != before


def test_a_file_may_have_the_mark_in_its_name(tmp_path, cache, photo):
    path = picture(tmp_path, "lesion#2.png")
    assert (cache.get(path, photo) == Photo(64).read(path)).all()
    cache.get(path, photo)
    assert photo.decoded == 1


def test_headers_are_read_by_one_thread_at_a_time(tmp_path, cache, photo, monkeypatch):
    """NumPy parses them with `ast`, which some Pythons cannot do in two threads at once."""
    inside, most = [], []
    read = arrays.HEADERS[1, 0]

    def slow(file):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return read(file)

    items = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(12)]
    cache.fill(items)
    monkeypatch.setitem(arrays.HEADERS, (1, 0), slow)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda item: ImageCache(cache.root).get(*item), items))
    assert most == [1] * 12


def test_a_file_that_changes_while_it_is_decoded_is_not_kept(tmp_path, cache):
    class Slow(Photo):
        def read(self, path):
            image = super().read(path)
            picture(tmp_path, "a.png", seed=1)
            os.utime(path, (1000, 1000))
            return image

    path = picture(tmp_path, "a.png")
    cache.get(path, Slow(64))
    assert files(cache.root) == []


def test_it_can_be_pickled_with_what_it_knows(tmp_path, cache, photo):
    path = picture(tmp_path, "a.png")
    cache.get(path, photo)
    copy = pickle.loads(pickle.dumps(cache))  # noqa: S301  as a spawned worker does
    assert (copy.get(path, photo) == cache.get(path, photo)).all()
    assert photo.decoded == 1


def test_it_leaves_no_file_open_and_nothing_mapped(tmp_path, cache, photo):
    paths = [picture(tmp_path, f"{number}.png", number) for number in range(20)]
    images = [cache.get(path, photo) for path in paths for _ in range(2)]
    assert len(images) == 40
    if Path("/proc/self").exists():
        assert str(cache.root) not in Path("/proc/self/maps").read_text()
        handles = [
            str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()
        ]
        assert not [one for one in handles if str(cache.root) in one]


def fill_and_compare(root, limit, paths):
    photo, cache = Photo(64), ImageCache(root, limit)
    for _ in range(6):
        cache.fill([(path, photo) for path in paths], threads=2)
        for path in paths:
            assert (cache.get(path, photo) == photo.read(path)).all(), path


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="fork is quick")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("room", [100, 8], ids=["roomy", "evicting each other"])
def test_two_processes_at_once(tmp_path, room):
    paths = [picture(tmp_path, f"{number}.png", number) for number in range(16)]
    work = (tmp_path / "cache", room * (PIXELS + 200), paths)
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=fill_and_compare, args=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(timeout=300)
        assert one.exitcode == 0
    if room == 100:
        assert len(files(tmp_path / "cache")) == 16
    assert list((tmp_path / "cache").rglob("*.part")) == []


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_stops_a_fill_and_names_the_way_out(tmp_path, cache, photo, monkeypatch):
    items = [(picture(tmp_path, f"{number}.png", number), photo) for number in range(4)]
    monkeypatch.setattr("sm3kit.core.files.os.fsync", full_disk)
    with pytest.raises(SM3Error) as error:
        cache.fill(items)
    message = str(error.value)
    assert message.startswith(f"Cannot write {cache.root}/")
    assert message.endswith(
        f": No space left on device. The image cache is in {cache.root}: free some space there, "
        "set SM3KIT_CACHE to a folder on another disk, or do without it (--no-cache)."
    )
    assert [file for file in cache.root.rglob("*") if file.is_file()] == []


def test_a_full_disk_does_not_stop_a_training(tmp_path, cache, photo, monkeypatch):
    path = picture(tmp_path, "a.png")
    monkeypatch.setattr("sm3kit.core.files.os.fsync", full_disk)
    assert (cache.get(path, photo) == Photo(64).read(path)).all()


SMALL_DISK = """
mount -t tmpfs -o size=64k none "$1" && exec "$2" -c '
import sys
from pathlib import Path
from sm3kit.core.errors import SM3Error
from sm3kit.data.image_cache import ImageCache
from sm3kit.modalities.photo import Photo
paths = sorted(str(path) for path in Path(sys.argv[2]).glob("*.png"))
try:
    ImageCache(Path(sys.argv[1]) / "cache").fill([(path, Photo(64)) for path in paths], threads=2)
except SM3Error as error:
    print(error)
' "$1" "$3"
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path):
    (tmp_path / "disk").mkdir()
    for number in range(40):
        picture(tmp_path / "images", f"{number}.png", number)
    places = [tmp_path / "disk", sys.executable, tmp_path / "images"]
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", SMALL_DISK, "sh"]
    try:
        done = subprocess.run([*command, *places], capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine lets no one mount a small disk")
    assert done.returncode == 0, done.stderr
    assert "No space left on device. The image cache is in" in done.stdout


def test_a_cache_folder_that_is_a_file(tmp_path, photo):
    (tmp_path / "cache").touch()
    cache = ImageCache(tmp_path / "cache")
    with pytest.raises(SM3Error, match=r"Cannot write .* The image cache is in .*SM3KIT_CACHE"):
        cache.fill([(picture(tmp_path, "a.png"), photo)])
