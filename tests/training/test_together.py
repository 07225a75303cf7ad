"""Two processes and one: stage 2 and evaluation come to the same numbers, and a failure ends both."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from sm3kit.cli.main import cli
from sm3kit.core.errors import SM3Error
from sm3kit.training.processes import together as processes
from sm3kit.training.processes.together import Watch
from tests import warm_processes

SMALL = (
    *("--recipe", "quick", "--data", "synthetic:40", "--image-size", "32", "--batch-size", "8"),
    *("--backbone", "test_resnet", "--weights", "none", "--precision", "32", "--workers", "0"),
)
# An eps that keeps AdamW from magnifying the last bits of gradients near zero.
STAGE_2 = (*SMALL, "--stage", "mlssl", "--relation", "proj", "-o", "proj.embedding=16")
STAGE_2 += ("-o", "stage2.eps=0.01", "-o", "stage2.batch_size=10", "-o", "faiss.restarts=1")
EVALUATIONS = {
    "probe": (),
    "fresh": ("--feature-views", "0", "--epochs", "2", "-o", "evaluate.eps=0.01"),
    "match": (),
    "knn": (),
}
# Runs the commands that it is given, each with its port, as one of two processes.
COMMANDS = """
import json, os, sys
from sm3kit.cli.main import cli
for port, words in json.loads(sys.argv[1]):
    os.environ["MASTER_PORT"] = port
    cli(words, standalone_mode=False)
