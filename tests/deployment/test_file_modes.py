"""Whoever may read a folder may read what sm3kit writes there."""

import os
import shutil

import pytest

UMASK = 0o027  # Unlike that of most machines, so that nothing is right by chance.


@pytest.fixture
def umask():
    before = os.umask(UMASK)
    yield
    os.umask(before)


def modes(folder):
    """{file or folder below: its mode, as chmod writes it}."""
    return {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777)
        for path in sorted(folder.rglob("*"))
    }


def ordinary(folder):
    """The modes that a shell would give, for what lies in a folder."""
    return {
        str(path.relative_to(folder)): oct((0o777 if path.is_dir() else 0o666) & ~UMASK)
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "files"),
    [
        ("pretrain --data synthetic:40 --image-size 32 --epochs 1 --mlssl-epochs 1 --out", 7),
        ("predict RUN --manifest TABLE --csv", 1),
        ("embed RUN --out", 1),
        ("export RUN --format safetensors --out", 4),
        ("export RUN --format timm --modality derm --out", 4),
        ("data synth --layout manifest --pairs 5 --size 32 --out", 11),
        ("plugins new tiny --family fusion --out", 8),
    ],
    ids=lambda value: value.split(" --")[0] if isinstance(value, str) else "",
)
def test_files_have_the_ordinary_mode(sm3kit, runs, drawn, tmp_path, umask, words, files):
    names = {"RUN": str(runs.both), "TABLE": str(drawn.table)}
    out = tmp_path / "new" / "out.csv" if "predict" in words else tmp_path / "new" / "out"
    if "embed" in words:
        out = out.with_suffix(".npz")
    done = sm3kit(*[names.get(word, word) for word in words.split()], out)
    assert done.exit_code == 0, done.output
    made = modes(out.parent)
    assert made == ordinary(out.parent)
    assert len([name for name in made if (out.parent / name).is_file()]) >= files


@pytest.mark.slow
def test_evaluations_and_reports_have_the_ordinary_mode(sm3kit, runs, umask):
    shutil.rmtree(runs.both / "eval")
    before = set(modes(runs.both))
    for words in ("evaluate RUN --epochs 1", "evaluate RUN --protocol match", "report RUN"):
        done = sm3kit(*[str(runs.both) if word == "RUN" else word for word in words.split()])
        assert done.exit_code == 0, done.output
    made = {name: mode for name, mode in modes(runs.both).items() if name not in before}
    assert {"eval/probe-test.safetensors", "eval/match-test.json", "report.html"} <= made.keys()
    assert made == {name: ordinary(runs.both)[name] for name in made}
