"""`sm3kit predict`: the probabilities of evaluate, of single images, of manifests and ensembles."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from sm3kit.cli.tables import show_predictions
from sm3kit.data.progress import open_console
from sm3kit.metrics.predictions import Predictions


def probabilities(record, label):
    return np.array([list(study["probabilities"][label].values()) for study in record["studies"]])


@pytest.fixture
def answered(sm3kit):
    """answered(*words) -> the record of a prediction that went well."""

    def answering(*words):
        result = sm3kit("predict", *words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return answering


class TestParity:
    @pytest.mark.parametrize("protocol", ["probe", "finetune"])
    def test_the_test_split_has_exactly_the_probabilities_of_evaluate(
        self, runs, answered, protocol
    ):
        record = answered(runs.both, "--split", "test", "--protocol", protocol)
        kept = Predictions.load(runs.both / "eval" / f"{protocol}-test.predictions.npz")
        assert [study["id"] for study in record["studies"]] == list(kept.ids)
        for name, label in kept.labels.items():
            assert record["labels"][name] == {
                "classes": list(label.classes),
                "reported": label.reported or None,
            }
            assert np.array_equal(probabilities(record, name), label.scores)

    def test_a_manifest_without_labels_gives_the_same(self, runs, drawn, answered, tmp_path):
        table = drawn.folder / "unlabelled.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "clinic", "derm"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(drawn.test)
        record = answered(runs.both, "--manifest", table)
        kept = Predictions.load(runs.both / "eval" / "probe-test.predictions.npz")
        assert [study["id"] for study in record["studies"]] == list(kept.ids)
        for name, label in kept.labels.items():
            assert np.array_equal(probabilities(record, name), label.scores)

    @pytest.mark.parametrize("row", ["whole", "partial"])
    def test_single_images_with_and_without_one_missing(self, runs, drawn, image, answered, row):
        study = getattr(drawn, row)
        there = [name for name in ("derm", "clinic") if study[name]]
        words = [f"--image={name}={image(study, name)}" for name in there]
        record = answered(runs.both, *words)
        kept = Predictions.load(runs.both / "eval" / "probe-test.predictions.npz")
        place = list(kept.ids).index(study["id"])
        assert record["studies"][0]["missing"] == [n for n in ("derm", "clinic") if not study[n]]
        for name, label in kept.labels.items():
            # One row is multiplied by other kernels than eight: the last bits differ.
            assert np.allclose(probabilities(record, name)[0], label.scores[place], atol=1e-6)

    def test_probabilities_sum_to_one_and_decide(self, runs, answered):
        for study in answered(runs.both, "--split", "val")["studies"]:
            for name, row in study["probabilities"].items():
                assert sum(row.values()) == pytest.approx(1, abs=1e-12)
                assert row[study["decisions"][name]] == max(row.values())

    def test_images_are_read_with_the_options_of_the_run(self, runs, drawn, sm3kit, answered):
        words = ["--epochs", "1", "--select", "last", "--feature-views", "1"]
        words += ["-o", "evaluate.resamples=10", "-o", "photo.border=6", "--label", "cut"]
        assert sm3kit("evaluate", runs.derm, *words).exit_code == 0
        path = drawn.folder / drawn.whole["derm"]
        cut = drawn.folder / "cut.png"
        with Image.open(path) as whole:
            whole.crop((6, 6, 26, 26)).save(cut)
            framed = Image.new("RGB", (32, 32), (255, 0, 0))
            framed.paste(whole.crop((6, 6, 26, 26)), (6, 6))
            framed.save(drawn.folder / "framed.png")
        of_cut = ["--classifier", "cut", "--image"]
        plain = answered(runs.derm, *of_cut, f"derm={path}")
        framed = answered(runs.derm, *of_cut, f"derm={drawn.folder / 'framed.png'}")
        # The border is cut away: what colour it has changes nothing but JPEG's rounding.
        assert np.allclose(probabilities(plain, "DIAG"), probabilities(framed, "DIAG"), atol=1e-9)


class TestEnsemble:
    def test_it_is_the_mean_by_hand(self, runs, answered):
        both = answered(runs.both, "--split", "test")
        derm = answered(runs.derm, "--split", "test")
        record = answered("--run", runs.both, "--run", runs.derm, "--split", "test")
        assert [one["run"] for one in record["classifiers"]] == [str(runs.both), str(runs.derm)]
        for name in record["labels"]:
            mean = (probabilities(both, name) + probabilities(derm, name)) / 2
            assert np.allclose(probabilities(record, name), mean, atol=1e-15)
            assert not np.allclose(probabilities(both, name), probabilities(derm, name))
        assert all(study["runs"] == [0, 1] for study in record["studies"])

    def test_a_run_that_knows_no_image_of_a_study_has_no_say(self, runs, drawn, image, answered):
        words = ["--image", f"clinic={image(drawn.whole, 'clinic')}"]
        record = answered(runs.both, "--run", runs.derm, *words)
        alone = answered(runs.both, *words)
        assert record["studies"][0]["runs"] == [0]
        assert record["studies"][0]["probabilities"] == alone["studies"][0]["probabilities"]

    def test_other_labels_are_refused(self, runs, drawn, sm3kit, one_line):
        shutil.rmtree(runs.derm / "eval")
        words = ["--epochs", "1", "--select", "last", "-o", "evaluate.resamples=10"]
        words += ["-o", "manifest.labels=PN,VS", "-o", "manifest.reported=PN:TYP"]
        assert sm3kit("evaluate", runs.derm, *words).exit_code == 0
        result = sm3kit("predict", runs.both, "--run", runs.derm, "--split", "test")
        one_line(result, f"{runs.both} has DIAG, which {runs.derm} does not")

    def test_a_run_twice(self, runs, sm3kit, one_line):
        one_line(sm3kit("predict", runs.both, "--run", runs.both, "--split", "test"), "twice")


class TestUnreadable:
    @pytest.fixture
    def table(self, drawn, tmp_path):
        """Six rows, of which one is damaged, one is not there, and one has no image."""
        (tmp_path / "damaged.jpg").write_bytes(b"no image")
        with (tmp_path / "new.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "derm", "clinic"])
            for number, row in enumerate(drawn.test[:3]):
                paths = [
                    drawn.folder / row[name] if row[name] else "" for name in ("derm", "clinic")
                ]
                writer.writerow([f"good{number}", *paths])
            writer.writerow(["bad", "damaged.jpg", drawn.folder / drawn.whole["clinic"]])
            writer.writerow(["gone", "", "nowhere.png"])
            writer.writerow(["blank", "", ""])
        return tmp_path / "new.csv"

    def test_the_others_are_predicted(self, runs, table, sm3kit, tmp_path):
        out = tmp_path / "found.csv"
        result = sm3kit("predict", runs.both, "--manifest", table, "--json", "--csv", out)
        assert result.exit_code == 1
        record = json.loads(result.stdout)
        assert [study["id"] for study in record["studies"]] == ["good0", "good1", "good2"]
        faults = {one["id"]: one["error"] for one in record["unreadable"]}
        assert set(faults) == {"bad", "gone", "blank"}
        assert "Cannot read the image" in faults["bad"]
        assert "There is no image" in faults["gone"]
        assert faults["blank"] == "It has no image of derm, clinic."
        assert "3 of 6 studies could not be read" in result.stderr
        with out.open(newline="", encoding="utf-8") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}
        assert len(rows) == 6
        assert rows["bad"]["DIAG"] == "" and "Cannot read" in rows["bad"]["error"]
        study = record["studies"][0]
        assert float(rows["good0"]["DIAG:MEL"]) == study["probabilities"]["DIAG"]["MEL"]
        assert rows["good0"]["DIAG"] == study["decisions"]["DIAG"]
        assert int(rows["good0"]["seven_point"]) == study["seven_point"]["score"]

    def test_a_damaged_study_changes_nothing_for_the_others(self, runs, table, sm3kit):
        record = json.loads(sm3kit("predict", runs.both, "--manifest", table, "--json").stdout)
        kept = Predictions.load(runs.both / "eval" / "probe-test.predictions.npz")
        scores = kept.labels["DIAG"].scores[:3]
        assert np.allclose(probabilities(record, "DIAG"), scores, atol=1e-6)

    def test_alone_it_is_an_error_in_one_line(self, runs, tmp_path, sm3kit):
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"")
        result = sm3kit("predict", runs.both, "--image", f"derm={bad}")
        assert result.exit_code == 1
        assert f"left out bad: The image {bad} is empty (0 bytes)." in result.stdout

    def test_wrong_channels(self, runs, tmp_path, sm3kit):
        path = tmp_path / "five.npy"
        np.save(path, np.zeros((5, 32, 32), np.uint8))
        result = sm3kit("predict", runs.both, "--image", f"derm={path}")
        assert result.exit_code == 1
        assert "should have 3 channels, but has 5" in result.stdout


class TestMistakes:
    def test_no_classifier(self, runs, sm3kit, one_line):
        result = sm3kit("predict", runs.bare, "--split", "test")
        command = f"sm3kit evaluate {runs.bare} --protocol probe"
        one_line(result, f"{runs.bare} has no classifier yet. Train one: {command}")

    def test_no_classifier_of_this_kind(self, runs, sm3kit, one_line):
        words = ["--protocol", "finetune", "--select", "val_best"]
        result = sm3kit("predict", runs.derm, "--split", "test", *words)
        command = f"sm3kit evaluate {runs.derm} --protocol finetune"
        one_line(result, "there are probe-test", f"Train one: {command}")

    def test_an_unknown_classifier(self, runs, sm3kit, one_line):
        result = sm3kit("predict", runs.both, "--split", "test", "--classifier", "probe-tset")
        one_line(result, "Did you mean 'probe-test'?")

    def test_a_classifier_of_other_networks(self, runs, sm3kit, one_line):
        shutil.copy(runs.both / "eval" / "probe-test.safetensors", runs.derm / "eval")
        result = sm3kit("predict", runs.derm, "--split", "test")
        one_line(result, "was trained on other networks", f"sm3kit evaluate {runs.derm}")

    def test_a_damaged_classifier(self, runs, sm3kit, one_line):
        (runs.derm / "eval" / "probe-test.safetensors").write_bytes(b"no weights")
        result = sm3kit("predict", runs.derm, "--split", "test")
        one_line(result, "cannot be used", f"sm3kit evaluate {runs.derm}")

    def test_a_classifier_without_facts(self, runs, sm3kit, one_line):
        from safetensors.torch import load_file, save_file

        path = runs.derm / "eval" / "probe-test.safetensors"
        save_file(load_file(path), path, metadata={"format": "pt", "scope": "heads"})
        result = sm3kit("predict", runs.derm, "--split", "test")
        one_line(result, "does not say how its images are read", "Make it again: sm3kit evaluate")

    def test_an_unknown_modality(self, runs, drawn, image, sm3kit, one_line):
        result = sm3kit("predict", runs.both, "--image", f"dermo={image(drawn.whole, 'derm')}")
        one_line(result, "No modality named 'dermo'. Did you mean 'derm'? Known: clinic, derm.")

    def test_a_manifest_without_a_known_modality(self, runs, drawn, tmp_path, sm3kit, one_line):
        table = tmp_path / "other.csv"
        table.write_text(f"id,fundus\none,{drawn.folder / drawn.whole['derm']}\n", "utf-8")
        result = sm3kit("predict", runs.both, "--manifest", table)
        one_line(result, "has the modalities fundus", "the classifier needs derm, clinic", "--map")
        assert (
            sm3kit("predict", runs.both, "--manifest", table, "--map", "derm=fundus").exit_code == 0
        )

    def test_an_option_of_something_else(self, runs, sm3kit, one_line):
        result = sm3kit("predict", runs.both, "--split", "test", "-o", "photo.border=3")
        one_line(result, "Option -o photo.…", "Known: manifest.")

    @pytest.mark.parametrize(
        "words",
        [
            [],
            ["--image", "derm"],
            ["--image", "derm=a.jpg", "--image", "derm=b.jpg"],
            ["--image", "derm=a.jpg", "--manifest", "b.csv"],
            ["--image", "derm=a.jpg", "--split", "test"],
            ["--split", "test", "--label", "DIAG"],
            ["--split", "all"],
        ],
    )
    def test_a_wrong_command_line(self, runs, sm3kit, words):
        result = sm3kit("predict", runs.both, *words)
        assert result.exit_code == 2
        assert result.stdout == ""

    def test_no_run(self, sm3kit):
        assert sm3kit("predict", "--split", "test").exit_code == 2


class TestShown:
    def test_json_is_one_document_on_stdout_and_people_read_stderr(self, runs, sm3kit):
        result = sm3kit("predict", runs.both, "--split", "test", "--json")
        record = json.loads(result.stdout)
        assert "no medical device" in record["statement"]
        assert "no medical device" in result.stderr
        assert record["versions"]["sm3kit"]

    def test_without_json_people_read_stdout(self, runs, drawn, image, sm3kit):
        result = sm3kit("predict", runs.both, "--image", f"derm={image(drawn.whole, 'derm')}")
        assert result.stderr == ""
        assert "missing  clinic: predicted without it" in result.stdout
        assert "no medical device" in result.stdout.splitlines()[-1]

    @pytest.mark.parametrize("words", [["--split", "test"], ["--image"]])
    def test_sixty_columns_suffice(self, runs, drawn, image, answered, words):
        if words == ["--image"]:
            words = ["--image", f"derm={image(drawn.whole, 'derm')}"]
        record = answered(runs.both, *words)
        for study in record["studies"]:
            study["images"] = {"derm": "a.jpg"}
        out = io.StringIO()
        show_predictions(
            record, open_console(file=out, width=60, force_terminal=True, color_system=None)
        )
        lines = out.getvalue().splitlines()
        assert max(cell_len(line) for line in lines) <= 60
        for name in record["labels"]:
            assert any(name in line for line in lines)

    def test_more_labels_than_columns_are_counted(self, runs, answered):
        record = answered(runs.both, "--split", "test")
        out = io.StringIO()
        show_predictions(
            record, open_console(file=out, width=40, force_terminal=True, color_system=None)
        )
        assert "more labels: see --csv" in out.getvalue()
        # Labels go before ids are folded.
        for study in record["studies"]:
            assert study["id"] in out.getvalue()

    def test_a_leaky_classifier_is_marked(self, runs, sm3kit, answered):
        words = ["--epochs", "1", "--select", "test_best", "-o", "evaluate.resamples=10"]
        assert sm3kit("evaluate", runs.derm, *words).exit_code == 0
        honest = answered(runs.derm, "--split", "test")
        assert honest["classifiers"][0]["leaky"] is False
        assert not any("optimistically biased" in note for note in honest["notes"])
        record = answered(runs.derm, "--split", "test", "--select", "test_best")
        assert record["classifiers"][0]["leaky"] is True
        assert "optimistically biased" in record["notes"][-1]