"""


def port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return str(place.getsockname()[1])


def evaluation(name, run, *more):
    protocol = "probe" if name == "fresh" else name
    words = ("evaluate", run, "--protocol", protocol, "--label", f"{name}{len(more)}")
    return [str(word) for word in (*words, *EVALUATIONS[name], "--no-cache", *more)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs and evaluations of one process and of two, in folders called so."""
    place = tmp_path_factory.mktemp("together")
    stage1, two = place / "stage1", ("--devices", "2")
    begin = (*STAGE_2, "--init", str(stage1), "--feature-views", "0", "--no-cache")
    kept = (*STAGE_2, "--init", str(stage1), "--feature-views", "2", "--mlssl-epochs", "1")
    alone = [
        ("pretrain", *SMALL, "--stage", "mmssl", "--epochs", "1", "--out", stage1),
        ("pretrain", *begin, "--mlssl-epochs", "2", "--out", place / "one"),
        ("pretrain", *kept, "--out", place / "kept-one"),
        *(evaluation(name, place / "one") for name in EVALUATIONS),
    ]
    for words in alone:
        caches = {"SM3KIT_CACHE": str(place / "cache-one")}
        result = CliRunner(env=caches).invoke(cli, [str(word) for word in words])
        assert result.exit_code == 0, result.output
    together = [
        ("pretrain", *begin, "--mlssl-epochs", "1", "--out", place / "two", *two),
        ("pretrain", "--resume", "--mlssl-epochs", "2", "--out", place / "two", "--no-cache"),
        ("pretrain", *kept, "--out", place / "kept-two", *two),
        *(evaluation(name, place / "one", *two) for name in EVALUATIONS),
        evaluation("knn", place / "one", place / "kept-one", "--compare", *two),
    ]
    commands = json.dumps([[port(), [str(word) for word in words]] for words in together])
    script = place / "commands.py"
    script.write_text(COMMANDS, "utf-8")
    world = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "SM3KIT_CACHE": str(place / "cache-two"),
    }
    processes = [
        warm_processes.start(commands, script=script, environment={**world, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    (code, said, errors), other = [process.wait() for process in processes]
    assert code == 0, errors
    assert other[:2] == (0, ""), other
    (place / "said").write_text(said, "utf-8")
    return place


@pytest.mark.parametrize("name", ["", "kept-"])
def test_stage_2_of_two_processes_is_that_of_one(folder, name):
    """Also gone on with after an epoch, and the last batch has fewer studies."""
    one, two = folder / f"{name}one", folder / f"{name}two"
    weights, others = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert weights.keys() == others.keys()
    for place, value in weights.items():
        torch.testing.assert_close(others[place], value, rtol=0, atol=1e-6, msg=place)
    clusters = [torch.load(run / "checkpoints" / "mlssl.ckpt") for run in (one, two)]
    assert torch.equal(clusters[0]["assigned"], clusters[1]["assigned"])


def test_two_processes_keep_the_features_of_one(folder):
    tables = {
        name: {file.name: np.load(file) for file in (folder / f"cache-{name}").rglob("*.npy")}
        for name in ("one", "two")
    }
    assert tables["one"].keys() == tables["two"].keys()
    assert sum(table.ndim == 2 for table in tables["one"].values()) == 4  # 2 views of 2 modalities.
    for name, table in tables["one"].items():
        np.testing.assert_array_equal(tables["two"][name], table)


@pytest.mark.parametrize("name", [*EVALUATIONS])
def test_an_evaluation_by_two_processes_is_that_of_one(folder, name):
    protocol = "probe" if name == "fresh" else name
    files = [folder / "one" / "eval" / f"{protocol}-test-{name}{more}.json" for more in (0, 2)]
    one, two = (json.loads(file.read_text("utf-8")) for file in files)
    for part in ("labels", "mean", "space", "chosen", "selection_auc"):
        assert_near(two.get(part), one.get(part))
    if name != "match":
        own, others = (np.load(file.with_suffix(".predictions.npz")) for file in files)
        for part in own.files:
            if own[part].dtype.kind == "f":
                np.testing.assert_allclose(others[part], own[part], rtol=0, atol=1e-6)


def assert_near(value, wanted):
    """Numbers of a record differ by less than 1e-6; all else is equal."""
    if isinstance(wanted, dict):
        assert value.keys() == wanted.keys()
        for name in wanted:
            assert_near(value[name], wanted[name])
    elif isinstance(wanted, list):
        assert len(value) == len(wanted)
        for own, other in zip(value, wanted, strict=True):
            assert_near(own, other)
    elif isinstance(wanted, str) or wanted is None:
        assert value == wanted
    else:
        assert value == pytest.approx(wanted, rel=0, abs=1e-6, nan_ok=True)


def test_the_first_process_speaks_for_both(folder):
    said = (folder / "said").read_text("utf-8")
    assert said.count("stage 2  ") == 3  # Of which one was gone on with.
    assert said.count("written  ") == len(EVALUATIONS)
    assert "kept-one" in said.rpartition("written  ")[2]  # The comparison.


def test_no_devices_are_refused(folder):
    result = CliRunner().invoke(cli, ["evaluate", str(folder / "one"), "--devices", "0"])
    assert result.exit_code == 2
    assert "--devices" in result.output


FAILING = """
import os
from sm3kit.cli.main import main
from sm3kit.core.errors import DataError
from sm3kit.networks import extraction

def fail(*arguments):
    raise DataError("The image a.png cannot be read.")

if os.environ.get("LOCAL_RANK", "0") in os.environ["FAILING"]:
    extraction.encode_views = fail
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["0", "1", "01"])
def test_a_mistake_in_any_process_ends_both_with_one_line(folder, failing):
    script = folder / "failing.py"
    script.write_text(FAILING, "utf-8")
    words = ["evaluate", str(folder / "one"), "--protocol", "match", "--no-cache", "--devices", "2"]
    words += ["--label", f"failing{failing}"]
    done = subprocess.run(
        [sys.executable, str(script), *words],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "FAILING": failing},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: The image a.png cannot be read.\n"


LEAVING = """
import os, sys
from pathlib import Path

if "LOCAL_RANK" in os.environ:
    sys.exit()
from sm3kit.training.processes import together
from sm3kit.training.processes.work import Work
from sm3kit.training.processes.world import join_world

together.PATIENCE = 0.5
with together.together(join_world(2, 1), Work(Path())):
    print("never", flush=True)
"""


@pytest.mark.slow
def test_a_process_that_ends_too_early_ends_both_with_one_line(tmp_path):
    """It has made no mistake; the first one would wait for it for hours."""
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING, "utf-8")
    code, said, errors = warm_processes.run(script=script, timeout=120)
    assert (code, said) == (1, "")
    assert errors == f"Error: {TOO_EARLY}\n"


TOO_EARLY = (
    "Process 1 has ended before the work was done, without an error. Each process runs the script "
    "from its top: let all of them reach this call."
)


class Ended:
    """A process that has ended with a code, or has not."""

    def __init__(self, code):
        self.code = code

    def poll(self):
        return self.code

    def kill(self):
        pass

    wait = kill


@pytest.mark.parametrize(
    ("codes", "error"),
    [((None, 0), SM3Error), ((0, None), SM3Error), ((0, 1), SystemExit), ((1,), SystemExit)],
)
def test_an_error_after_another_process_has_gone(codes, error):
    """What this one has met is then no news: the connection to it is broken."""
    watch = Watch([], started=False)
    watch.others = [Ended(code) for code in codes]
    with pytest.raises(error) as raised:
        watch.end(RuntimeError("Connection closed by peer"))
    if error is SM3Error:
        assert str(raised.value) == TOO_EARLY.replace("1", str(codes.index(0) + 1), 1)


def test_an_own_mistake_is_said_whatever_became_of_others():
    watch = Watch([], started=False)
    watch.others = [Ended(0)]
    watch.end(SM3Error("The image a.png cannot be read."))  # The caller raises it on.


def test_processes_that_end_after_the_work_end_nothing(monkeypatch):
    """The first one may be a little later than they are."""
    monkeypatch.setattr(processes, "PATIENCE", 5)
    gone = []
    monkeypatch.setattr(os, "_exit", gone.append)
    watch = Watch([Ended(0)], started=False)
    time.sleep(1)
    watch.stop()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "sm3kit-watch"]
    thread.join(5)
    assert not gone
    assert not thread.is_alive()


@pytest.mark.slow
def test_a_script_trains_and_evaluates_with_two_processes(tmp_path):
    """What comes before the evaluation is there already, for the process that it starts."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sm3kit\n"
        "if __name__ == '__main__':\n"
        "    run = sm3kit.pretrain('synthetic:40', epochs=1, stage='mmssl', workers=0, quiet=True,\n"
        "        backbone='test_resnet', weights='none', image_size=32, precision='32')\n"
        "    knn = run.evaluate('knn', quiet=True)\n"
        "    match = run.evaluate('match', devices=2, quiet=True)\n"
        "    print(knn.protocol, match.protocol, os.environ.get('LOCAL_RANK', '0'), flush=True)\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "knn match 0"
    assert done.stdout.count("knn match") == 1
    assert len(list(Path(tmp_path, "runs").iterdir())) == 1
