"""Images as nobody wants them: each is read rightly, or refused in one line that helps."""

import io
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sm3kit.core.errors import DataError
from sm3kit.data.image_cache import ImageCache
from sm3kit.imaging.reading import read_pixels
from sm3kit.modalities.photo import Photo

SECONDS = 10  # None may take longer.
COLOURS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
UNIT = np.random.default_rng(0).random((3, 12, 16))


def encoded(format="PNG", mode="RGB", **options):
    """The bytes of a picture of 16 x 12 pixels, which sizes in the messages and shapes repeat."""
    written = io.BytesIO()
    Image.fromarray(COLOURS).convert(mode).save(written, format, **options)
    return written.getvalue()


def array(values, **options):
    written = io.BytesIO()
    np.save(written, values, **options)
    return written.getvalue()


def spoiled(value):
    """A sound array but for one value."""
    values = UNIT.copy()
    values[1, 2, 3] = value
    return values


def header(text, version=b"\x01\x00"):
    """A .npy file of a header alone."""
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text.encode()


def png(kind, depth, values, before=b"", width=16, height=12):
    """A PNG of one filterless row of bytes, repeated, and of chunks before its pixels."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    size = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    rows = zlib.compress((b"\0" + values) * min(height, 12))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    before = b"".join(chunk(*one) for one in before)
    return start + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tagged(orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def texts(name, value):
    info = PngImagePlugin.PngInfo()
    info.add_text(name, value, zip=True)
    return info


def frames():
    other = Image.fromarray(255 - COLOURS)
    return encoded("GIF", save_all=True, append_images=[other], duration=50, loop=0)


def zipped():
    written = io.BytesIO()
    np.savez(written, UNIT)
    return written.getvalue()


def lab():
    """A TIFF of the colours CIELAB."""
    plain = encoded("TIFF")
    entry = struct.pack("<HHI", 262, 3, 1)  # PhotometricInterpretation, a short.
    place = plain.index(entry) + len(entry)
    return plain[:place] + struct.pack("<H", 8) + plain[place + 2 :]


def deep_tiff():
    """A TIFF that says that its three channels have 16 bits."""
    content = bytearray(encoded("TIFF"))
    entry = struct.pack("<HHI", 258, 3, 3)  # BitsPerSample, three shorts.
    (place,) = struct.unpack_from("<I", content, content.index(entry) + len(entry))
    struct.pack_into("<3H", content, place, 16, 16, 16)
    return bytes(content)


def deep_jpeg():
    """A JPEG 2000 that says that its first channel has 16 bits."""
    content = bytearray(encoded("JPEG2000"))
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 15
    return bytes(content)


def picked(**changes):
    values = {"descr": "'<f4'", "fortran_order": "False", "shape": "(3, 12, 16)", **changes}
    return "{" + ", ".join(f"'{name}': {value}" for name, value in values.items()) + "}\n"


SHAPE = (12, 16, 3)
# Of each file its name, its bytes, and a shape where it is read, or words of the line that says
# why it is not. Some lines need to say more than one thing.
SOUND = {
    "plain.png": encoded(),
    "plain.jpg": encoded("JPEG"),
    "plain.bmp": encoded("BMP"),
    "plain.webp": encoded("WEBP"),
    "plain.tif": encoded("TIFF"),
    "plain.jp2": encoded("JPEG2000"),
    "plain.ppm": encoded("PPM"),
    "packed.tif": encoded("TIFF", compression="tiff_lzw"),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "other-format.jpg": encoded("PNG"),
    "no-suffix": encoded("PNG"),
    "palette.png": encoded(mode="P"),
    "clear-palette.png": encoded(mode="P", transparency=bytes([0, 9, 255])),
    "cmyk.jpg": encoded("JPEG", "CMYK"),
    "cmyk.tif": encoded("TIFF", "CMYK"),
    "lab.tif": lab(),
    "one-bit.png": encoded(mode="1"),
    "one-bit.tif": encoded("TIFF", "1"),
    "grey.png": encoded(mode="L"),
    "grey-alpha.png": encoded(mode="LA"),
    "alpha.png": encoded(mode="RGBA"),
    "luminance.jpg": encoded("JPEG", "YCbCr"),
    "moving.gif": frames(),
    "odd-profile.png": encoded(icc_profile=b"no profile at all"),
    "odd-profile.jpg": encoded("JPEG", icc_profile=b"\xff" * 70),
    "odd-exif.jpg": encoded("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff no directory"),
    "short-text.png": encoded(pnginfo=texts("note", "x" * 1000)),
    "black.png": png(2, 8, bytes(48)),
    "trailing.png": encoded() + b"and more" * 9,
    "unit.npy": array(UNIT.astype(np.float32)),
    "double.npy": array(UNIT),
    "half.npy": array(UNIT.astype(np.float16)),
    "big-endian.npy": array(UNIT.astype(">f4")),
    "fortran.npy": array(np.asfortranarray(UNIT)),
    "turned.npy": array(UNIT[:, ::-1, ::-1]),
    "overshoot.npy": array(UNIT * 1.1 - 0.05),
    "bytes.npy": array(np.moveaxis(COLOURS, 2, 0)),
}
REFUSED = {
    "empty.png": (b"", "is empty (0 bytes)"),
    "empty.npy": (b"", "is empty (0 bytes)"),
    "cut.png": (encoded()[:-300], "Copy it again"),
    "cut.jpg": (encoded("JPEG")[:-100], "truncated"),
    "cut.tif": (encoded("TIFF")[:-300], "Copy it again"),
    "cut.gif": (frames()[:900], "Copy it again"),
    "start-alone.png": (encoded()[:20], "Cannot read the image"),
    "zeros.png": (bytes(500), "not in a format that Pillow knows"),
    "magic.jpg": (b"\xff\xd8\xff" + b"no image" * 30, "Cannot read the image"),
    "page.jpg": (b"<html>404</html>", "not in a format that Pillow knows"),
    "damaged.png": (encoded().replace(b"IDAT", b"IDAX"), "Cannot read the image"),
    "no-pixels.png": (png(2, 8, b"", width=0), "Cannot read the image"),
    "bomb.png": (png(2, 8, bytes(48), width=19000, height=19000), "361,000,000 pixels"),
    "huge.png": (png(2, 8, bytes(48), width=2**31 - 1, height=2**31 - 1), "Scale it down"),
    "long-text.png": (
        encoded(pnginfo=texts("note", "x" * (3 << 20))),
        "Save it without metadata",
    ),
    "deep.png": (png(0, 16, bytes(32)), "more than 8 bits (I;16)"),
    "deep-colour.png": (png(2, 16, bytes(96)), "more than 8 bits (16 per channel)"),
    "deep-alpha.png": (png(6, 16, bytes(128)), "more than 8 bits (16 per channel)"),
    "deep-colour.tif": (deep_tiff(), "more than 8 bits (16 per channel)"),
    "deep-colour.jp2": (deep_jpeg(), "more than 8 bits (16 per channel)"),
    "deep.ppm": (b"P6 16 12 65535\n" + bytes(1152), "more than 8 bits (white is 65535)"),
    "deep.pgm": (b"P5 16 12 65535\n" + bytes(384), "more than 8 bits (I)"),
    "integers.tif": (encoded("TIFF", "I"), "more than 8 bits (I)"),
    "floats.tif": (encoded("TIFF", "F"), "more than 8 bits (F)"),
    "scan.dcm": (bytes(128) + b"DICM" + bytes(300), "not in a format that Pillow knows"),
    "object.npy": (array(np.array([{}], object), allow_pickle=True), "Python objects"),
    "pickle.npy": (pickle.dumps(UNIT), "no header of a NumPy array"),
    "archive.npy": (zipped(), "no header of a NumPy array"),
    "text.npy": (b"1 2 3\n", "no header of a NumPy array"),
    "cut.npy": (array(UNIT)[:-8], "takes 4,608 bytes, 4,600 are there"),
    "huge-shape.npy": (header(picked(shape="(3, 10**9, 10**9)")), "no header of a NumPy array"),
    "large-shape.npy": (header(picked(shape="(3, 1000000000, 1000000000)")), "it is truncated"),
    "negative-shape.npy": (header(picked(shape="(3, -12, 16)")), "it is truncated"),
    "long-header.npy": (header(" " * (1 << 20), b"\x02\x00"), "no header of a NumPy array"),
    "deep-header.npy": (header("(" * 9000), "no header of a NumPy array"),
    "code.npy": (header("__import__('os').abort()"), "no header of a NumPy array"),
    "flat.npy": (array(np.ones(7)), "an image is (C, H, W)"),
    "volume.npy": (array(np.ones((1, 3, 4, 4))), "an image is (C, H, W)"),
    "scalar.npy": (array(np.float32(1)), "an image is (C, H, W)"),
    "void.npy": (array(np.ones((3, 0, 5))), "which holds no pixel"),
    "channels-last.npy": (array(UNIT.transpose(1, 2, 0)), "looks like (H, W, C)"),
    "two-channels.npy": (array(UNIT[:2]), "should have 3 channels, but has 2"),
    "yes-and-no.npy": (array(UNIT > 0.5), "holds bool, but an image is uint8"),
    "complex.npy": (array(UNIT + 1j), "holds complex128, but an image is uint8"),
    "words.npy": (array(np.full((3, 2, 2), "a")), "holds <U1, but an image is uint8"),
    "records.npy": (array(np.zeros((3, 2, 2), "u1,f4")), "but an image is uint8"),
    "integers.npy": (array(np.ones((3, 2, 2), int)), "more than 8 bits (int64)"),
    "nan.npy": (array(spoiled(np.nan)), "(1 of 576)"),
    "infinite.npy": (array(spoiled(np.inf)), "(1 of 576)"),
    "too-large.npy": (array(spoiled(1e300)), "(1 of 576)"),
    "bytes-as-floats.npy": (array(np.moveaxis(COLOURS, 2, 0) / 1.0), "Divide it by 255"),
    "scores.npy": (array(8 * UNIT - 4), "must have values from 0 (black) to 1 (white). Scale it"),
}


def places(folder):
    """What is no regular file, or leads to none: {name: words of the line}."""
    os.mkfifo(folder / "pipe.png")
    (folder / "link-to-pipe.png").symlink_to(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "round.png").symlink_to(folder / "round.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.npy")
    with socket.socket(socket.AF_UNIX) as server, short_path(folder):
        server.bind("socket.png")
    return {
        "pipe.png": "is a named pipe, not an image",
        "link-to-pipe.png": "is a named pipe, not an image",
        "device.png": "is a device, not an image",
        "gone.png": "There is no image",
        "round.png": "Cannot open the image",
        "folder.png": "is a folder, not an image",
        "pipe.npy": "is a named pipe, not an image",
        "socket.png": "is a socket, not an image",
        "plain": "'plain' and 'plain.png' differ only in the suffix",
        f"{'long' * 70}.png": "File name too long",
        "nul\0.png": "No image can be named",
    }


@contextmanager
def short_path(folder):
    """Within a folder, as the name of a socket has 108 letters at most."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def in_time():
    def late(*_):
        raise AssertionError(f"takes longer than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(path, read=lambda path: read_pixels(path, 3)):
    with in_time(), pytest.raises(DataError) as told:
        read(str(path))
    message = str(told.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    return message


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A folder of all files, and {name: words of the line that refuses it}, none if it is read."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in {**SOUND, **{n: c for n, (c, _) in REFUSED.items()}}.items():
        (folder / name).write_bytes(content)
    words = dict.fromkeys(SOUND, "") | {name: text for name, (_, text) in REFUSED.items()}
    return folder, words | places(folder)


def test_there_are_many():
    assert len(SOUND) + len(REFUSED) >= 60


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_are_read(everything, name):
    with in_time():
        pixels = read_pixels(str(everything[0] / name), 3)
    assert pixels.shape == SHAPE
    assert pixels.dtype == (np.float32 if name.endswith(".npy") and "bytes" not in name else "u1")
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("name", ["plain.png", "alpha.png", "moving.gif", "bytes.npy"])
def test_and_their_colours_are_right(everything, name):
    near = 60 if name == "moving.gif" else 0  # A palette of 256 colours; the next frame is inverse.
    pixels = read_pixels(str(everything[0] / name), 3)
    assert np.abs(pixels.astype(int) - COLOURS).max() <= near


@pytest.mark.parametrize("name", ["lab.tif", "cmyk.jpg", "alpha.png", "one-bit.png", "moving.gif"])
def test_colours_become_grey(everything, name):
    assert read_pixels(str(everything[0] / name), 1).shape == (12, 16, 1)


@pytest.mark.parametrize("name", ["double.npy", "big-endian.npy", "fortran.npy"])
def test_arrays_are_read_in_any_order_of_axes_and_bytes(everything, name):
    pixels = read_pixels(str(everything[0] / name), 3)
    np.testing.assert_allclose(pixels, UNIT.transpose(1, 2, 0), rtol=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_in_one_line(everything, name):
    assert everything[1][name] in refusal(everything[0] / name)


def test_what_is_no_file_is_refused_before_it_is_opened(everything, tmp_path):
    for name, text in places(tmp_path).items():
        if name == "plain":
            (tmp_path / "plain.png").write_bytes(encoded())
        assert text in refusal(tmp_path / name)
        assert text in refusal(tmp_path / name, Photo(16).read)


def test_training_refuses_what_the_check_refuses(everything, tmp_path):
    """The cache of images looks at a file before `read` does, and must not wait for a pipe."""
    folder, words = everything
    photo = Photo(16)
    cache = ImageCache(tmp_path / "cache")
    with in_time(), pytest.raises(DataError, match="is a named pipe"):
        cache.get(str(folder / "pipe.png"), photo)
    with in_time(), pytest.raises(DataError) as told:
        cache.fill([(str(folder / name), photo) for name in words], threads=2)
    bad = sum(map(bool, words.values()))
    assert str(told.value).startswith(f"{bad} of {len(words)} images cannot be read: (1) ")


@pytest.mark.slow
def test_libraries_write_nothing_of_their_own(everything):
    code = (
        "import sys\n"
        "from sm3kit.core.errors import DataError\n"
        "from sm3kit.imaging.reading import read_pixels\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        read_pixels(path, 3)\n"
        "    except DataError:\n"
        "        pass\n"
    )
    paths = [str(everything[0] / name) for name in everything[1] if "\0" not in name]
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, *paths],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # What the imports warn of comes before the first image.
    assert "PIL" not in done.stderr
    assert "sm3kit" not in done.stderr


def test_data_check_tells_of_each_of_them(everything, tmp_path):
    folder, words = everything
    names = [name for name in words if "\0" not in name]
    lines = ["id,photo,split"] + [f"{n},{name},train" for n, name in enumerate(names)]
    (folder / "table.csv").write_text("\n".join(lines))
    spec = f"manifest:{folder / 'table.csv'}"
    done = subprocess.run(
        [sys.executable, "-m", "sm3kit", "data", "check", spec, "--json"]
        + ["-o", "manifest.modalities=photo"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Unexpected error" not in done.stderr
    assert "Warning" not in done.stderr
    report = json.loads(done.stdout)
    faults = report["missing"] + report["unreadable"]
    told = {Path(one["use"]["path"]).name: one["reason"] for one in faults}
    assert set(told) == {name for name in names if words[name]}
    for name in REFUSED:
        assert told[name] == "The file is empty." or words[name] in told[name]


def test_a_photo_says_which_options_to_set(everything):
    folder, _ = everything
    last = Photo(16, channels=4).read
    assert "choose -o photo.channels=3" in refusal(folder / "plain.png", last)
    assert refusal(folder / "bytes-as-floats.npy", Photo(16).read) == (
        f"The array {folder}/bytes-as-floats.npy holds values from 0 to 255, but a float image must "
        "have values from 0 (black) to 1 (white). Divide it by 255, or save it as uint8, or set -o "
        "photo.mean and -o photo.std to those of your values."
    )
    own = Photo(16, mean=(127.0,) * 3, std=(60.0,) * 3)
    assert own.read(str(folder / "bytes-as-floats.npy")).max() == 255
    assert own.reading != Photo(16).reading  # Else the cache would give what was refused.
    assert "(1 of 576)" in refusal(folder / "too-large.npy", own.read)
