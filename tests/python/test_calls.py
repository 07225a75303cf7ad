"""What the calls from Python give: runs, results, tables, predictions, features and grids."""

from __future__ import annotations

import builtins
import csv
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import sm3kit
from sm3kit.cli.main import cli
from sm3kit.core.variant import Variant

SMALL: dict[str, Any] = {"backbone": "test_resnet", "weights": "none", "image_size": 32}
# What the issue of the first steps promises: eight lines, and no import but one.
GOAL = """import sm3kit
if __name__ == "__main__":
    run = sm3kit.pretrain("synthetic:40", epochs=1, mlssl_epochs=1, workers=2)
    result = run.evaluate("probe", epochs=2)
    print(result.mean["auc"], result.labels["DIAG"]["auc"])
    images = run.predict_studies(split="test")[0].images
    print(run.predict(derm=images["derm"], clinic=images["clinic"]).decisions["DIAG"])
    print(result.table().to_latex())
"""


FEW = {"evaluate.resamples": 20, "evaluate.min_positives": 1}


def nearest(run: sm3kit.Run) -> sm3kit.Result:
    """The quickest evaluation with labels."""
    return run.evaluate("knn", k=3, select="last", quiet=True, cache=False, options=FEW)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def run(stage2_run: Path, tmp_path_factory: pytest.TempPathFactory) -> sm3kit.Run:
    """A copy of a run of both stages, with the result of a probe."""
    folder = shutil.copytree(stage2_run, tmp_path_factory.mktemp("python") / "run")
    opened = sm3kit.open_run(folder)
    opened.evaluate("probe", epochs=2, quiet=True, cache=False)
    return opened


@pytest.fixture
def images(studies: Any) -> dict[str, str]:
    """The pictures of one drawn case."""
    table = Path(studies("own").partition(":")[2])
    with table.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    return {name: str(table.parent / row[name]) for name in ("derm", "clinic")}


@pytest.mark.slow
def test_eight_lines_pretrain_evaluate_predict_and_give_latex(tmp_path: Path) -> None:
    assert len(GOAL.splitlines()) == 8
    assert [line for line in GOAL.splitlines() if "import " in line] == ["import sm3kit"]
    (tmp_path / "goal.py").write_text(GOAL, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "goal.py"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert r"\begin{tabular}" in done.stdout
    assert r"\toprule" in done.stdout


@pytest.mark.slow
def test_python_and_command_line_train_the_same_networks(studies: Any) -> None:
    """To the bit, with settings of every kind."""
    spec = studies("own")
    ours = sm3kit.pretrain(
        spec, **SMALL, objective="simclr", fusion="sep_sep", epochs=1, mlssl_epochs=1, seed=3,
        batch_size=8, workers=0, out="python", quiet=True, recipe="sm3",
        options={"simclr.temperature": 0.2, "stage1.weight_decay": 0.01, "tel": {"embedding": 16}},
    )  # fmt: skip
    words = f"""pretrain --data {spec} --backbone test_resnet --weights none --image-size 32 --seed 3
        --objective simclr --fusion sep_sep --epochs 1 --mlssl-epochs 1 --batch-size 8 --workers 0
        --recipe sm3 -o simclr.temperature=0.2 -o stage1.weight_decay=0.01 -o tel.embedding=16
        --out typed""".split()
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    theirs = sm3kit.open_run("typed")
    assert ours.variant == theirs.variant
    assert ours.finished
    own, other = ours._files.trained().weights, theirs._files.trained().weights
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    result = ours.evaluate("knn", quiet=True)
    done = CliRunner().invoke(cli, ["evaluate", "typed", "--protocol", "knn", "--json"])
    typed = json.loads(done.stdout)
    assert {**typed, "file": ""}["mean"] == result.mean
    assert typed["labels"] == result.labels


def test_values_of_single_modalities_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Variant] = []

    def stop(variant: Variant, *rest: Any) -> None:
        asked.append(variant)
        raise sm3kit.SM3Error("Enough.")

    monkeypatch.setattr("sm3kit.training.pretrain.pretrain", stop)
    with pytest.raises(sm3kit.SM3Error, match="Enough"):
        sm3kit.pretrain(
            ["synthetic:8", "synthetic:9"], backbone={"": "resnet18", "derm": "resnet34"},
            image_size={"clinic": 64}, map={"skin": "derm"}, epochs=0, quiet=True, modality="derm",
            init=sm3kit.Run("earlier"), out=Path("new"),
        )  # fmt: skip
    (variant,) = asked
    assert variant.data == ("synthetic:8", "synthetic:9")
    assert variant.backbone == "resnet18"
    assert variant.per_modality == {"derm": {"backbone": "resnet34"}, "clinic": {"image_size": 64}}
    assert (variant.map, variant.modality) == ({"skin": "derm"}, ("derm",))
    assert variant.stage1.epochs == 0
    assert variant.init == "earlier"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"fusion": "sep_sp"}, "No fusion named 'sep_sp'. Did you mean 'sep_sep'?"),
        ({"epochs": -1}, "call of pretrain: option 'stage1.epochs' must be a whole number from 0"),
        ({"options": {"weight_deca": 1}}, "No setting named 'weight_deca'. Did you mean 'stage1.weight_decay'"),
        ({"options": {"simclr.temprature": 1}}, "Did you mean 'temperature'?"),
        ({"resume": True}, "needs to know which run"),
        ({"out": "there", "resume": True}, "holds no run to resume"),
        ({"recipe": "sm4"}, "No recipe named 'sm4'. Did you mean 'sm3'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(
    keywords: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(sm3kit.SM3Error) as caught:
        sm3kit.pretrain("synthetic:40", **keywords)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("variant.yaml"))


