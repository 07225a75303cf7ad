"""`sm3kit export`: folders that timm, safetensors and onnxruntime read."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.files import whole_folder
from sm3kit.deployment.export import LISTING, export, keep_unlisted, write_listing
from sm3kit.deployment.timm_folder import mean_and_deviation, write_timm
from sm3kit.modalities.photo import Photo
from sm3kit.runs.folder import RunFolder


class TestTimm:
    def test_a_file_goes_through_timm_alone_to_the_same_features(
        self, runs, drawn, image, sm3kit, tmp_path
    ):
        out, features = tmp_path / "backbone", tmp_path / "features.npz"
        words = ["export", runs.both, "--format", "timm", "--modality", "derm", "--out", out]
        result = sm3kit(*words)
        assert result.exit_code == 0, result.output
        assert sm3kit("embed", runs.both, "--space", "backbone", "--out", features).exit_code == 0
        model = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=0).eval()
        seen = timm.data.resolve_model_data_config(model)
        assert seen["input_size"] == (3, 32, 32)
        transform = timm.data.create_transform(**seen, is_training=False)
        with Image.open(image(drawn.whole, "derm")) as picture, torch.inference_mode():
            found = model(transform(picture.convert("RGB")).unsqueeze(0))[0].numpy()
        with np.load(features, allow_pickle=False) as file:
            wanted = file["backbone/derm"][list(file["ids"]).index(drawn.whole["id"])]
        assert np.abs(found - wanted).max() < 1e-5

    @pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
    @pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
    def test_any_number_of_channels(self, channels, name, tmp_path):
        torch.manual_seed(0)
        backbone = Timm(name, channels).eval()
        size = 160 if name == "test_vit" else 32
        modality = Photo(size, channels=channels)
        write_timm(backbone, name, "derm", modality, tmp_path)
        model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=0).eval()
        seen = timm.data.resolve_model_data_config(model)
        assert seen["input_size"] == (channels, size, size)
        raw = torch.rand(2, channels, size, size)
        mean, deviation = (torch.tensor(seen[one]).view(1, -1, 1, 1) for one in ("mean", "std"))
        with torch.inference_mode():
            found = model((raw - mean) / deviation)
            wanted = backbone(modality.normalise(raw))
        assert (found - wanted).abs().max() < 1e-5

    def test_with_a_classifier_of_its_own(self, runs, sm3kit, tmp_path):
        words = ["--format", "timm", "--out", tmp_path / "out"]
        assert sm3kit("export", runs.derm, *words).exit_code == 0
        model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=5)
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)

    def test_fine_tuned_weights_only_if_asked_for(self, runs, sm3kit, tmp_path):
        words = ["export", runs.both, "--format", "timm", "--modality", "derm"]
        assert sm3kit(*words, "--out", tmp_path / "plain").exit_code == 0
        assert sm3kit(*words, "--protocol", "finetune", "--out", tmp_path / "tuned").exit_code == 0
        trained = RunFolder(runs.both).trained()
        start = "backbones.derm.model."
        plain, tuned = (load_file(tmp_path / n / "model.safetensors") for n in ("plain", "tuned"))
        assert all(torch.equal(plain[n], w) for n, w in trained.of(start[:-1]).items())
        kept = load_file(runs.both / "eval" / "finetune-test.safetensors")
        assert all(torch.equal(w, kept[f"extractor.{start}{n}"]) for n, w in tuned.items())
        assert any(not torch.equal(plain[n], w) for n, w in tuned.items())

    def test_without_a_classifier_the_data_say_how_images_are_seen(self, runs, sm3kit, tmp_path):
        words = ["--format", "timm", "--out", tmp_path / "out"]
        assert sm3kit("export", runs.bare, *words).exit_code == 0
        config = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
        assert config["pretrained_cfg"]["mean"] == pytest.approx([0.7833, 0.6712, 0.6026])
        assert "Not evaluated." in (tmp_path / "out" / "README.md").read_text("utf-8")

    def test_mean_and_deviation_come_from_what_normalise_does(self):
        modality = Photo(8, channels=2, mean=(0.25, 0.5), std=(0.5, 2.0))
        mean, deviation = mean_and_deviation("ct", modality)
        assert mean == pytest.approx([0.25, 0.5])
        assert deviation == pytest.approx([0.5, 2.0])

    def test_what_timm_cannot_normalise_is_refused(self):
        class Squared(Photo):
            def normalise(self, views):
                return views.float() ** 2

        with pytest.raises(VariantError, match="Use --format onnx"):
            mean_and_deviation("ct", Squared(8))

    def test_another_backbone_is_refused(self, tmp_path):
        class Mean(torch.nn.Module):
            width = 3

        with pytest.raises(VariantError, match="needs a timm backbone, and that of ct"):
            write_timm(Mean(), "mean", "ct", Photo(8), tmp_path)

    def test_which_modality(self, runs, sm3kit, one_line, tmp_path):
        words = ["export", runs.both, "--format", "timm", "--out", tmp_path / "out"]
        one_line(sm3kit(*words), "the run has derm, clinic. Give --modality NAME.")
        one_line(sm3kit(*words, "--modality", "derms"), "Did you mean 'derm'?")
        assert not (tmp_path / "out").exists()


class TestSafetensors:
    def test_all_weights_of_the_run_and_of_its_classifier(self, runs, sm3kit, tmp_path):
        out = tmp_path / "out"
        assert sm3kit("export", runs.both, "--format", "safetensors", "--out", out).exit_code == 0
        trained = RunFolder(runs.both).trained()
        weights = load_file(out / "model.safetensors")
        assert set(weights) == set(trained.weights)
        assert all(torch.equal(weights[name], value) for name, value in trained.weights.items())
        assert (
            set(load_file(out / "classifier.safetensors"))
            == set(load_file(runs.both / "eval" / "probe-test.safetensors"))
        )  # fmt: skip
        card = (out / "README.md").read_text("utf-8")
        for part in ("backbones.MODALITY.", "fusion.", "relation.", "prototypes."):
            assert f"- `{part}`" in card
        assert "DIAG (BCC, MEL, MISC, NEV, SK)" in card

    def test_the_lines_of_the_card_run(self, runs, sm3kit, tmp_path):
        out = tmp_path / "out"
        assert sm3kit("export", runs.both, "--format", "safetensors", "--out", out).exit_code == 0
        names = run_card(out)
        backbone = Timm("test_resnet", 3).model
        backbone.load_state_dict(names["state"])


def run_card(out, **names):
    """What the Python lines of a model card define."""
    card = (out / "README.md").read_text("utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    assert 3 <= len(code.strip().splitlines()) <= 5
    exec(code, names)
    return names


@pytest.fixture(scope="module", params=["probe", "finetune"])
def graph(request, trained_runs, tmp_path_factory):
    """(folder of the graph, protocol)."""
    out = tmp_path_factory.mktemp("onnx") / request.param
    export(RunFolder(trained_runs / "both").trained(), "onnx", out, protocol=request.param)
    return out, request.param


@pytest.mark.slow
class TestOnnx:
    def test_the_graph_says_what_it_is(self, graph):
        folder, _ = graph
        model = onnx.load(folder / "model.onnx")
        onnx.checker.check_model(model)
        facts = {one.key: json.loads(one.value) for one in model.metadata_props}
        assert "no medical device" in facts["statement"]
        assert facts["outputs"]["PN"] == ["ABS", "ATP", "TYP"]
        assert facts["inputs"]["derm"] == {"shape": ["batch", 3, 32, 32], "type": "uint8"}
        assert facts["inputs"]["present"]["order"] == ["derm", "clinic"]

    def test_the_lines_of_the_card_run(self, graph):
        probabilities = run_card(graph[0])["probabilities"]
        assert probabilities["DIAG"].shape == (1, 5)
        assert probabilities["DIAG"].sum() == pytest.approx(1, abs=1e-5)

    def test_no_classifier(self, runs, sm3kit, one_line, tmp_path):
        result = sm3kit("export", runs.bare, "--format", "onnx", "--out", tmp_path / "out")
        one_line(result, "has no classifier yet. Train one: sm3kit evaluate")
        assert not (tmp_path / "out").exists()

    def test_without_onnxscript_the_answer_says_what_to_install(
        self, runs, sm3kit, one_line, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        result = sm3kit("export", runs.both, "--format", "onnx", "--out", tmp_path / "out")
        one_line(result, "needs onnxscript", "pip install 'sm3kit[onnx]'")
        assert not (tmp_path / "out").exists()


class TestCard:
    def test_it_tells_data_recipe_metrics_and_terms(self, runs, sm3kit, tmp_path):
        out = tmp_path / "out"
        assert sm3kit("export", runs.both, "--format", "timm", "--modality", "derm", "--out", out)
        card = (out / "README.md").read_text("utf-8")
        record = json.loads((runs.both / "eval" / "probe-test.json").read_text("utf-8"))
        row = record["labels"]["DIAG"]
        # Too few studies for an interval.
        assert row["intervals"]["auc"] == [None, None]
        assert f"| DIAG | NEV | {100 * row['auc']:.1f} |" in card
        for words in (
            "no medical device",
            "objective simclr, fusion sep_sep, relation tel",
            "Selection: the last epoch; nothing was selected (epoch 2).",
            "Apache-2.0",
            "The terms of these data govern",
            f"`{record['of']['model']}`",
        ):
            assert words in card

    def test_the_lines_of_the_timm_card_run(self, runs, drawn, image, sm3kit, tmp_path):
        out = tmp_path / "out"
        assert sm3kit("export", runs.derm, "--format", "timm", "--out", out).exit_code == 0
        with Image.open(image(drawn.whole, "derm")) as picture:
            names = run_card(out, image=picture)
        assert names["features"].shape[0] == 1


class TestFolder:
    def test_what_is_there_stays_without_force(self, runs, sm3kit, one_line, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "mine.txt").write_text("keep me", "utf-8")
        words = ["export", runs.derm, "--format", "timm", "--out", out]
        one_line(sm3kit(*words), "is not empty", "--force")
        assert [file.name for file in out.iterdir()] == ["mine.txt"]

    def test_force_replaces_an_export_and_takes_nothing_else_away(self, runs, sm3kit, tmp_path):
        out = tmp_path / "out"
        words = ["export", runs.derm, "--out", out, "--force", "--format"]
        assert sm3kit(*words, "timm").exit_code == 0
        (out / "mine.txt").write_text("keep me", "utf-8")
        assert sm3kit(*words, "safetensors").exit_code == 0
        names = {"README.md", "classifier.safetensors", "model.safetensors", LISTING}
        assert {file.name for file in out.iterdir()} == names | {"mine.txt"}
        assert (out / "mine.txt").read_text("utf-8") == "keep me"
        assert set(json.loads((out / LISTING).read_text("utf-8"))["files"]) == names
        assert [file.name for file in tmp_path.glob(".out*")] == []

    def test_an_empty_folder_is_free(self, runs, sm3kit, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        assert sm3kit("export", runs.derm, "--format", "timm", "--out", out).exit_code == 0

    def test_a_failure_leaves_everything_as_it_was(self, tmp_path):
        out = tmp_path / "out"
        with whole_folder(out) as folder:
            (folder / "a.txt").write_text("first", "utf-8")
            write_listing(folder, {})
        with pytest.raises(RuntimeError), whole_folder(out, keep_unlisted) as folder:
            (folder / "a.txt").write_text("second", "utf-8")
            raise RuntimeError
        assert (out / "a.txt").read_text("utf-8") == "first"
        assert [file.name for file in tmp_path.iterdir()] == ["out"]

    def test_a_closed_place_is_one_line(self, tmp_path):
        (tmp_path / "file").write_text("", "utf-8")
        with pytest.raises(SM3Error, match="Cannot write"), whole_folder(tmp_path / "file" / "out"):
            pass

    def test_a_file_is_no_folder(self, runs, sm3kit, one_line, tmp_path):
        (tmp_path / "out").write_text("", "utf-8")
        words = ["--format", "timm", "--out", tmp_path / "out", "--force"]
        one_line(sm3kit("export", runs.derm, *words), "is a file, not a folder")

    def test_the_run_is_never_written_over(self, runs, sm3kit, one_line):
        before = sorted(file.name for file in runs.derm.iterdir())
        for out in (runs.derm, runs.derm.parent):
            words = ["--format", "timm", "--out", out, "--force"]
            one_line(sm3kit("export", runs.derm, *words), "holds the run itself")
        assert sorted(file.name for file in runs.derm.iterdir()) == before

    def test_others_may_read_what_the_owner_may(self, runs, sm3kit, tmp_path):
        out = tmp_path / "out"
        assert sm3kit("export", runs.derm, "--format", "timm", "--out", out).exit_code == 0
        assert len({file.stat().st_mode for file in out.iterdir()}) == 1


@pytest.mark.slow
def test_networks_of_modalities_without_images_are_written_too(runs, drawn, sm3kit, tmp_path):
    """A classifier that learned from one modality of two: the other is no input."""
    table = drawn.folder / "derm-only.csv"
    lines = [f"{row['id']},{row['split']},{row['derm']},{row['DIAG']}" for row in drawn.rows]
    table.write_text("\n".join(["id,split,derm,DIAG", *lines]) + "\n", "utf-8")
    words = ["--data", f"manifest:{table}", "--epochs", "1", "--select", "last"]
    words += ["--feature-views", "1", "-o", "evaluate.resamples=10", "-o", "manifest.reported="]
    result = sm3kit("evaluate", runs.both, *words)
    assert result.exit_code == 0, result.output
    (file,) = (runs.both / "eval").glob("probe-test-manifest-*.safetensors")
    out = tmp_path / "out"
    words = ["--format", "onnx", "--classifier", file.stem, "--out", out]
    result = sm3kit("export", runs.both, *words)
    assert result.exit_code == 0, result.output
    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert [one.name for one in session.get_inputs()] == ["derm", "present"]
    assert set(RunFolder(runs.both).trained().branches({}).backbones) == {"derm", "clinic"}
