"""Two runs side by side: paired differences, and work that is done is not done again."""

import dataclasses
import json
import shlex
import shutil

import pytest
from click.testing import CliRunner

from sm3kit.cli.main import cli
from sm3kit.core.errors import DataError, VariantError
from sm3kit.evaluation import comparison as module
from sm3kit.evaluation.comparison import compare_runs


@pytest.fixture
def comparing(opened, fast):
    """comparing(run, run, data=..., setting=value, ...) -> record"""

    def compare(first, second, *data, options=None, label="", **changes):
        settings = dataclasses.replace(fast, **changes)
        tasks = [(opened(run, *data, options=options), settings) for run in (first, second)]
        return compare_runs(*tasks, label=label)

    return compare


@pytest.fixture
def made(monkeypatch):
    """The names of the runs that were evaluated, not read."""
    names = []
    real = module.evaluate

    def watched(subject, settings, **more):
        names.append(subject.run.folder.name)
        return real(subject, settings, **more)

    monkeypatch.setattr(module, "evaluate", watched)
    return names


@pytest.mark.parametrize("protocol", ["probe", "knn"])
def test_a_run_is_no_better_than_itself(comparing, runs, protocol):
    record = comparing(runs.stage1, runs.stage1, protocol=protocol, split="train")
    for row in (record["mean"], *record["labels"].values()):
        assert row["auc"] == 0
        assert row["ci95"] == [0, 0]
        assert row["above_zero"]["auc"] == 0
    assert record["means"][0] == record["means"][1]


def test_two_runs(comparing, runs):
    record = comparing(runs.stage1, runs.stage2)
    assert record["runs"] == [str(runs.stage1), str(runs.stage2)]
    assert [of["stage"] for of in record["of"]] == ["mmssl", "mlssl"]
    for place, run in enumerate((runs.stage1, runs.stage2)):
        alone = json.loads((run / "eval" / "probe-test.json").read_text("utf-8"))
        assert alone["mean"]["auc"] == record["means"][place]
    one, other = record["means"]
    assert record["mean"]["auc"] == pytest.approx(other - one, abs=1e-12)
    assert {name: record[name] for name in ("protocol", "split", "select", "leaky", "cases")} == {
        "protocol": "probe",
        "split": "test",
        "select": "val_best",
        "leaky": False,
        "cases": 8,
    }
    assert record["seeds"] == [0, 0]
    assert record["differs"] == {}


def test_seeds_may_differ_and_are_told(opened, fast, runs):
    settings = dataclasses.replace(fast, protocol="knn", select="last", k=3)
    other = dataclasses.replace(settings, seed=1)
    record = compare_runs((opened(runs.stage1), settings), (opened(runs.stage1), other))
    assert record["differs"] == {"seed": [0, 1]}
    assert record["seeds"] == [0, 1]


def test_the_other_way_round_is_the_opposite(comparing, runs):
    one = comparing(runs.stage1, runs.stage2, protocol="knn", split="train")["mean"]
    other = comparing(runs.stage2, runs.stage1, protocol="knn", split="train")["mean"]
    assert one["auc"] == pytest.approx(-other["auc"], abs=1e-12)
    assert one["ci95"] == pytest.approx([-end for end in reversed(other["ci95"])], abs=1e-12)


def test_a_result_on_disk_is_not_made_anew(comparing, evaluated, runs, made):
    evaluated(runs.stage1, protocol="knn")
    made.clear()
    first = comparing(runs.stage1, runs.stage2, protocol="knn")
    assert made == ["stage2"]
    assert comparing(runs.stage1, runs.stage2, protocol="knn") == first
    assert made == ["stage2"]


def test_a_result_with_other_settings_is_made_anew(comparing, runs, made):
    comparing(runs.stage1, runs.stage2, protocol="knn")
    made.clear()
    comparing(runs.stage1, runs.stage2, protocol="knn", temperature=0.1, label="warm")
    assert made == ["stage1", "stage2"]
    made.clear()
    comparing(
        runs.stage1,
        runs.stage2,
        protocol="knn",
        temperature=0.1,
        options={"photo": {"border": 2}},
        label="cut",
    )
    assert made == ["stage1", "stage2"]


@pytest.mark.parametrize("harm", ["record", "predictions", "no-table", "model"])
def test_what_is_damaged_or_out_of_date_is_made_anew(comparing, runs, made, harm):
    comparing(runs.stage1, runs.stage2, protocol="knn")
    made.clear()
    folder = runs.stage1 / "eval"
    if harm == "record":
        (folder / "knn-test.json").write_text("{", "utf-8")
    elif harm == "no-table":
        (folder / "knn-test.json").write_text("[]", "utf-8")
    elif harm == "predictions":
        (folder / "knn-test.predictions.npz").write_bytes(b"PK")
    else:
        another = (runs.stage2 / "model.safetensors").read_bytes()
        (runs.stage1 / "model.safetensors").write_bytes(another)
    comparing(runs.stage1, runs.stage2, protocol="knn")
    assert made == ["stage1"]


