"""`sm3kit plugins check` finds what is wrong with a plugin, law by law."""

import json

import numpy as np
import pytest
from PIL import Image

from sm3kit.core.registry import registry

GOOD = '''
"""A fusion."""

from torch import nn

from sm3kit.api import Fusion, NamedModules


class Own(Fusion):
    """One linear layer per modality.

    Source: nobody.
    """

    def __init__(self, widths, *, projection: int = 8) -> None:
        super().__init__(widths)
        layers = {name: nn.Linear(width, projection) for name, width in widths.items()}
        self.layers = NamedModules(layers)

    def forward(self, features, present):
        return {name: [self.layers[name](one) for one in features[name]] for name in self.widths}
'''


@pytest.fixture
def checked(fake_distribution, sm3kit_command):
    """checked(source, *words, family=..., ...) -> (exit code, {law: verdict})."""

    def check(source, *words, family="fusions", name="own", api=1):
        fake_distribution(
            "sonokit", {family: {name: "sonokit:Own"}}, {"sonokit.py": source}, api=api
        )
        done = sm3kit_command("plugins", "check", name, "--json", *words)
        assert done.stdout, done.output
        (record,) = json.loads(done.stdout)
        assert record["ok"] == (done.exit_code == 0)
        return done.exit_code, {one["law"]: one for one in record["laws"]}

    return check


def failed(laws):
    return {name: one["sentence"] for name, one in laws.items() if one["outcome"] == "FAILED"}


def test_a_good_plugin_passes_every_law(checked):
    code, laws = checked(GOOD)
    assert code == 0
    assert {one["outcome"] for one in laws.values()} == {"ok"}
    general = {"name", "discovery", "import", "API version", "source", "docstring", "options"}
    contract = {"streams", "gradient", "batch order", "seed", "state", "missing images", "input"}
    assert general | contract <= set(laws)


@pytest.mark.parametrize(
    ("before", "after", "law", "said"),
    [
        ("Source: nobody.", "", "source", 'It has no line "Source: authors, year, link"'),
        (
            "projection: int = 8",
            "projection=8",
            "options",
            "It has no type for option 'projection'",
        ),
        (
            "projection: int = 8",
            "projection: int",
            "options",
            "has no default for option 'projection'",
        ),
        (
            "*, projection: int = 8",
            "projection: int = 8",
            "keywords",
            "It takes 'projection' by position, which makes it no option: put a * before it in",
        ),
        ("(one) for one", "(one)[1:] for one", "streams", "It loses rows of stream 'a'."),
        ("(one) for one", "(one.mul_(2)) for one", "input", "It changes its input in place."),
        ("(one) for one", "(one).detach() for one", "gradient", "nothing to learn from"),
        ("(one) for one", "(one - one.mean(0)) for one", "missing images", "absent rows change"),
        ("in features[name]] for", "in features[name][:1]] for", "streams", "loses a view"),
        ("(one) for one", "(one).view(7, 7) for one", "streams", "It raises RuntimeError: shape"),
    ],
)
def test_a_bad_plugin_is_told_in_one_sentence(checked, before, after, law, said):
    assert before in GOOD
    code, laws = checked(GOOD.replace(before, after))
    assert code == 1
    assert said in failed(laws)[law]
    assert "\n" not in failed(laws)[law]


FORGOTTEN = "It sets no `widths` in its __init__ (in sonokit.py, line 15); call super().__init__("
NEVER = (
    "It raises AttributeError: cannot assign module before Module.__init__() call (in sonokit.py"
)


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("nn.Module.__init__(self)", FORGOTTEN + "widths) there, before anything else."),
        ("pass", f"{NEVER}, line 18)"),
    ],
)
def test_a_fusion_that_forgets_the_init_of_its_base_names_the_line(checked, instead, said):
    code, laws = checked(GOOD.replace("super().__init__(widths)", instead))
    assert code == 1
    assert failed(laws) == {"builds": said}


def test_an_error_names_the_line_of_the_plugin(checked):
    _, laws = checked(GOOD.replace("(one) for one", "(one).view(7, 7) for one"))
    assert failed(laws)["streams"].endswith(" (in sonokit.py, line 21)")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise OSError('no licence')\n", "OSError: no licence. Fix or uninstall sonokit"),
        ("import cv9\n" + GOOD, "Install what it needs: pip install cv9"),
        ("import skimage.nothing\n" + GOOD, "Install what it needs: pip install scikit-image"),
        ("x = 1\n", "has no attribute 'Own'"),
    ],
)
def test_what_cannot_be_imported_stops_at_that(checked, source, said):
    code, laws = checked(source)
    assert code == 1
    assert said in failed(laws)["import"]
    assert "streams" not in laws
    assert laws["source"]["outcome"] == "not tried"


def test_a_taken_name(fake_distribution, sm3kit_command):
    fake_distribution("sonokit", {"fusions": {"concat": "sonokit:Own"}}, {"sonokit.py": GOOD})
    done = sm3kit_command("plugins", "check", "concat")
    assert done.exit_code == 1
    assert "It claims a name that sonokit 1.0 claims too." in done.output
    assert "It claims a name that sm3kit " in done.output


