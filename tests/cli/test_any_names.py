"""Modalities and labels of a user's table may have any name, through every command."""

import csv
import html
import json

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from sm3kit.cli.main import cli
from sm3kit.cli.settings import parsed_options

MODALITIES = ["type", "img.derm", "present", 'a "b"/ç']
LABELS = ["train", "a.b", "missing", "a b", "a/b"]
SMALL = [
    *(
        "--backbone",
        "timm/test_resnet",
        "--weights",
        "none",
        "--image-size",
        "32",
        "--workers",
        "0",
    ),
    *("--epochs", "1", "--mlssl-epochs", "1", "--batch-size", "8", "--quiet"),
]


def sm3kit(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")


def done(*words):
    result = sm3kit(*words)
    assert result.exit_code == 0, result.output
    return result


def write_table(folder, modalities, labels, studies=24):
    """A table of noise with a path per modality, and labels that go round."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "split", *modalities, *labels])
        for study in range(studies):
            paths = [f"{study}-{place}.png" for place in range(len(modalities))]
            for path in paths:
                pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / path)
            classes = [f"c{(study // 4 + place) % 2}" for place in range(len(labels))]
            split = ("train", "train", "val", "test")[study % 4]
            table.writerow([study, split, *paths, *classes])
    return f"manifest:{folder / 'table.csv'}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two stages with a probe, on names that torch refuses."""
    folder = tmp_path_factory.mktemp("names")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(folder / "cache"))
        spec = write_table(folder / "data", MODALITIES, LABELS)
        options = ("-o", "img.derm.flip=0.25", "-o", "crossmodal.anchor=img.derm")
        sizes = ("--image-size", "img.derm=48", "--objective", "byol")
        done("pretrain", "--data", spec, *SMALL, *options, *sizes, "--out", folder / "run")
        done(
            "evaluate",
            folder / "run",
            "-o",
            "evaluate.epochs=1",
            "-o",
            "evaluate.resamples=20",
            "--quiet",
        )
    return folder / "run"


def test_settings_of_one_modality_reach_it(run):
    record = yaml.safe_load((run / "variant.yaml").read_text(encoding="utf-8"))
    assert record["per_modality"] == {"img.derm": {"image_size": 48}}
    assert float(record["options"]["img.derm"]["flip"]) == 0.25


def test_pairs_are_matched_by_name(run):
    record = json.loads(done("evaluate", run, "--protocol", "match", "--json").stdout)
    assert 'type->a "b"/ç' in record["space"]["projection"]
    assert "img.derm->type" in record["space"]["projection"]


def test_embeddings_are_called_by_name(run, tmp_path):
    out = tmp_path / "found.npz"
    done("embed", run, "--split", "test", "--space", "backbone", "--out", out)
    with np.load(out, allow_pickle=False) as found:
        assert {f"backbone/{name}" for name in MODALITIES} <= set(found.files)
        assert {f"label/{name}" for name in LABELS} <= set(found.files)


def test_predictions_have_a_column_of_their_own_for_each_label(run, tmp_path):
    """The table has a column `missing` of its own."""
    out = tmp_path / "found.csv"
    done("predict", run, "--split", "test", "--csv", out)
    with out.open(newline="", encoding="utf-8") as file:
        heads, first, *_ = csv.reader(file)
    assert len(set(heads)) == len(heads) == len(first)
    row = dict(zip(heads, first, strict=True))
    assert row["missing"] == "" and row["missing_"] in ("c0", "c1")
    assert float(row["missing:c0"]) + float(row["missing:c1"]) == pytest.approx(1)


def test_single_images_are_given_by_name(run):
    folder = run.parent / "data"
    images = [f"img.derm={folder / '3-1.png'}", f"type={folder / '3-0.png'}"]
    record = json.loads(
        done("predict", run, "--image", images[0], "--image", images[1], "--json").stdout
    )
    assert record["studies"][0]["missing"] == MODALITIES[2:]


@pytest.mark.slow
def test_figures_of_labels_with_like_names_do_not_take_each_others_files(run):
    done("report", run, "--figures")
    names = {path.name for path in (run / "figures").glob("confusion-*.svg")}
    assert {"confusion-a-b.svg", "confusion-a-b-2.svg", "confusion-a.b.svg"} <= names
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'a "b"/ç' not in page and 'a "b"/ç' in html.unescape(page)


def test_exports_load_by_what_their_card_says(run, tmp_path):
    done("export", run, "--format", "safetensors", "--out", tmp_path / "weights")
    card = (tmp_path / "weights" / "README.md").read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    found = {}
    exec(code, found)
    assert "conv1.0.weight" in found["state"]
    done("export", run, "--format", "timm", "--modality", "img.derm", "--out", tmp_path / "timm")


@pytest.mark.slow
def test_an_onnx_graph_has_a_name_for_each_input_and_output(run, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done("export", run, "--format", "onnx", "--out", tmp_path / "graph")
    session = runtime.InferenceSession(str(tmp_path / "graph" / "model.onnx"))
    assert [one.name for one in session.get_inputs()] == [
        "type", "img.derm", "present_", 'a "b"/ç', "present",
    ]  # fmt: skip
    assert [one.name for one in session.get_outputs()] == LABELS
    card = (tmp_path / "graph" / "README.md").read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    found = {}
    exec(code, found)
    assert set(found["probabilities"]) == set(LABELS)


@pytest.mark.parametrize(
    ("text", "owner", "option", "value"),
    [
        ("simclr.temperature=0.2", "simclr", "temperature", "0.2"),
        ("img.derm.flip=0.2", "img.derm", "flip", "0.2"),
        ("x=y.flip=0.2", "x=y", "flip", "0.2"),
        ("manifest.classes=DIAG:a.b=c|d", "manifest", "classes", "DIAG:a.b=c|d"),
        ("a b/c.flip=", "a b/c", "flip", ""),
    ],
)
def test_an_option_stands_behind_the_last_dot_of_its_name(text, owner, option, value):
    assert parsed_options([text]) == {owner: {option: value}}


@pytest.mark.parametrize("text", ["simclr", "simclr=1", "simclr.=1", ".flip=1", "a.b"])
def test_an_option_without_an_owner_is_refused(text):
    result = sm3kit("pretrain", "-o", text)
    assert result.exit_code == 1
    wanted = "such as simclr.temperature=0.2"
    assert result.stderr == f"Error: -o needs PLUGIN.OPTION=VALUE, {wanted}, not {text!r}.\n"


def test_a_modality_called_as_a_plugin_is_refused_with_a_way_out(tmp_path):
    spec = write_table(tmp_path / "data", ["timm", "derm"], ["DIAG"], studies=8)
    result = sm3kit("pretrain", "--data", spec, *SMALL, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: The modality 'timm' has the name of the backbone 'timm', and -o timm.… would be ambiguous. "
        "Rename it: --map timm-image=timm"
    )
    assert not (tmp_path / "run" / "variant.yaml").exists()
