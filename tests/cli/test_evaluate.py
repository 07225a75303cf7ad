"""`sm3kit evaluate` as people call it: streams, exit codes, one-line answers, tables of 80 columns."""

import io
import json
import shutil

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from sm3kit.cli.main import cli
from sm3kit.cli.result_table import show, show_comparison
from sm3kit.core.errors import Interrupted
from sm3kit.data.progress import Reporter, open_console
from sm3kit.training import callbacks
from sm3kit.training.progress import ShowProgress

QUICK = ["--epochs", "2", "-o", "evaluate.resamples=20"]


def sm3kit(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")


@pytest.fixture
def run(stage1_run, tmp_path):
    """A copy of a run of stage 1 that a test may write to."""
    return shutil.copytree(stage1_run, tmp_path / "run")


class TestStreams:
    @pytest.mark.parametrize("protocol", ["probe", "finetune", "knn", "match"])
    def test_json_is_one_document_on_stdout(self, run, protocol):
        result = sm3kit("evaluate", run, "--protocol", protocol, *QUICK, "--json")
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        assert record["protocol"] == protocol
        assert record == json.loads((run / "eval" / f"{protocol}-test.json").read_text("utf-8"))
        assert "written  " in result.stderr

    @pytest.mark.parametrize("protocol", ["probe", "match"])
    def test_without_json_people_read_stdout(self, run, protocol):
        result = sm3kit("evaluate", run, "--protocol", protocol, *QUICK)
        assert result.exit_code == 0
        assert result.stderr == ""
        assert result.stdout.splitlines()[-1] == (
            f"written  {run / 'eval' / f'{protocol}-test.json'}"
        )

    def test_clusters_are_told_to_people_and_in_json(self, stage2_run, tmp_path):
        run = shutil.copytree(stage2_run, tmp_path / "clustered")
        words = ("evaluate", run, "--protocol", "clusters", "-o", "evaluate.resamples=20")
        result = sm3kit(*words, "--json")
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        assert list(record["clusters"]["labels"]) == ["shape", "tone", "edge"]
        said = sm3kit(*words).stdout
        for word in ("NMI", "ARI", "accuracy", "For diagnosis only", "mean"):
            assert word in said
        assert "No interval for shape, tone, edge: fewer than two classes have 5 " in said

    def test_comparison_in_json(self, run):
        result = sm3kit("evaluate", run, run, "--compare", "--protocol", "knn", *QUICK, "--json")
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        # Nine studies in the test split: no class has ten, and a note names every label.
        assert record["mean"]["auc"] in (0, None)
        (note,) = [note for note in record["notes"] if note.startswith("No result")]
        assert all(f"{label} (" in note for label in record["labels"])
        assert "second minus first" in result.stderr

    def test_a_leaky_result_warns(self, run):
        result = sm3kit("evaluate", run, "--select", "test_best", *QUICK)
        assert "warning  LEAKY: selected on the split that it was measured on.\n" in result.stdout
        assert "LEAKY" not in sm3kit("evaluate", run, *QUICK).stdout


class TestFlags:
    def test_they_reach_the_record(self, run):
        words = ["--epochs", "1", "--batch-size", "7", "--lr", "0.5", "--seed", "5"]
        words += ["--scope", "heads", "--feature-views", "1", "--split", "val", "--select", "last"]
        words += ["-o", "evaluate.resamples=10", "-o", "photo.border=1", "--no-cache", "--json"]
        record = json.loads(sm3kit("evaluate", run, *words).stdout)
        wanted = {"epochs": 1, "batch_size": 7, "lr": 0.5, "seed": 5, "scope": "heads"}
        wanted |= {"feature_views": 1, "split": "val", "select": "last", "resamples": 10}
        assert {name: record["settings"][name] for name in wanted} == wanted
        assert record["options"]["photo"]["border"] in (1, "1")
        assert record["seeds"] == [5]

    def test_other_data(self, run):
        words = ["--protocol", "match", "--data", "synthetic:40", "-o", "synthetic.size=32"]
        record = json.loads(sm3kit("evaluate", run, *words, "--json").stdout)
        assert record["transfer"] is True
        assert record["data"] == ["synthetic:40"]
        file = run / "eval" / f"match-test-synthetic-{record['data_hash'][:8]}.json"
        assert json.loads(file.read_text("utf-8")) == record

    def test_the_protocol_of_the_run_is_the_default(self, run):
        record = json.loads(sm3kit("evaluate", run, *QUICK, "--json").stdout)
        assert record["protocol"] == "probe"


class TestMistakes:
    @pytest.mark.parametrize(
        "words",
        [
            [],
            ["--protocol", "prob"],
            ["--split", "all"],
            ["--select", "best"],
            ["--scope", "everything"],
            ["--epochs", "0"],
            ["--batch-size", "1"],
            ["--k", "0"],
            ["--map", "clinic"],
            ["--nosuch"],
        ],
    )
    def test_a_wrong_command_line(self, tmp_path, words):
        result = sm3kit("evaluate", *([tmp_path, *words] if words else []))
        assert result.exit_code == 2
        assert result.stdout == ""
        assert not (tmp_path / "eval").exists()

    def one_line(self, result, said):
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr == f"Error: {said}\n"

    def test_no_such_run(self, tmp_path):
        where = tmp_path / "nowhere"
        self.one_line(
            sm3kit("evaluate", where),
            f"{where} holds no run: there is no model.safetensors in it. Give the folder that "
            "`sm3kit pretrain` wrote.",
        )
        assert not where.exists()

    def test_an_unfinished_run(self, run):
        (run / "model.safetensors").unlink()
        self.one_line(
            sm3kit("evaluate", run),
            f"The run {run} has no model yet. Finish it with: sm3kit pretrain --resume --out {run}",
        )

    @pytest.mark.parametrize("left", [0, 100, -50])
    def test_a_damaged_model(self, run, left):
        model = run / "model.safetensors"
        model.write_bytes(model.read_bytes()[:left])
        result = sm3kit("evaluate", run)
        assert result.exit_code == 1
        assert result.stderr.startswith(
            f"Error: {model} is not a model written by sm3kit, or it is damaged: "
        )
        assert result.stderr.endswith(" Train the run again.\n")
        assert result.stderr.count("\n") == 1

    def test_two_runs_without_compare(self, run):
        self.one_line(
            sm3kit("evaluate", run, run),
            f"Give one run, or two and --compare; got 2: {run}, {run}.",
        )

    @pytest.mark.parametrize("count", [1, 3])
    def test_compare_wants_two(self, run, count):
        listed = ", ".join([str(run)] * count)
        self.one_line(
            sm3kit("evaluate", *[run] * count, "--compare"),
            f"--compare needs two runs; got {count}: {listed}.",
        )

    def test_compare_refuses_ranks(self, run):
        self.one_line(
            sm3kit("evaluate", run, run, "--compare", "--protocol", "match"),
            "--compare takes one protocol with labels for both runs: probe, finetune or knn, not "
            "match. Give --protocol.",
        )

    def test_an_unknown_setting(self, run):
        result = sm3kit("evaluate", run, "-o", "evaluate.epoch=3")
        assert result.exit_code == 1
        assert result.stderr.startswith(
            "Error: command line: No evaluation setting named 'epoch'. Did you mean 'epochs'?"
        )

    def test_views_are_no_word(self, run):
        self.one_line(
            sm3kit("evaluate", run, "-o", "evaluate.views=x"),
            "command line: views must be a table in a recipe file, such as {flip: 0.5}, not 'x'.",
        )

    def test_a_relation_that_is_not_there(self, run):
        self.one_line(
            sm3kit("evaluate", run, "--scope", "relation"),
            f"--scope relation needs a run that finished stage 2 for these labels, and {run} did "
            "not. Use --scope heads.",
        )

    def test_an_interruption_says_how_to_go_on(self, run, monkeypatch):
        def stop(self, trainer, *rest):
            if trainer.current_epoch == 1:
                raise Interrupted("Stopped.")

        with monkeypatch.context() as patch:
            patch.setattr(callbacks.StopBetweenSteps, "on_train_batch_end", stop)
            result = sm3kit("evaluate", run, *QUICK, "--json")
        assert result.exit_code == 1
        assert result.stdout == ""
        last = result.stderr.splitlines()[-1]
        assert last == (
            f"Stopped in epoch 2 of 2. Resume with: sm3kit evaluate {run} --protocol probe, with "
            "the same options"
        )
        again = sm3kit("evaluate", run, *QUICK)
        assert "resume   after epoch 1 of 2" in again.stdout


def label(reported="MEL", auc=0.912, ci95=(0.0, 1.0), **more):
    """The row of a label at its widest."""
    metrics = ("auc", "sens", "spec", "prec", "auprc", "sens_at_90_spec")
    row = dict.fromkeys(metrics, 1.0) | {"auc": auc, "ci95": list(ci95), "reported": reported}
    row["intervals"] = dict.fromkeys(metrics, list(ci95))
    return row | {"support": {"positives": 101, "known": 395}} | more


def usual(reported="MEL"):
    """The row of a label at its usual width."""
    metrics = {"sens": 0.614, "spec": 0.891, "prec": 0.553, "auprc": 0.604, "sens_at_90_spec": 0.5}
    return label(reported, **metrics, ci95=[0.861, 0.957])


def mean(row):
    stds = dict.fromkeys(row, 0.1)
    return {**row, "labels": 8, "std": 0.1, "stds": stds}


def result(names, **more):
    return {
        "protocol": "probe",
        "split": "test",
        "select": "val_best",
        "leaky": False,
        "seeds": [0],
        "notes": [],
        "settings": {},
        "scope": "relation",
        "trainable_parameters": 18_123_456,
        "trained_on": 413,
        "chosen": {"epoch": 12},
        "selection_auc": 0.81,
        "labels": {name: label() for name in names},
        "mean": mean(label()),
        "cases": 395,
        "groups": 395,
        "resamples": 2000,
        "file": "runs/one/eval/probe-test.json",
        "data": ["synthetic"],
        "of": {"recipe": [], "splits": ["train"]},
        **more,
    }


def ranks(**more):
    row = {"mean_rank": 12345.5, "chance": 12345.5, "median_rank": 12345.5, "n": 12345}
    row |= {"acc@1": 1.0, "acc@5": 1.0}
    space = {
        name: {"derm->clinic": row, "clinic->derm": row} for name in ("backbone", "projection")
    }
    return {
        "protocol": "match",
        "split": "train",
        "seeds": [0],
        "notes": [],
        "space": space,
        "transfer": False,
        "of": {"recipe": [], "splits": ["train"]},
        "data": ["synthetic"],
        "select": "last",
        "leaky": False,
        "file": "runs/one/eval/match-train.json",
        **more,
    }


def difference(names, **more):
    row = {"auc": -0.123, "ci95": [-1.0, 1.0], "intervals": {"auc": [-1.0, 1.0]}}
    row["above_zero"] = {"auc": 1.0}
    return {
        "protocol": "probe",
        "runs": ["runs/one", "runs/two"],
        "means": [0.804, 0.829],
        "notes": [],
        "labels": dict.fromkeys(names, row),
        "mean": row | {"labels": len(names)},
        "select": "val_best",
        "split": "test",
        "seeds": [0, 1],
        "differs": {},
        "cases": 395,
        "groups": 395,
        "resamples": 2000,
        "leaky": False,
        **more,
    }


def printed(record, shown=show, terminal=True):
    out = io.StringIO()
    console = open_console(
        file=out, width=80, force_terminal=terminal, no_color=True, color_system=None
    )
    console.soft_wrap = not terminal
    shown(record, console)
    return out.getvalue().splitlines()


def too_wide(lines):
    """Lines of more than 80 columns; sentences are folded on a terminal, and whole in a file."""
    sentences = ("marks ", "basis ", "note ")
    wide = [line for line in lines if cell_len(line.rstrip()) > 80]
    return [line for line in wide if not line.startswith(sentences)]


SHORT = ["DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS"]
POOLED = [f"{data}/{name}" for data in ("derm7pt", "milk10k") for name in SHORT]
LONG = ["a label with the very long name of a hospital's table", "[red]invasion[/red]"]


class TestTables:
    @pytest.mark.parametrize("terminal", [True, False])
    @pytest.mark.parametrize("names", [SHORT, POOLED, LONG], ids=["short", "pooled", "long"])
    @pytest.mark.parametrize(
        ("make", "shown"), [(result, show), (difference, show_comparison)], ids=["one", "two"]
    )
    def test_no_line_is_wider_than_80(self, names, make, shown, terminal):
        lines = printed(make(names), shown, terminal)
        assert too_wide(lines) == []
        assert "…" not in "".join(lines)

    @pytest.mark.parametrize("names", [SHORT, POOLED], ids=["short", "pooled"])
    def test_a_label_has_one_line(self, names):
        lines = printed(result(names, labels={name: usual() for name in names}, mean=mean(usual())))
        for name in names:
            (row,) = [line for line in lines if line.startswith(f"{name} MEL ")]
            wanted = f"{name} MEL 91.2 86.1 to 95.7 61.4 89.1 55.3 60.4 50.0 101/395"
            assert row.split() == wanted.split()

    def test_a_long_name_is_folded_and_not_cut(self):
        lines = printed(result(LONG))
        start = next(i for i, line in enumerate(lines) if line.startswith("a label"))
        end = next(i for i, line in enumerate(lines) if line.startswith("mean"))
        # The label column ends where the first number begins.
        width = lines[start].index("91.2")
        folded = "".join(line[:width].strip() for line in lines[start:end])
        assert folded.replace(" ", "") == "".join(f"{name} MEL" for name in LONG).replace(" ", "")

    @pytest.mark.parametrize(("make", "shown"), [(result, show), (difference, show_comparison)])
    def test_brackets_are_text(self, make, shown):
        text = "".join("".join(printed(make(["[bold]x"]), shown)).split())
        assert "[bold]x" in text

    def test_each_table_says_what_it_rests_on(self):
        basis = (
            "basis    select val_best, split test, 1 seed (0), data synthetic; 395 studies of 395 "
            "patients or lesions"
        )
        bootstrap = (
            "bootstrap over patients or lesions (2,000 resamples), seed variance not included"
        )
        lines = printed(result(SHORT), terminal=False)
        assert basis in lines
        assert any(bootstrap in line for line in lines)
        two = printed(difference(SHORT), show_comparison, terminal=False)
        assert two[-2] == (
            "basis    select val_best, split test, 1 seed each (0, 1); 395 studies of 395 patients "
            "or lesions; mean of 8 labels"
        )
        assert bootstrap in two[-1]
        seen = "note     The pairs were seen in pre-training."
        assert seen in printed(ranks())
        assert (
            "basis    select last, split train, 1 seed (0), data synthetic; 12345 pairs"
            in printed(ranks())
        )
        assert seen not in printed(ranks(of={"recipe": [], "splits": ["val", "test"]}))
        assert seen not in printed(ranks(transfer=True))

    def test_short_heads_are_explained(self):
        lines = printed(result(SHORT), terminal=False)
        (marks,) = [line for line in lines if line.startswith("marks")]
        for meaning in ("sens: sensitivity", "s@90: sens. at 90 % spec.", "n+: positive/labelled"):
            assert meaning in marks
        assert any("AUPRC: area under the precision-recall curve" in line for line in lines)

    def test_support_stands_beside_each_label(self):
        (row,) = [line for line in printed(result(["PN"])) if line.startswith("PN")]
        assert row.rstrip().endswith("101/395")

    def test_how_it_was_chosen_and_what_saw_labels(self):
        lines = printed(result(SHORT))
        assert lines[:2] == [
            "probe    heads and relation: 18.1 M weights trained on labels of 413 studies",
            "select   val_best: epoch 12, mean AUC 81.0 on val",
        ]
        lines = printed(result(SHORT, select="last", chosen={"epoch": 50}, selection_auc=None))
        assert lines[1] == "select   last: epoch 50, not selected"
        more = {"select": "test_best", "leaky": True}
        lines = printed(result(SHORT, **more))
        assert lines[1] == "select   test_best: epoch 12, mean AUC 81.0 on test"
        assert "warning  LEAKY: selected on the split that it was measured on." in lines
        more = {"protocol": "knn", "trainable_parameters": 0, "chosen": {"k": 20}}
        lines = printed(result(SHORT, **more))
        assert lines[0] == "knn      votes of 413 labelled studies; nothing was trained"

    def test_what_is_undefined_is_a_dash(self):
        nothing = dict.fromkeys(("auc", "sens", "spec", "prec", "auprc", "sens_at_90_spec"))
        row = label(**nothing, ci95=[None, None])
        lines = printed(result(["PN"], labels={"PN": row}))
        (line,) = [line for line in lines if line.startswith("PN")]
        assert line.split() == ["PN", "MEL", *"–––––––", "101/395"]

    def test_a_published_number_stands_below(self):
        row = {"table": "5", "row": "sep_sep", "auc": 79.5, "mark": "79.5"}
        row |= {"how": "1 run, selection test_best"}
        lines = printed(result(SHORT, published=row))
        assert (
            "paper    mean AUC 79.5 (table 5, row sep_sep; 1 run, selection test_best)"
        ) in lines
        assert not [line for line in printed(result(SHORT)) if line.startswith("paper")]

    def test_a_published_rank_stands_below(self):
        row = {"table": "6", "row": "sep_sep", "mean_rank": 7.2, "mark": "7.2"}
        row |= {"how": "1 run, selection unknown"}
        line = "paper    mean rank 7.2 (table 6, row sep_sep; 1 run, selection unknown)"
        assert line in printed(ranks(published=row))
        assert not [line for line in printed(ranks()) if line.startswith("paper")]

    def test_notes_come_first(self):
        assert printed(result(SHORT, notes=["Seen."]))[0] == "note     Seen."

    @pytest.mark.parametrize("terminal", [True, False])
    def test_ranks_fit_with_their_duplicates(self, terminal):
        record = ranks()
        record["without_duplicates"] = {"left_out": 17, "space": record["space"]}
        lines = printed(record, terminal=terminal)
        assert too_wide(lines) == []
        table = [line for line in lines if line.startswith(("backbone", "projection"))]
        assert len(table) == 8
        note = "No duplicates: 17 studies that share an image file are left out."
        assert f"note     {note}" in lines

    def test_the_difference_and_its_direction(self):
        lines = printed(difference(["PN"]), show_comparison, terminal=False)
        assert lines[:2] == [
            "first    runs/one, mean AUC 80.4",
            "second   runs/two, mean AUC 82.9",
        ]
        (row,) = [line for line in lines if line.startswith("PN")]
        assert row.split() == ["PN", "-12.3", "-100.0", "to", "+100.0", "100", "%"]
        assert any("second minus first" in line for line in lines)
        leaky = printed(difference(["PN"], leaky=True), show_comparison)
        assert leaky[-1] == "warning  LEAKY: selected on the split that it was measured on."

    @pytest.mark.parametrize("terminal", [True, False])
    def test_settings_in_which_both_differ_are_warned_of(self, terminal):
        views = {"views": 1, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0}
        differs = {
            "eps": [1e-05, 1e-08],
            "views": [{**views, "flip": 0.0}, {**views, "crop_scale": [0.3, 1.0]}],
            "scope": ["heads", "[red]"],
            "seed": [0, 1],
        }
        lines = printed(difference(SHORT, differs=differs), show_comparison, terminal)
        assert [line for line in lines if line.startswith("warning")] == [
            "warning  eps differs: 1e-05 and 1e-08",
            "warning  views.flip differs: 0.0 and unset",
            "warning  views.crop_scale differs: unset and [0.3, 1.0]",
            "warning  scope differs: heads and [red]",
            "warning  seed differs: 0 and 1",
        ]
        assert too_wide(lines) == []
        same = printed(difference(SHORT), show_comparison, terminal)
        assert not [line for line in same if line.startswith("warning")]


class TestProgress:
    """Epochs after stage 1 are short: a few lines tell enough."""

    def told(self, epochs, **more):
        out = io.StringIO()
        progress = ShowProgress(Reporter(open_console(file=out, width=80)))
        for epoch in range(1, epochs + 1):
            row = {"epoch": epoch, "loss": 0.5, "studies_per_second": 812.4, **more}
            progress.tell(row, epochs)
        return out.getvalue().splitlines()

    def test_at_most_ten_epochs_and_the_first_are_told(self):
        lines = self.told(50, stage="probe", auc=0.7123)
        assert lines[:2] == [
            "epoch  1/50  loss 0.5000  selection AUC 71.2  812 studies/s",
            "epoch  5/50  loss 0.5000  selection AUC 71.2  812 studies/s",
        ]
        assert [int(line[6:8]) for line in lines] == [1, *range(5, 51, 5)]
        assert [cell_len(line) for line in lines if cell_len(line) > 80] == []

    @pytest.mark.parametrize("epochs", [1, 2, 10, 20, 100, 500])
    def test_short_and_long_evaluations(self, epochs):
        lines = self.told(epochs, stage="finetune")
        assert len(lines) <= 11
        assert f"/{epochs} " in lines[-1]
        assert lines[-1].startswith(f"epoch {epochs}/")

    def test_a_line_of_stage_2_fits_a_terminal(self):
        signs = {"entropy/DIAG": 0.98, "nmi_before/DIAG": 0.9, "nmi_labels": 0.76}
        line = self.told(150, stage="mlssl", **signs)[-1]
        assert line == (
            "epoch 150/150  loss 0.5000  entropy 0.98  nmi before 0.90  between labels 0.76"
        )
        assert len(line) <= 80

    def test_stage_1_tells_every_epoch(self):
        assert len(self.told(50, stage="mmssl")) == 50
