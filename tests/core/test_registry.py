"""Plugins are found on disk, imported on use, and break nothing but themselves."""

import sys

import pytest

from sm3kit.core import registry as registry_module
from sm3kit.core.errors import BrokenPlugin, NameClash, UnknownName
from sm3kit.core.installed import API_VERSION, api_mismatch
from sm3kit.core.registry import REGISTRIES, registry
from sm3kit.fusions.concat import Concat

MEAN = {"sonokit.py": "class Mean:\n    pass\n"}


@pytest.fixture
def fusions():
    return registry("fusions")


def test_a_distribution_on_disk_is_found_and_imported_on_use(fake_distribution, fusions):
    before = fusions.names()
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, MEAN, version="2.5")
    assert fusions.names() == sorted([*before, "mean"])
    (declared,) = fusions.declarations("mean")
    assert declared.target == "sonokit:Mean"
    assert declared.origin == "sonokit 2.5"
    assert "sonokit" not in sys.modules
    assert fusions.get("mean").__name__ == "Mean"
    assert "sonokit" in sys.modules


def test_a_distribution_may_serve_several_families_and_other_groups(fake_distribution):
    folder = fake_distribution(
        "sonokit",
        {"fusions": {"mean": "sonokit:Mean"}, "relations": {"near": "sonokit:Mean"}},
        MEAN,
    )
    (info,) = folder.glob("*.dist-info")
    with info.joinpath("entry_points.txt").open("a") as file:
        file.write("[console_scripts]\nsono = sonokit:main\n[sm3kit.recipes]\nx = y:z\n")
    assert registry("relations").get("near") is registry("fusions").get("mean")
    assert [one for one in REGISTRIES if "mean" in registry(one).names()] == ["fusions"]


def test_two_distributions_that_claim_a_name(fake_distribution, fusions):
    fake_distribution(
        "sonokit", {"fusions": {"mean": "sonokit:Mean", "sono": "sonokit:Mean"}}, MEAN
    )
    fake_distribution("octkit", {"fusions": {"mean": "octkit:M", "oct": "octkit:M"}}, version="0.3")
    with pytest.raises(NameClash) as caught:
        fusions.get("mean")
    assert str(caught.value) == (
        "The fusion name 'mean' is claimed by octkit 0.3 (octkit:M) and sonokit 1.0 "
        "(sonokit:Mean). Uninstall one of them, or ask its author to rename it."
    )
    assert fusions.names().count("mean") == 1
    # Only this name is affected.
    assert fusions.get("sono").__name__ == "Mean"
    assert fusions.get("concat") is Concat


def test_nobody_takes_a_built_in_name_silently(fake_distribution, fusions):
    fake_distribution("sonokit", {"fusions": {"concat": "sonokit:Mean"}}, MEAN)
    with pytest.raises(NameClash, match=r"'concat' is claimed by sm3kit .* and sonokit 1\.0 "):
        fusions.get("concat")
    assert "sonokit" not in sys.modules


@pytest.mark.parametrize("again", ["sonokit", "SonoKit"])
def test_a_distribution_that_is_seen_twice_is_no_clash(fake_distribution, fusions, again):
    plugins = {"fusions": {"mean": "sonokit:Mean"}}
    fake_distribution("sonokit", plugins, MEAN, version="1.0", folder="old")
    fake_distribution(again, plugins, MEAN, version="2.0", folder="new")
    (declared,) = fusions.declarations("mean")
    assert declared.version == "2.0"  # The first on sys.path, which Python would import too.
    assert fusions.get("mean").__name__ == "Mean"


def test_the_spelling_of_a_distribution_name_does_not_matter(fake_distribution, fusions):
    plugins = {"fusions": {"mean": "sonokit:Mean"}}
    for number, spelling in enumerate(("sono-kit", "sono_kit", "sono.kit")):
        fake_distribution(spelling, plugins, MEAN, folder=f"folder{number}")
    assert len(fusions.declarations("mean")) == 1


@pytest.mark.parametrize("finder", ["importlib.metadata", "importlib_metadata"])
def test_the_rest_of_a_half_removed_distribution_does_no_harm(finder, fake_distribution, fusions):
    pytest.importorskip(finder)  # The second takes the place of the first.
    folder = fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}})
    (info,) = folder.glob("*.dist-info")
    info.joinpath("METADATA").unlink()
    assert fusions.get("concat") is Concat


def test_an_unknown_name_offers_the_near_and_the_known(fusions):
    with pytest.raises(UnknownName) as caught:
        fusions.get("concta")
    assert str(caught.value) == (
        f"No fusion named 'concta'. Did you mean 'concat'? Known: {', '.join(fusions.names())}. "
        "Add --plugin FILE.py to load a plugin from a file."
    )
    with pytest.raises(UnknownName, match=r"^No fusion named 'qqqq'\. Known: concat, "):
        fusions.get("qqqq")