@pytest.mark.parametrize(
    ("api", "outcome", "said"),
    [
        (1, "ok", "It was written for this version"),
        (2, "FAILED", "It was written for version 2 of the plugin API, not 1."),
        (None, "not tried", "add to its entry points the group sm3kit.api with the line: 1 = so"),
    ],
)
def test_the_version_of_the_api(checked, api, outcome, said):
    _, laws = checked(GOOD, api=api)
    assert laws["API version"]["outcome"] == outcome
    assert said in laws["API version"]["sentence"]


def test_options_are_given_and_checked(checked, sm3kit_command):
    code, _ = checked(GOOD, "-o", "own.projection=4")
    assert code == 0
    done = sm3kit_command("plugins", "check", "own", "-o", "own.projektion=4")
    assert (done.exit_code, "Did you mean 'projection'?" in done.stderr) == (1, True)
    done = sm3kit_command("plugins", "check", "own", "-o", "concat.hidden=4")
    assert "No plugin to be checked named 'concat'" in done.stderr


def test_the_table_for_people(fake_distribution, sm3kit_command):
    source = GOOD.replace("Source: nobody.", "")
    fake_distribution("sonokit", {"fusions": {"own": "sonokit:Own"}}, {"sonokit.py": source}, api=1)
    lines = sm3kit_command("plugins", "check", "fusions/own").output.splitlines()
    assert lines[0] == "fusion own, sonokit 1.0 (sonokit:Own)"
    assert lines[-1].endswith(" ok, 1 FAILED, 0 not tried")
    (bad,) = [line for line in lines if " FAILED " in line and line is not lines[-1]]
    assert bad.split()[:2] == ["FAILED", "source"]


def test_modalities_and_data_sets_without_an_example_say_what_to_give(registered, sm3kit_command):
    plain = registry("modalities").get("photo")
    registered("modalities", "bare", type("Bare", (plain,), {"example": _none, "__doc__": "Bare."}))
    laws = _laws(sm3kit_command("plugins", "check", "bare", "--json"))
    assert laws["views"]["outcome"] == "not tried"
    assert laws["views"]["sentence"] == "it has no example(); give an image with --image FILE"
    plain = registry("datasets").get("manifest")
    registered("datasets", "table", type("T", (plain,), {"example": _none, "__doc__": "Bare."}))
    laws = _laws(sm3kit_command("plugins", "check", "table", "--json"))
    assert laws["splits"]["sentence"].endswith("give the text after the colon with --argument TEXT")


@classmethod
def _none(cls, folder):
    raise NotImplementedError


def _laws(done):
    (record,) = json.loads(done.stdout)
    return {one["law"]: one for one in record["laws"]}


def test_an_image_an_argument_and_a_model_may_be_given(sm3kit_command, tiny_studies, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    laws = _laws(
        sm3kit_command("plugins", "check", "photo", "--image", tmp_path / "one.png", "--json")
    )
    assert laws["paired geometry"]["outcome"] == "ok"
    assert laws["paired seed"]["outcome"] == "ok"
    table = tiny_studies(modalities=("a", "b", "c"), missing=0.5).partition(":")[2]
    words = ("plugins", "check", "datasets/manifest", "--argument", table, "--json")
    assert _laws(sm3kit_command(*words))["missing images"]["outcome"] == "ok"
    laws = _laws(sm3kit_command("plugins", "check", "timm", "--model", "test_vit", "--json"))
    assert laws["gradient"]["outcome"] == "ok"


def test_timm_is_tried_on_a_small_model(sm3kit_command):
    assert _laws(sm3kit_command("plugins", "check", "timm", "--json"))["shape"]["outcome"] == "ok"


def test_an_example_that_fails_is_a_fault(registered, sm3kit_command):
    def example(cls, folder):
        raise ValueError("no room")

    plain = registry("modalities").get("photo")
    changes = {"example": classmethod(example), "__doc__": "Bare."}
    registered("modalities", "bare", type("Bare", (plain,), changes))
    done = sm3kit_command("plugins", "check", "bare", "--json")
    assert done.exit_code == 1
    assert _laws(done)["example"]["sentence"] == "Its example() raises ValueError: no room"


def test_all_of_a_family(sm3kit_command):
    done = sm3kit_command("plugins", "check", "--all", "--family", "relations", "--json")
    records = json.loads(done.stdout)
    assert [one["name"] for one in records] == registry("relations").names()
    ours = [one for one in records if one["origin"].startswith("sm3kit ")]
    assert all(one["ok"] for one in ours)
    text = sm3kit_command("plugins", "check", "--all", "--family", "fusions").output
    assert f"{len(registry('fusions').names())} plugins, 0 failed: -" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "Give the name of a plugin, or --all."),
        (("concat", "--all"), 2, "Give the name of a plugin, or --all."),
        (("conct",), 1, "No plugin named 'conct'. Did you mean 'concat'?"),
        (("fusion/concat",), 1, "No plugin family named 'fusion'. Did you mean 'fusions'?"),
        (("relations/concat",), 1, "No plugin named 'concat'."),
    ],
)
def test_mistakes(sm3kit_command, words, code, said):
    done = sm3kit_command("plugins", "check", *words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