def test_a_folder_without_a_run_is_none() -> None:
    with pytest.raises(sm3kit.SM3Error, match="nowhere holds no run"):
        sm3kit.open_run("nowhere")
    with pytest.raises(sm3kit.SM3Error, match="nowhere holds no grid"):
        sm3kit.open_ablation("nowhere")


def test_a_run_says_what_it_is(run: sm3kit.Run) -> None:
    assert repr(run) == f"sm3kit.open_run({str(run.folder)!r})"
    assert run.variant.fusion == "sep_sep"
    rows = run.metrics
    assert [row["epoch"] for row in rows if row["stage"] == "mmssl"] == [1, 2]
    assert isinstance(rows[0]["loss"], float)
    assert isinstance(rows[0]["epoch"], int)
    assert None in rows[0].values()
    assert "" not in rows[0].values()


class TestResult:
    def test_it_is_what_the_file_holds(self, run: sm3kit.Run) -> None:
        result = nearest(run)
        assert result.file == run.folder / "eval" / "knn-test.json"
        kept = json.loads(result.file.read_text("utf-8"))
        assert (result.mean, result.labels) == (kept["mean"], kept["labels"])
        assert kept["settings"]["k"] == 3
        assert (result.protocol, result.split, result.space) == ("knn", "test", {})
        assert f"mean AUC {result.mean['auc']:.3f}" in repr(result)

    def test_its_table_has_every_form(self, run: sm3kit.Run) -> None:
        result = nearest(run)
        table = result.table()
        assert list(result.labels) == ["shape", "tone", "edge"]
        for text in (table.to_latex(), table.to_markdown(), result._repr_html_(), str(result)):
            assert all(label in text for label in result.labels)
        frame = table.to_dataframe()
        assert list(frame["label"]) == list(result.labels)
        assert frame["AUC"].tolist() == pytest.approx(
            [100 * row["auc"] for row in result.labels.values()]
        )

    def test_match_has_spaces_and_no_labels(self, run: sm3kit.Run) -> None:
        result = run.evaluate("match", split="val", quiet=True, cache=False)
        assert set(result.space["projection"]) == {"derm->clinic", "clinic->derm"}
        assert not result.labels
        assert not result.mean
        assert "mean rank" in str(result)

    def test_clusters_have_labels_and_a_mean(self, stage2_run: Path) -> None:
        run = sm3kit.open_run(shutil.copytree(stage2_run, "clustered"))
        result = run.evaluate("clusters", quiet=True, cache=False)
        assert list(result.labels) == ["shape", "tone", "edge"]
        mean = sum(row["nmi"] for row in result.labels.values()) / 3
        assert result.mean["nmi"] == pytest.approx(mean)
        frame = result.table().to_dataframe()
        assert frame["NMI"].tolist()[:3] == pytest.approx(
            [100 * row["nmi"] for row in result.labels.values()]
        )

    def test_a_comparison_says_how_much_the_other_run_improves(
        self, stage1_run: Path, stage2_run: Path
    ) -> None:
        first_run = sm3kit.open_run(shutil.copytree(stage2_run, "first"))
        other = shutil.copytree(stage1_run, "other")
        more = first_run.evaluate("knn", compare=str(other), quiet=True, cache=False, options=FEW)
        first, second = more.record["means"]
        assert more.mean["auc"] == pytest.approx(second - first)
        assert more.file is None
        assert sm3kit.evaluate(other, "knn", quiet=True, options=FEW).mean["auc"] == second

    def test_what_makes_it_too_good_is_said_even_quietly(
        self, run: sm3kit.Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        result = run.evaluate("knn", select="test_best", quiet=True, cache=False)
        assert result.warnings
        said = " ".join(capsys.readouterr().out.split())
        assert all(f"warning: {warning}" in said for warning in result.warnings)


def test_pandas_may_be_missing(run: sm3kit.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    table = nearest(run).table()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(sm3kit.SM3Error, match=r"pip install 'sm3kit\[pandas\]'"):
        table.to_dataframe()


class TestPrediction:
    def test_one_case(self, run: sm3kit.Run, images: dict[str, str]) -> None:
        case = run.predict(derm=images["derm"], clinic=Path(images["clinic"]), cache=False)
        assert list(case.decisions) == ["shape", "tone", "edge"]
        for label, row in case.probabilities.items():
            assert sum(row.values()) == pytest.approx(1)
            assert case.decisions[label] == max(row, key=row.__getitem__)
        assert case.missing == []
        frame = case.table().to_dataframe()
        assert frame["class"].tolist() == list(case.decisions.values())
        assert "not for diagnosis" in str(case)
        for text in (case._repr_html_(), case.table().to_latex(), case.table().to_markdown()):
            assert all(label in text for label in case.decisions)

    def test_a_modality_may_be_missing_and_names_may_be_any(
        self, run: sm3kit.Run, images: dict[str, str]
    ) -> None:
        alone = run.predict({"derm": images["derm"]}, cache=False)
        assert alone.missing == ["clinic"]
        assert (
            sm3kit.predict(run.folder, derm=images["derm"], cache=False).decisions
            == alone.decisions
        )

    def test_many_cases_are_those_of_the_evaluation(self, run: sm3kit.Run, tmp_path: Path) -> None:
        cases = run.predict_studies(split="test", cache=False, quiet=True)
        assert len(cases) == 8
        assert [case.id for case in cases] == [cases[place].id for place in range(8)]
        assert cases.table().to_dataframe()["id"].tolist() == [case.id for case in cases]
        cases.to_csv(tmp_path / "cases.csv")
        with (tmp_path / "cases.csv").open(newline="", encoding="utf-8") as file:
            assert [row["shape"] for row in csv.DictReader(file)] == [
                case.decisions["shape"] for case in cases
            ]
        assert cases[0].id in str(cases)
        assert cases[0].id in cases._repr_html_()

    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({}, 'There is nothing to predict. Give images: predict(derm="derm.jpg", '),
            ({"dermo": "a.jpg"}, "Did you mean 'derm'? Modalities: derm, clinic."),
            ({"derm": "a.jpg", "classifer": "x"}, "Did you mean 'classifier'?"),
            ({"derm": "nowhere.jpg"}, "nowhere.jpg"),
        ],
    )
    def test_mistakes(self, run: sm3kit.Run, keywords: dict[str, Any], message: str) -> None:
        with pytest.raises(sm3kit.SM3Error) as caught:
            run.predict(**keywords, cache=False, quiet=True)
        assert message in str(caught.value)

    def test_studies_want_one_source(self, run: sm3kit.Run) -> None:
        with pytest.raises(sm3kit.SM3Error, match="There is nothing to predict"):
            run.predict_studies()
        with pytest.raises(sm3kit.SM3Error, match="Give either manifest or data"):
            run.predict_studies(manifest="a.csv", data="synthetic")
        with pytest.raises(sm3kit.SM3Error, match="given twice"):
            sm3kit.predict([run, run.folder], derm="a.jpg")


