"""`sm3kit doctor`: each fault is found, with what mends it, and none stops the doctor."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner

from sm3kit.cli.main import cli
from sm3kit.core.text import in_units
from sm3kit.diagnosis import doctor as doctor_module
from sm3kit.diagnosis import libraries
from sm3kit.diagnosis.finding import Finding, ImportTrial, pip, try_imports
from sm3kit.diagnosis.libraries import unmet_requirements
from sm3kit.diagnosis.plugins import check_checkouts, plugins, targets

SCRIPT = Path(sysconfig.get_path("scripts")) / "sm3kit"
FINE = {
    "sonokit/__init__.py": "",
    "sonokit/fine.py": "class Mean:\n    ...\n",
    "sonokit/sly.py": "open('/nowhere/at/all')\nclass Mean: ...\n",
    "sonokit/poor.py": "import qqq\nclass Mean: ...\n",
}
CPU = {"cuda": None, "hip": None, "gpus": [], "mps": False, "threads": 1}


def one(findings, name):
    """The finding of a name that is not about the rest."""
    (found,) = [finding for finding in findings if finding.name == name]
    return found


@pytest.mark.slow
def test_this_installation():
    done = subprocess.run(
        [SCRIPT, "doctor", "--json"], capture_output=True, text=True, check=False, timeout=300
    )
    document = json.loads(done.stdout)
    levels = {finding["level"] for finding in document["findings"]}
    assert done.returncode == int("broken" in levels)
    assert document["ok"] == ("broken" not in levels)
    by_name = {(finding["section"], finding["name"]): finding for finding in document["findings"]}
    for name in ("python", "torch", "torchvision", "lightly", "timm", "numpy"):
        assert by_name["libraries", name]["level"] == "ok"
    sections = list(dict.fromkeys(finding["section"] for finding in document["findings"]))
    assert sections == ["libraries", "GPU", "plugins", "folders", "machine"]
    assert all(
        finding["remedy"] for finding in document["findings"] if finding["level"] == "broken"
    )


def test_a_fault_is_told_with_its_remedy(monkeypatch):
    found = [
        Finding("libraries", "torch", "ok", "2.9"),
        Finding("libraries", "faiss", "broken", "is [gone]", "pip install faiss-cpu"),
        Finding("machine", "load", "hint", "9.0", "top"),
    ]
    monkeypatch.setattr(doctor_module, "diagnose", lambda: found)
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert result.stdout == (
        "libraries\n"
        "  ok     torch: 2.9\n"
        "  broken faiss: is [gone]\n"
        "         pip install faiss-cpu\n"
        "machine\n"
        "  hint   load: 9.0\n"
        "         top\n"
        "1 broken, 1 hint.\n"
    )
    quiet = CliRunner().invoke(cli, ["doctor", "--quiet"]).stdout
    assert "torch" not in quiet and "faiss" in quiet and "load" in quiet
    monkeypatch.setattr(doctor_module, "diagnose", lambda: found[:1])
    fine = CliRunner().invoke(cli, ["doctor", "-q"])
    assert (fine.exit_code, fine.stdout) == (0, "No problem found.\n")


# Imports in another process


def test_what_crashes_hangs_or_fails_is_told_and_the_rest_is_tried(tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text("import os\nos.abort()\n")
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "noisy.py").write_text("print('{')\nname = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = try_imports(["crashing", "noisy:name", "noisy:other", "hanging", "leaving", "json"], 4)
    assert found["crashing"].error == "the import crashes Python with SIGABRT"
    assert found["hanging"].error == "the import takes longer than 4 s"
    assert found["leaving"].error == "SystemExit: 3"
    assert found["noisy:name"].error == found["json"].error == ""
    assert "has no attribute 'other'" in found["noisy:other"].error


def test_a_file_of_plugins_is_tried_as_well(tmp_path, monkeypatch):
    missing = tmp_path / "mine.py"
    monkeypatch.setenv("SM3KIT_PLUGINS", str(missing))
    finding = one(plugins(try_imports([str(missing)])), str(missing))
    assert finding.level == "broken"
    assert finding.text.startswith(f"There is no plugin file {missing}.")
    assert finding.remedy == "unset SM3KIT_PLUGINS"
    missing.write_text("x = 1\n")
    assert one(plugins(try_imports([str(missing)])), str(missing)).level == "ok"


# Libraries


def all_well():
    results = {module: ImportTrial() for module in libraries.MODULES}
    return results | {"torch": ImportTrial(facts=CPU), "faiss": ImportTrial(facts={"gpus": 0})}


def test_a_torchvision_of_another_torch(tmp_path, monkeypatch):
    """As PyTorch for the CPU beside the torchvision of PyPI fails."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(libraries, "version", {"torch": "2.9.0+cpu", "torchvision": "0.24"}.get)
    monkeypatch.setattr(libraries, "unmet_requirements", lambda name: [])
    results = all_well() | try_imports(["torchvision"])
    found = list(libraries.libraries(results))
    finding = one(found, "torchvision")
    assert finding.level == "broken"
    assert finding.text == "0.24: RuntimeError: operator torchvision::nms does not exist"
    index = "--index-url https://download.pytorch.org/whl/cpu"
    assert finding.remedy == f"{pip()} install --force-reinstall {index} torch torchvision"
    assert one(found, "others").level == "hint"
    assert not [other for other in found if other.name == "timm"]