def test_an_unknown_family():
    with pytest.raises(UnknownName) as caught:
        registry("fusion")
    assert str(caught.value).startswith("No plugin family named 'fusion'. Did you mean 'fusions'? ")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
        ("class Other:\n    pass\n", "AttributeError: module 'sonokit' has no attribute 'Mean'"),
        ("def f(:\n", "SyntaxError: "),
    ],
)
def test_a_broken_import_names_the_reason(fake_distribution, fusions, source, reason):
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, {"sonokit.py": source})
    with pytest.raises(BrokenPlugin) as caught:
        fusions.get("mean")
    text = str(caught.value)
    start = "The fusion 'mean' of sonokit 1.0 cannot be imported from sonokit:Mean: "
    assert text.startswith(start + reason)
    assert text.endswith(". Fix or uninstall sonokit.")
    assert caught.value.__cause__ is not None
    assert fusions.get("concat") is Concat
    assert "mean" in fusions.names()


@pytest.mark.parametrize(
    ("missing", "project"),
    [
        ("qqq", "qqq"),
        ("skimage.gone_for_good", "scikit-image"),
        ("pywt.gone_for_good", "PyWavelets"),
    ],
)
def test_a_missing_library_comes_with_its_pip_line(fake_distribution, fusions, missing, project):
    files = {"sonokit.py": f"import {missing}\nclass Mean: ...\n"}
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, files)
    with pytest.raises(BrokenPlugin) as caught:
        fusions.get("mean")
    assert str(caught.value).endswith(f". Install what it needs: pip install {project}")


def test_a_missing_part_of_its_own_is_no_library(fake_distribution, fusions):
    files = {"sonokit/__init__.py": "import sonokit.gone\n"}
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, files)
    with pytest.raises(BrokenPlugin, match="Fix or uninstall sonokit"):
        fusions.get("mean")


def test_a_plugin_for_another_api_is_used_with_a_warning(fake_distribution, fusions, caplog):
    registry_module._warn_once.cache_clear()
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, MEAN, api=7)
    (declared,) = fusions.declarations("mean")
    assert declared.api == ("7",)
    assert fusions.load("mean").__name__ == "Mean"
    assert not caplog.messages  # Only looked at.
    assert fusions.get("mean").__name__ == fusions.get("mean").__name__ == "Mean"
    assert caplog.messages == [
        "warning: sonokit was written for version 7 of the plugin API, and this sm3kit has version "
        "1: it may not work. Upgrade sm3kit."
    ]


@pytest.mark.parametrize(("api", "said"), [(None, ()), (API_VERSION, (str(API_VERSION),))])
def test_a_plugin_for_this_api_or_that_says_none_is_no_mismatch(
    fake_distribution, fusions, api, said
):
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, MEAN, api=api)
    (declared,) = fusions.declarations("mean")
    assert (declared.api, declared.mismatch) == (said, "")


def test_an_older_plugin_is_to_be_upgraded():
    assert api_mismatch(("0",), "sonokit").endswith(". Upgrade sonokit.")
    assert api_mismatch(("0", str(API_VERSION)), "sonokit") == ""


def test_a_component_may_be_registered_for_a_session(fusions):
    @fusions.register("mean")
    class Mean:
        pass

    try:
        assert fusions.get("mean") is Mean
        (declared,) = fusions.declarations("mean")
        assert declared.origin == "this session"
        assert declared.target.endswith("<locals>.Mean")
        with pytest.raises(NameClash) as caught:
            fusions.register("mean")(Mean)
        assert str(caught.value).startswith(
            "The fusion name 'mean' is taken by this session (test_registry:"
        )
        assert str(caught.value).endswith("Choose another name.")
    finally:
        fusions.unregister("mean")
    assert "mean" not in fusions.names()
    fusions.unregister("mean")  # Twice does no harm: notebook cells run again.


def test_a_registration_does_not_hide_a_built_in(fusions):
    with pytest.raises(NameClash) as caught:
        fusions.register("concat")(object)
    assert str(caught.value).startswith("The fusion name 'concat' is taken by sm3kit ")
    assert fusions.get("concat") is Concat


def test_a_distribution_that_comes_after_a_registration_clashes(
    fake_distribution, registered, fusions
):
    registered("fusions", "mean", type("Mean", (), {}))
    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, MEAN)
    with pytest.raises(NameClash, match=r"claimed by sonokit 1\.0 .* and this session"):
        fusions.get("mean")


def test_a_damaged_table_of_one_distribution_hides_no_other(fake_distribution):
    home = fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}})
    table = next(home.glob("*.dist-info")) / "entry_points.txt"
    table.write_text("[sm3kit.fusions]\nno equals sign\n", encoding="utf-8")
    assert "sep_sep" in registry("fusions").names()
    assert "mean" not in registry("fusions").names()