class TestNetworks:
    def test_features_and_a_file_of_them(self, run: sm3kit.Run) -> None:
        features = run.embed(
            "test", space=["joint", "backbone"], out="f.npz", cache=False, quiet=True
        )
        assert set(features.arrays) == {"joint", "backbone/derm", "backbone/clinic"}
        assert {len(rows) for rows in features.arrays.values()} == {8}
        assert set(features.splits) == {"test"}
        assert Path("f.npz").is_file()
        assert len(run.embed(cache=False, quiet=True).ids) == 40
        with pytest.raises(sm3kit.SM3Error, match="must end in"):
            run.embed("test", out="f.txt")

    def test_a_backbone_gives_the_features_of_embed(self, run: sm3kit.Run) -> None:
        backbone = run.backbone("derm")
        assert not backbone.training
        with torch.no_grad():
            assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, backbone.width)
        with pytest.raises(sm3kit.SM3Error, match="Name one"):
            run.backbone()
        with pytest.raises(sm3kit.SM3Error, match="Did you mean 'derm'"):
            run.backbone("dermo")

    def test_export(self, run: sm3kit.Run) -> None:
        assert (run.export("safetensors", "weights") / "model.safetensors").is_file()

    @pytest.mark.slow
    def test_report(self, run: sm3kit.Run) -> None:
        page = run.report("page.html", gallery=False, cache=False, quiet=True).page
        assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    Path("grid.yaml").write_text(
        """
title: Two fusions
data: synthetic:24
base: {stage: mmssl, backbone: timm/test_resnet, image_size: 32, stage1: {epochs: 1}, machine: {workers: 0}}
protocols: [match]
rows:
  sep_shared: {fusion: sep_shared}
  none: {fusion: none}
""",
        encoding="utf-8",
    )
    grid = sm3kit.ablate("grid.yaml", seeds=[0], out="grid", quiet=True)
    assert capsys.readouterr().out == ""
    assert [row.name for row in grid.results.rows] == ["sep_shared", "none"]
    assert not grid.failures
    assert grid.table() == sm3kit.open_ablation("grid").table()
    assert "sep_shared" in grid._repr_html_()
    assert "sep_shared" in str(grid)
    assert Path("grid/table.tex").read_text("utf-8") == grid.table().to_latex()
    assert repr(grid) == "sm3kit.open_ablation('grid')"
    assert sm3kit.ablate("grid.yaml", row="none", out="grid").folder == grid.folder


def test_a_package_that_is_imported_by_hand_is_the_same() -> None:
    assert importlib.import_module("sm3kit").pretrain is sm3kit.pretrain
    assert "pretrain" not in vars(builtins)