@pytest.mark.parametrize(
    ("module", "error", "name", "remedy"),
    [
        ("timm", "ImportError: x", "timm", "install --force-reinstall --no-deps timm"),
        (
            "cv2",
            "ImportError: libGL.so.1: cannot open shared object file",
            "opencv-python-headless",
            "install --force-reinstall opencv-python-headless",
        ),
    ],
)
def test_a_library_that_cannot_be_imported(module, error, name, remedy):
    finding = one(libraries.libraries(all_well() | {module: ImportTrial(error)}), name)
    assert finding.level == "broken"
    assert finding.text.endswith(error)
    assert finding.remedy == f"{pip()} {remedy}"


def test_requirements_that_are_not_met(fake_distribution):
    home = fake_distribution("sonokit", {"fusions": {"fine": "sonokit.fine:Mean"}}, FINE)
    metadata = home / "sonokit-1.0.dist-info" / "METADATA"
    wanted = [
        "numpy<1",
        "click>=8",
        "nosuchlib",
        "nosuchtoo; sys_platform == 'nowhere'",
        "nosuchextra; extra == 'more'",
    ]
    metadata.write_text(
        "Metadata-Version: 2.1\nName: sonokit\nVersion: 1.0\nProvides-Extra: more\n"
        + "".join(f"Requires-Dist: {one}\n" for one in wanted)
    )
    found = {(it.by, it.requirement, bool(it.installed)) for it in unmet_requirements("sonokit")}
    mine = {it for it in found if it[0] == "sonokit"}
    assert mine == {("sonokit", "numpy<1", True), ("sonokit", "nosuchlib", False)}


def test_the_remedy_of_a_requirement(monkeypatch):
    from sm3kit.diagnosis.libraries import UnmetRequirement

    wrong = [
        UnmetRequirement("sm3kit", "lightly<2,>=1.6", "lightly", "2.1"),
        UnmetRequirement("torchvision", "torch==2.9.0", "torch", "2.8.0"),
        UnmetRequirement("timm", "huggingface_hub", "huggingface_hub", ""),
    ]
    monkeypatch.setattr(libraries, "unmet_requirements", lambda name: wrong)
    *_, first, second, third = libraries.libraries(all_well())
    assert first.text == "sm3kit needs lightly<2,>=1.6, and 2.1 is installed"
    assert first.level == "broken"
    assert first.remedy == f'{pip()} install --upgrade "lightly<2,>=1.6"'
    assert second.remedy == f"{pip()} install --upgrade torch torchvision"
    assert third.level == second.level == "hint"
    assert third.text.endswith("and it is not installed")


# GPUs


