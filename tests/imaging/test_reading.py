"""What each kind of file becomes, and what is said of each file that cannot be used."""

import warnings

import numpy as np
import pytest
from PIL import Image

from sm3kit.core.errors import DataError
from sm3kit.imaging.reading import read_pixels

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [90, 90, 90]]], dtype=np.uint8)


def save(folder, picture, name="a.png", **options):
    path = folder / name
    picture.save(path, **options)
    return str(path)


def colours(mode="RGB"):
    return Image.fromarray(COLOURS).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_files_become_rgb(tmp_path, mode):
    path = save(tmp_path, colours("RGB").quantize(4) if mode == "P" else colours(mode))
    assert (read_pixels(path, 3) == COLOURS).all()


def test_a_cmyk_file_becomes_rgb(tmp_path):
    path = save(tmp_path, colours("CMYK"), "a.tif")
    assert np.abs(read_pixels(path, 3).astype(int) - COLOURS).max() <= 1  # Four bands rounded.


def test_a_palette_with_transparency_becomes_rgb_without_a_warning(tmp_path):
    picture = colours("RGB").quantize(4)
    path = save(tmp_path, picture, transparency=bytes([0, 255, 255, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_pixels(path, 3) == COLOURS).all()


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_files_become_three_equal_channels(tmp_path, mode):
    pixels = read_pixels(save(tmp_path, colours("L").convert(mode)), 3)
    assert pixels.shape == (2, 2, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_one_channel_is_grey(tmp_path):
    pixels = read_pixels(save(tmp_path, colours()), 1)
    assert pixels.shape == (2, 2, 1)
    assert pixels[..., 0].tolist() == [[76, 150], [29, 90]]  # ITU-R BT.601 of the four colours.


def test_four_channels_are_the_bands_of_the_file(tmp_path):
    bands = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(bands, "RGBA"))
    assert (read_pixels(path, 4) == bands).all()


def test_the_orientation_of_the_camera_is_applied(tmp_path):
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # Taken with the camera turned: rotate clockwise to show.
    pixels = read_pixels(save(tmp_path, picture, exif=exif), 1)
    assert pixels[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_a_large_jpeg_is_decoded_small_but_never_below_twice_what_is_enough(tmp_path):
    rows, columns = np.mgrid[0:800, 0:1200]
    waves = 128 + 60 * np.sin(rows / 80) + 60 * np.cos(columns / 90)
    path = save(tmp_path, Image.fromarray(waves.astype(np.uint8)), "a.jpg", quality=95)
    whole = read_pixels(path, 1)
    assert whole.shape == (800, 1200, 1)
    assert read_pixels(path, 1, enough=201).shape == (800, 1200, 1)
    small = read_pixels(path, 1, enough=200)
    assert small.shape == (400, 600, 1)
    mean = whole.reshape(400, 2, 600, 2).mean((1, 3))
    assert np.abs(small[..., 0] - mean).max() <= 3  # JPEG's own noise


def test_an_array_is_read_as_it_is(tmp_path):
    array = np.random.default_rng(0).random((6, 4, 5))
    np.save(tmp_path / "a.npy", array)
    pixels = read_pixels(str(tmp_path / "a.npy"), 6)
    assert pixels.dtype == np.float32
    assert (pixels == np.moveaxis(array, 0, 2).astype(np.float32)).all()


def test_a_flat_array_has_one_channel(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 5), dtype=np.uint8))
    assert read_pixels(str(tmp_path / "a.npy"), 1).shape == (4, 5, 1)


def refusal(path, channels=3):
    with pytest.raises(DataError) as error:
        read_pixels(str(path), channels)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "no.png") == (
        f"There is no image {tmp_path}/no.png. Check the data folder, or the table that names "
        "this file."
    )


def test_a_folder(tmp_path):
    assert refusal(tmp_path) == (
        f"{tmp_path} is a folder, not an image. Check the data folder, or the table that names "
        "this file."
    )


def test_an_empty_file(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg") == (
        f"The image {tmp_path}/a.jpg is empty (0 bytes). "
        "Copy it again from its source, or leave its study out."
    )


@pytest.mark.parametrize(("name", "reason"), [("a.jpg", "truncated"), ("a.png", "truncated")])
def test_a_truncated_file(tmp_path, name, reason):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(noise), name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    message = refusal(path)
    assert message.startswith(f"Cannot read the image {path}: ")
    assert reason in message
    assert message.endswith(". Copy it again from its source, or leave its study out.")


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    assert refusal(tmp_path / "a.jpg") == (
        f"Cannot read the image {tmp_path}/a.jpg: it is not in a format that Pillow knows. "
        "Copy it again from its source, save it as PNG, or leave its study out."
    )


def test_damage_anywhere_is_one_line_or_an_image(tmp_path):
    """Decoders fail in many ways; none gets past as another kind of error."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png", "a.tif", "a.gif", "a.bmp", "a.npy"):
        if name == "a.npy":
            np.save(tmp_path / name, noise.transpose(2, 0, 1))
        else:
            save(tmp_path, Image.fromarray(noise), name, exif=exif)
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 300), 4):
                damaged[place] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read_pixels(str(tmp_path / name), 3)
            except DataError as error:
                assert "\n" not in str(error)


def test_more_than_eight_bits(tmp_path):
    path = save(tmp_path, Image.fromarray(np.full((3, 3), 4000, dtype=np.uint16)))
    assert refusal(path) == (
        f"The image {path} has values of more than 8 bits (I;16); which of them are black and "
        "white is your choice. Save it with 8 bits, or as a float32 .npy array (C, H, W) from 0 "
        "to 1."
    )
    np.save(tmp_path / "a.npy", np.ones((3, 2, 2), dtype=np.uint16))
    assert "has values of more than 8 bits (uint16)" in refusal(tmp_path / "a.npy")


def test_another_number_of_channels(tmp_path):
    path = save(tmp_path, colours())
    assert refusal(path, 4) == (
        f"The image {path} should have 4 channels, but has 3 (mode RGB). Convert it."
    )
    np.save(tmp_path / "a.npy", np.ones((6, 2, 2), dtype=np.uint8))
    assert refusal(tmp_path / "a.npy") == (
        f"The image {tmp_path}/a.npy should have 3 channels, but has 6 (shape (6, 2, 2), read as "
        "C, H, W). Convert it."
    )


def test_an_array_of_another_shape(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(7, dtype=np.uint8))
    assert refusal(tmp_path / "a.npy") == (
        f"The array {tmp_path}/a.npy has shape (7,), but an image is (C, H, W). Save it like that."
    )


def test_an_array_that_is_not_finite(tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 2, 2), np.nan, dtype=np.float32))
    assert refusal(tmp_path / "a.npy") == (
        f"The array {tmp_path}/a.npy holds NaN or infinite values, or values too large for "
        "float32 (12 of 12). Replace them."
    )


def test_a_pickle_is_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "Cannot read the image" in refusal(tmp_path / "a.npy")
