"""Where things are in the body decides where they are in the image, not the order in the file."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK

from sm3kit.api import DataError
from sm3kit_volumes.parts import Part
from sm3kit_volumes.policy import Policy, square
from sm3kit_volumes.readers.opening import open_volume
from sm3kit_volumes.volume import Volume

SHAPE, SPACING = (5, 6, 7), (1.0, 2.0, 3.0)
BODY = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)  # Right, front, up (RAS+).
AXES = ("sagittal", "coronal", "axial")
ORDERS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def upright(plane):
    """A plane of BODY, whose axes run right (or to the front) and up (or to the front)."""
    return plane[::-1, ::-1].T


def planes_of(volume):
    return [volume.planes(axis, [1, 2]) for axis in AXES]


def expected():
    return [
        np.stack([upright(np.take(BODY, k, axis=place)) for k in (1, 2)], axis=2)
        for place in range(3)
    ]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_every_order_and_direction_of_axes_gives_the_same_planes(order, signs, suffix, tmp_path):
    image = nibabel.Nifti1Image(BODY, np.diag([*SPACING, 1.0]))
    turned = image.as_reoriented(np.array(list(zip(order, signs, strict=True)), float))
    path = tmp_path / f"turned{suffix if suffix.startswith('.nii') else '.nii'}"
    nibabel.save(turned, path)
    if not suffix.startswith(".nii"):
        itk = SimpleITK.ReadImage(str(path))
        path = tmp_path / f"turned{suffix}"
        SimpleITK.WriteImage(itk, str(path))
    volume, _ = open_volume(str(path), 0.0)
    for found, wanted in zip(planes_of(volume), expected(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    for place, axis in enumerate(AXES):
        assert volume.length(axis) == SHAPE[place]
        assert volume.step(axis) == pytest.approx(SPACING[place])
        np.testing.assert_array_equal(
            volume.projection(axis, "max")[..., 0], upright(BODY.max(axis=place))
        )
        np.testing.assert_allclose(
            volume.projection(axis, "mean")[..., 0], upright(BODY.mean(axis=place)), rtol=1e-6
        )


def test_the_right_of_the_patient_is_on_the_left_and_the_head_is_up(nifti):
    body = np.zeros((9, 9, 9), np.int16)
    body[8, 4, 4], body[4, 8, 4], body[4, 4, 8] = 1, 2, 3  # Right, front, head.
    volume, _ = open_volume(nifti(body), 0.0)

    def seen(axis):
        plane = volume.projection(axis, "max")[..., 0]
        return {int(plane[at]): at for at in zip(*np.nonzero(plane), strict=True)}

    assert seen("axial") == {1: (4, 0), 2: (0, 4), 3: (4, 4)}
    assert seen("coronal") == {1: (4, 0), 2: (4, 4), 3: (0, 4)}
    assert seen("sagittal")[2] == (4, 0)  # The front is on the left.
    assert seen("sagittal")[3] == (0, 4)


def test_dicom_metaimage_and_nifti_of_one_body_give_one_image(nifti, series, tmp_path):
    # DICOM columns run to the left and rows to the back.
    folder = series(tmp_path / "dicom", BODY[::-1, ::-1], gap=3.0, PixelSpacing=[2, 1])
    path = nifti(BODY - np.int16(1024), SPACING)
    itk = str(tmp_path / "scan.mha")
    SimpleITK.WriteImage(SimpleITK.ReadImage(path), itk)
    volumes = [open_volume(one, 0.0)[0] for one in (path, folder, itk)]
    for axis in AXES:
        planes = [volume.planes(axis, [0, 2]) for volume in volumes]
        np.testing.assert_array_equal(planes[0], planes[1])
        np.testing.assert_array_equal(planes[0], planes[2])
        spacings = [volume.plane_spacing(axis) for volume in volumes]
        np.testing.assert_allclose(spacings, [spacings[0]] * 3, rtol=1e-6)


def test_a_slice_is_read_the_same_in_blocks_of_any_size(nifti, monkeypatch):
    volume, _ = open_volume(nifti(BODY), 0.0)
    monkeypatch.setattr("sm3kit_volumes.volume.BLOCK_BYTES", 1)
    assert len(list(volume.blocks())) == SHAPE[2]
    for found, wanted in zip(planes_of(volume), expected(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(
        volume.projection("axial", "max")[..., 0], upright(BODY.max(axis=2))
    )


def test_values_that_are_not_finite_are_outside(nifti):
    body = BODY.astype(np.float32)
    body[0, 0, 0], body[1, 1, 1] = np.nan, np.inf
    volume, _ = open_volume(nifti(body), -1000.0)
    planes = volume.planes("axial", [0, 1])
    assert planes[-1, -1, 0] == planes[-2, -2, 1] == -1000


@pytest.mark.parametrize("affine", [np.full((4, 4), np.nan), np.diag([1.0, 1.0, 0.0, 1.0])])
def test_an_affine_that_says_nothing(affine):
    volume = Volume("scan.nii", SHAPE, affine, lambda first, last: BODY[..., first:last])
    with pytest.raises(DataError, match="scan.nii has no valid orientation: its affine is"):
        volume.planes("axial", [0])


# Square pixels


def test_pixels_become_square_and_the_image_a_square():
    """2 x 4 pixels of 3 mm x 1 mm: 6 rows of 1 mm, then a column on each side."""
    pixels = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)[..., np.newaxis]
    image = square(pixels, (3.0, 1.0), 0, outside=-1.0)
    assert image.shape == (6, 6, 1)
    np.testing.assert_array_equal(image[[0, 5], 1:5, 0], pixels[..., 0])
    assert (image[:, [0, 5]] == -1).all()


def test_large_images_are_scaled_down_to_the_longest_side():
    image = square(np.ones((50, 100, 2), np.float32), (1.0, 1.0), 25, outside=0.0)
    assert image.shape == (25, 25, 2)
    # Weights in float32 sum to 1 within a few units of the last place.
    np.testing.assert_allclose(image[6:18], 1, rtol=1e-6)
    assert (image[:6] == 0).all()


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_scaling_down_keeps_the_range_and_each_channel(channels):
    """Blocks of air and metal: bicubic would go 300 beyond them; what is right stays right."""
    rng = np.random.default_rng(0)
    blocks = rng.choice(np.array([-1000, 3000], np.float32), (6, 9, channels))
    pixels = blocks.repeat(10, axis=0).repeat(10, axis=1)
    pixels[:, 45:, -1] = -1000
    image = square(pixels, (1.0, 1.0), 30, outside=-1000.0)
    assert image.shape == (30, 30, channels)
    assert image.dtype == np.float32
    assert image.min() > -1000.001
    assert image.max() < 3000.001
    assert (image[:, 17:, -1] < -999.9).all()
    for channel in range(channels):
        alone = square(pixels[:, :, channel : channel + 1], (1.0, 1.0), 30, outside=-1000.0)
        np.testing.assert_allclose(image[:, :, channel : channel + 1], alone, atol=1e-2)


def policy(**changes):
    plain = {
        "policy": "slice", "axis": "axial", "channels": 1, "spacing": 5.0, "projection": "max",
        "longest": 0,
    }  # fmt: skip
    return Policy(**(plain | changes))


@pytest.fixture
def tower(nifti):
    """Ten slices of 2 mm, each of one value: its index."""
    return open_volume(nifti(np.ones((4, 4, 10)) * np.arange(10.0), (1.0, 1.0, 2.0)), 0.0)[0]


@pytest.mark.parametrize(("part", "index"), [("", 5), ("0", 0), ("9", 9), ("30%", 3), ("100%", 9)])
def test_the_slice_that_is_meant(tower, part, index):
    assert (policy().taken(tower, Part(slice=part))[0] == index).all()


@pytest.mark.parametrize(
    ("spacing", "part", "slices"),
    [(4.0, "", [3, 5, 7]), (2.0, "2", [1, 2, 3]), (4.0, "1", [0, 1, 3]), (4.0, "9", [7, 9, 9])],
)
def test_a_stack_of_neighbours_in_millimetres(tower, spacing, part, slices):
    image = policy(policy="stack", channels=3, spacing=spacing).taken(tower, Part(slice=part))[0]
    assert image[0, 0].tolist() == slices


def test_projections(tower):
    assert (policy(policy="mip").taken(tower, Part())[0] == 9).all()
    assert (policy(policy="mip", projection="mean").taken(tower, Part())[0] == 4.5).all()
    assert policy(policy="mip", channels=3).taken(tower, Part())[0].shape == (4, 4, 3)


def test_a_volume_of_one_slice_is_taken_in_its_own_plane(nifti):
    thin = nifti(np.arange(30.0).reshape(5, 1, 6))
    pixels, _ = policy().taken(open_volume(thin, 0.0)[0], Part())
    assert pixels.shape == (6, 5, 1)


@pytest.mark.parametrize(
    ("chosen", "part", "text"),
    [
        ({}, "10", "there are 10 axial slices, 0 to 9"),
        ({}, "-1", "there are 10 axial slices, 0 to 9"),
        ({}, "101%", None),
        ({}, "top", "a slice is a number from 0 on, or a percentage such as 30%"),
        ({"policy": "mip"}, "3", "a projection .policy=mip. has no slices"),
    ],
)
def test_slices_that_are_not_there(tower, chosen, part, text):
    if text is None:
        assert (policy().taken(tower, Part(slice=part))[0] == 9).all()
        return
    with pytest.raises(DataError, match=text):
        policy(**chosen).taken(tower, Part(slice=part))