@pytest.mark.parametrize(
    ("facts", "driver", "visible", "level", "words", "remedy"),
    [
        ({}, False, None, "ok", "none: everything runs on the CPU", ""),
        ({"gpus": [["H100", 80 * 2**30]]}, True, None, "ok", "H100, 80 GiB", ""),
        ({"cuda": "13.0"}, True, "", "hint", "CUDA_VISIBLE_DEVICES is ''", "unset CUDA_VIS"),
        ({}, True, None, "hint", "built for the CPU only", "--force-reinstall torch"),
        ({"cuda": "13.0"}, True, None, "hint", "driver too old", "nvidia-smi"),
        ({"mps": True}, False, None, "ok", "an Apple GPU", ""),
    ],
)
def test_gpus_of_pytorch(facts, driver, visible, level, words, remedy, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/x" if driver else None)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = list(libraries.gpus(all_well() | {"torch": ImportTrial(facts=CPU | facts)}))
    finding = one(found, "torch")
    assert (finding.level, words in finding.text, remedy in finding.remedy) == (level, True, True)


def test_a_gpu_that_faiss_does_not_see():
    results = all_well() | {"torch": ImportTrial(facts=CPU | {"gpus": [["H100", 1]]})}
    finding = one(libraries.gpus(results), "faiss")
    assert finding.level == "hint"
    assert finding.remedy == "sm3kit pretrain --clusterer torch"
    results["faiss"] = ImportTrial(facts={"gpus": 1})
    assert one(libraries.gpus(results), "faiss").text == "1 GPU"


# Plugins


@pytest.fixture
def editable(fake_distribution, tmp_path):
    """An editable distribution; gives the folder of its checkout."""
    names = {"fine": "sonokit.fine:Mean", "old": "sonokit.fine:Mean"}
    home = fake_distribution("sonokit", {"fusions": names, "api": {"1": "sonokit"}}, FINE)
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    link = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    (home / "sonokit-1.0.dist-info" / "direct_url.json").write_text(json.dumps(link))
    return checkout


LINES = "fine = sonokit.fine:Mean\n    new = sonokit.fine:Mean\nsm3kit.api =\n    1 = sonokit\n"


def test_a_checkout_that_has_changed_since(editable):
    (editable / "setup.cfg").write_text(f"[options.entry_points]\nsm3kit.fusions =\n    {LINES}")
    finding = one(check_checkouts(), "sonokit")
    assert finding.level == "broken"
    assert finding.text == (
        f"its checkout {editable} has changed since it was installed; "
        "not installed yet: fusions/new; gone: fusions/old"
    )
    assert finding.remedy == f"{pip()} install --no-deps -e '{editable}'"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in Python 3.11")
def test_a_checkout_with_a_pyproject(editable):
    (editable / "pyproject.toml").write_text(
        '[project.entry-points."sm3kit.fusions"]\n'
        'fine = "sonokit.fine:Mean"\nold = "sonokit.fine:Mean"\n'
        '[project.entry-points."sm3kit.api"]\n1 = "sonokit"\n'
    )
    assert one(check_checkouts(), "sonokit").level == "ok"


def test_a_checkout_without_declarations_is_no_fault(editable):
    assert not [found for found in check_checkouts() if found.name == "sonokit"]


def test_plugins_that_cannot_be_used(fake_distribution):
    names = {one: f"sonokit.{one}:Mean" for one in ("fine", "sly", "poor")} | {"sum": "sonokit:X"}
    fake_distribution("sonokit", {"fusions": names, "api": {"1": "sonokit"}}, FINE)
    wanted = targets()
    assert "sonokit.sly:Mean" in wanted and "sonokit.poor:Mean" not in wanted
    found = list(plugins(try_imports([one for one in wanted if "sonokit" in one])))
    broken = {finding.name: finding for finding in found if finding.level == "broken"}
    assert "of sonokit 1.0: FileNotFoundError" in broken["fusions/sly"].text
    assert broken["fusions/sly"].remedy == f"{pip()} install --upgrade sonokit"
    assert broken["fusions/poor"].remedy == f"{pip()} install qqq"
    assert "fusions/fine" not in broken
    clash = [it for it in found if it.name == "fusions/sum" and "claimed" in it.text]
    assert [it.text for it in clash] == ["is claimed by sm3kit and sonokit; keep one of them"]
    assert clash[0].remedy == f"{pip()} uninstall sonokit"


@pytest.mark.parametrize(
    ("api", "level", "text", "remedy"),
    [
        (
            {},
            "hint",
            "does not say which plugin API it was written for",
            "sm3kit.api = 1 = sonokit",
        ),
        ({"api": {"1": "sonokit"}}, "ok", "plugin API 1", ""),
        ({"api": {"99": "sonokit"}}, "hint", "version 99 of the plugin API", "--upgrade sm3kit"),
        ({"api": {"0": "sonokit"}}, "hint", "version 0 of the plugin API", "--upgrade sonokit"),
    ],
)
def test_the_plugin_api_of_others(api, level, text, remedy, fake_distribution):
    fake_distribution("sonokit", {"fusions": {"fine": "sonokit.fine:Mean"}, **api}, FINE)
    finding = one(plugins({}), "sonokit")
    assert (finding.level, text in finding.text, remedy in finding.remedy) == (level, True, True)


# Folders


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "file" / "cache"))
    finding = one(doctor_module.folders(), "cache")
    assert finding.level == "broken"
    assert "cannot write to" in finding.text
    assert finding.remedy.startswith("export SM3KIT_CACHE=")


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))
    assert one(doctor_module.folders(), "cache").text.endswith("does not exist yet")
    assert not list(tmp_path.iterdir())