def test_other_studies_are_refused(opened, fast, runs, studies):
    settings = dataclasses.replace(fast, protocol="knn")
    half = studies("half", lambda i, row: row if i < 20 else None)
    with pytest.raises(DataError) as caught:
        compare_runs((opened(runs.stage1), settings), (opened(runs.stage2, half), settings))
    assert str(caught.value).startswith(
        "A comparison needs two runs on the same cases. 4 of 8 cases are only in the first and 0 "
        "of 4 only in the second, for example 'lesion-000"
    )
    assert "\n" not in str(caught.value)
    assert not any((run / "eval").exists() for run in (runs.stage1, runs.stage2))


def test_ranks_are_not_compared(opened, fast, runs):
    settings = dataclasses.replace(fast, protocol="match", select="last")
    with pytest.raises(VariantError) as caught:
        compare_runs((opened(runs.stage1), settings), (opened(runs.stage2), settings))
    assert str(caught.value) == (
        "--compare takes one protocol with labels for both runs: probe, finetune or knn, not "
        "match. Give --protocol."
    )


def test_two_protocols_are_not_compared(opened, fast, runs):
    first = (opened(runs.stage1), dataclasses.replace(fast, protocol="knn"))
    with pytest.raises(VariantError, match="not knn and probe. Give --protocol."):
        compare_runs(first, (opened(runs.stage2), fast))


def test_one_leaky_run_makes_the_comparison_leaky(comparing, runs):
    assert comparing(runs.stage1, runs.stage2, protocol="knn", select="test_best")["leaky"]


class TestFairness:
    """Two runs are compared with the same settings, or a command is printed that gives them these."""

    @pytest.fixture
    def trained(self, shared_run, tmp_path):
        """trained(name, stage, protocol={setting: value}) is a run whose recipe says so."""

        def train(name, stage, **evaluate):
            run = shared_run(f"fair-{name}", stage=stage, evaluate=evaluate)
            return shutil.copytree(run, tmp_path / name)

        return train

    def refused(self, *words):
        few = ["-o", "evaluate.resamples=20", "--epochs", "2"]
        result = CliRunner().invoke(cli, ["evaluate", *map(str, words), "--compare", *few])
        assert result.exit_code == 1, result.output
        (line,) = result.output.splitlines()
        return line

    def carried_out(self, line):
        """What the command at the end of a line measures."""
        command = shlex.split("sm3kit evaluate " + line.partition("sm3kit evaluate ")[2])
        result = CliRunner().invoke(cli, [*command[1:], "--json"])
        assert result.exit_code == 0, result.output
        return command[3:], json.loads(result.stdout)

    def test_recipes_that_say_otherwise(self, trained):
        one = trained("one", "mmssl", probe={"lr": 0.1, "weight_decay": 0.0})
        other = trained("other", "mmssl", probe={"lr": 0.001, "weight_decay": 0.0})
        line = self.refused(one, other)
        assert line.startswith(
            "Error: The two runs would be evaluated with different settings (lr 0.1 and 0.001), "
            "which is not a fair comparison. To use the settings of the first for both: sm3kit "
            "evaluate "
        )
        assert not (one / "eval").exists()
        words, record = self.carried_out(line)
        assert words[1:] == [
            "--compare", "--epochs", "2", "-o", "evaluate.resamples=20", "--lr", "0.1", "--label",
            "lr-0.1",
        ]  # fmt: skip
        assert record["differs"] == {}
        assert record["files"] == [
            str(run / "eval" / "probe-test-lr-0.1.json") for run in (one, other)
        ]
        # The other way round both take the second's.
        words, record = self.carried_out(self.refused(other, one))
        assert words[-4:] == ["--lr", "0.001", "--label", "lr-0.001"]

    def test_the_second_alone_says_otherwise(self, runs, trained):
        second = trained("second", "both", **{"probe-relation": {"weight_decay": 0.01}})
        line = self.refused(runs.stage1, second)
        # The epochs of the command line hold for both.
        assert "different settings (weight_decay 0.05 and 0.01), which is" in line
        assert "To train only linear heads, with the same settings in both: sm3kit" in line
        words, record = self.carried_out(line)
        assert words[1:] == [
            "--compare", "--scope", "heads", "--epochs", "2", "-o", "evaluate.resamples=20",
        ]  # fmt: skip
        assert record["differs"] == {}

    def test_what_the_protocol_sets_for_stage_2_may_differ(self, runs):
        words = [str(runs.stage1), str(runs.stage2), "--compare", "--epochs", "1", "--json"]
        result = CliRunner().invoke(cli, ["evaluate", *words])
        assert result.exit_code == 0, result.output
        assert set(json.loads(result.stdout)["differs"]) == {"eps", "views"}
        assert "warning  eps differs: 1e-05 and 1e-08" in result.stderr

    def test_settings_that_do_not_matter_may_differ(self, runs, trained):
        """No classifier is trained: the neighbours do not know a learning rate."""
        one = trained("knn", "mmssl", knn={"lr": 0.1}, probe={"lr": 0.2})
        words = [str(one), str(runs.stage2), "--compare", "--protocol", "knn", "--json"]
        assert CliRunner().invoke(cli, ["evaluate", *words]).exit_code == 0

    def test_views_are_set_by_recipes_alone(self, runs, trained):
        line = self.refused(
            trained("views", "mmssl", probe={"views": {"jitter": 0.5}}), runs.stage1
        )
        assert line.endswith(
            "Views can only be set in a recipe: compare runs whose recipes agree on them."
        )
