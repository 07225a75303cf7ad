"""Logs for other programs, with the real libraries, without a network."""

import csv
import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sm3kit.core.errors import VariantError
from sm3kit.training.observing.loggers import Logs, check_loggers

ROWS = [
    {"stage": "mmssl", "epoch": epoch, "loss": 1 / (1 + epoch), "rank/a->b*": 3, "rank/a->b": 4}
    for epoch in range(4)
]
LAST = {"stage": "mlssl", "epoch": 1, "loss": 0.5, "sizes/x": "3+4", "nmi_labels": float("nan")}


@pytest.fixture
def offline(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def log(folder, tiny, name):
    """Two epochs, a stop, and the rest, as a run that is gone on with; then a figure."""
    variant = replace(tiny, logger=(name,), stage="both")
    with Logs(folder, variant) as logs:
        logs.begin(ROWS[:1])
        for row in ROWS[1:3]:
            logs.row(row)
    picture = folder / "logs" / "figures" / "loss.png"
    picture.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(picture)
    with Logs(folder, variant) as logs:
        logs.begin(ROWS[:3])
        logs.row(ROWS[3])
        logs.row(LAST)
        logs.pictures([picture])


EXPECTED = [(0, 1.0), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4)]


def test_tensorboard_goes_on_in_one_log(tiny, tmp_path, offline):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log(tmp_path, tiny, "tensorboard")
    events = EventAccumulator(str(tmp_path / "logs" / "tensorboard"))
    events.Reload()
    scalars = [(event.step, event.value) for event in events.Scalars("mmssl/loss")]
    assert scalars == [(step, pytest.approx(value)) for step, value in EXPECTED]
    # Stage 2 comes after the epochs of stage 1.
    assert [event.step for event in events.Scalars("mlssl/loss")] == [tiny.stage1.epochs + 1]
    assert {"mmssl/rank/a to b", "mmssl/rank/a to b projection"} <= set(events.Tags()["scalars"])
    assert "mlssl/nmi_labels" not in events.Tags()["scalars"]
    assert events.Tags()["images"] == ["loss"]


def test_csv_goes_on_in_one_log(tiny, tmp_path, offline):
    log(tmp_path, tiny, "csv")
    with (tmp_path / "logs" / "csv" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [(int(r["step"]), float(r["mmssl/loss"])) for r in rows if r["mmssl/loss"]]
    assert losses == [(step, pytest.approx(value)) for step, value in EXPECTED]
    assert "simclr" in (tmp_path / "logs" / "csv" / "hparams.yaml").read_text()


def test_mlflow_goes_on_in_one_run_of_files(tiny, tmp_path, offline):
    from mlflow import MlflowClient

    log(tmp_path, tiny, "mlflow")
    client = MlflowClient((tmp_path / "logs" / "mlflow").as_uri())
    (experiment,) = [e for e in client.search_experiments() if e.name == "sm3kit"]
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "mmssl/loss")
    assert [(m.step, m.value) for m in history] == [(s, pytest.approx(v)) for s, v in EXPECTED]
    assert run.data.params["stage1.batch_size"] == "8"
    assert [one.path for one in client.list_artifacts(run.info.run_id, "figures")]
    assert run.info.status == "FINISHED"


def test_wandb_is_offline_unless_it_is_asked_otherwise(tiny, tmp_path, offline, monkeypatch):
    import wandb

    monkeypatch.chdir(tmp_path)
    log(tmp_path / "run", tiny, "wandb")
    assert wandb.run is None
    folders = [f.name for f in (tmp_path / "run/logs/wandb").iterdir() if f.is_dir()]
    number = (tmp_path / "run/logs/wandb-run.txt").read_text().strip()
    sessions = [name for name in folders if name.startswith("offline-run-")]
    assert len(sessions) >= 1
    assert all(name.endswith(number) for name in sessions)
    assert [f.name for f in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_library_is_named_with_its_command(name, tiny, train, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda lib, *rest: None if lib == name else real(lib, *rest)
    )
    with pytest.raises(VariantError) as caught:
        train(replace(tiny, logger=(name,)))
    assert str(caught.value) == (
        f"--logger {name} needs {name}, which is not installed: pip install {name}"
    )
    assert not (tmp_path / "run").exists()
    check_loggers(("csv",))


def test_a_run_logs_its_epochs_and_one_without_does_not(tiny, train, tmp_path):
    outcome, said = train(replace(tiny, logger=("csv",)))
    text = (tmp_path / "run" / "logs" / "csv" / "metrics.csv").read_text()
    assert len(text.splitlines()) == 1 + 3  # The start and two epochs.
    assert "logs     " in said
    plain, said = train(tiny, "plain")
    assert not (plain.run.folder / "logs").exists()
    assert plain.run.model.stat().st_size
    assert "logs     " not in said