def test_a_limit_that_is_no_number(monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE_LIMIT", "much")
    finding = one(doctor_module.folders(), "limit")
    assert finding.level == "broken"
    assert "'much'" in finding.text


def test_a_full_cache_and_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path))
    (tmp_path / "images" / "ab").mkdir(parents=True)
    (tmp_path / "images" / "ab" / "c.npy").write_bytes(bytes(2**20))
    monkeypatch.setenv("SM3KIT_CACHE_LIMIT", "0.001")
    finding = one(doctor_module.folders(), "images")
    assert finding.level == "hint"
    assert finding.text.startswith("1.0 MiB in 1 files, limit 1.0 MiB; full")
    assert finding.remedy == "export SM3KIT_CACHE_LIMIT=0.002"
    monkeypatch.delenv("SM3KIT_CACHE_LIMIT")
    usage = namedtuple("usage", "total used free")(0, 0, 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    finding = one(doctor_module.folders(), "features")
    assert finding.text.endswith("but the disk has only 1.0 GiB free")
    assert finding.remedy == "export SM3KIT_CACHE_LIMIT=0.3"
    disks = [it for it in doctor_module.folders() if it.name == "disk"]
    assert {(it.level, it.remedy) for it in disks} == {("hint", "sm3kit cache clear")}


# The machine


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(doctor_module, "usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    results = {"torch": ImportTrial(facts=CPU | {"threads": 8})}
    finding = one(doctor_module.machine(results), "threads")
    assert finding.level == "hint"
    assert finding.text.startswith("8 in PyTorch, 2 usable cores, because OMP_NUM_THREADS is 8;")
    assert finding.remedy == "export OMP_NUM_THREADS=2"


@pytest.mark.parametrize(
    ("name", "change", "remedy"),
    [
        ("load", lambda p: p.setattr(os, "getloadavg", lambda: (99, 99.0, 99)), "top"),
        ("terminal", lambda p: p.setenv("COLUMNS", "40"), "stty columns 80"),
        (
            "locale",
            lambda p: p.setattr("locale.getpreferredencoding", lambda do: "ANSI_X3.4-1968"),
            "export PYTHONUTF8=1",
        ),
    ],
)
def test_hints_on_the_machine(name, change, remedy, monkeypatch):
    change(monkeypatch)
    finding = one(doctor_module.machine(all_well()), name)
    assert finding.level == "hint"
    assert finding.remedy.startswith(remedy)


@pytest.mark.skipif(not doctor_module.SHARED.is_dir(), reason="no shared memory here")
def test_little_shared_memory(monkeypatch):
    usage = namedtuple("usage", "total used free")(64 * 2**20, 0, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    finding = one(doctor_module.machine(all_well()), "shared")
    assert finding.level == "hint"
    assert finding.text.startswith("64 MiB in /dev/shm")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (20 * 2**30, "20 GiB"), (2**20, "1.0 MiB")],
)
def test_bytes_in_units(count, text):
    assert in_units(count) == text
