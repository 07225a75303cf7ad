"""The page on writing plugins is typed as it stands, from an empty folder to a trained run."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "writing-plugins.md").read_text("utf-8")


def block(mark):
    """The fenced block under a mark."""
    (found,) = re.findall(
        rf"^<!-- {re.escape(mark)} -->\n```\w+\n(.*?)^```", PAGE, re.M | re.DOTALL
    )
    return found


def lines_of_python():
    return re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.DOTALL)


@pytest.mark.slow
def test_the_tutorial_runs_and_its_changes_hold_the_laws(workshop):
    commands = block("tutorial").splitlines()
    assert len(commands) < 25  # A page of a terminal.
    said = workshop.type_in(commands)
    assert "0 FAILED" in said["sm3kit plugins check ultrasound"]
    assert (workshop.folder / "first-run" / "model.safetensors").is_file()
    assert (workshop.folder / "first-run" / "eval" / "probe-test.json").is_file()
    compressed, speckled = (text.strip() for text in lines_of_python()[:2])
    module = workshop.folder / "sm3kit-ultrasound" / "sm3kit_ultrasound.py"
    text = module.read_text("utf-8")
    for line, before in (
        (compressed, "return to_chw(resizing.shrink("),
        (speckled, "factor = rng"),
    ):
        assert text.count(f"        {before}") == 1
        text = text.replace(f"        {before}", f"        {line}\n        {before}")
    module.write_text(text, "utf-8")
    assert "0 FAILED" in workshop.run("sm3kit plugins check ultrasound")
    # What the page says of a forgotten law.
    module.write_text(
        text.replace("where.random() < self.flip", "rng.random() < self.flip"), "utf-8"
    )
    said = workshop.run("sm3kit plugins check ultrasound", code=1)
    assert "FAILED     paired geometry" in said


@pytest.mark.slow
def test_the_single_file_runs(workshop):
    (workshop.folder / "my_fusion.py").write_text(block("my_fusion.py"), "utf-8")
    check, train = block("single file").splitlines()
    said = workshop.type_in([check, f"{train} --out own-run"])
    assert "0 FAILED" in said[check]
    assert "my_fusion.py" in (workshop.folder / "own-run" / "variant.yaml").read_text("utf-8")


def test_every_check_and_fixture_is_on_the_page():
    from sm3kit import pytest_plugin, testing

    checks = {name for name in testing.__all__ if name.startswith("check_")}
    assert checks <= set(re.findall(r"`(check_\w+)\(", PAGE))
    fixtures = ("sm3kit_command", "tiny_studies", "fake_distribution", "registered")
    for name in fixtures:
        assert hasattr(pytest_plugin, name)
        assert f"| `{name}` |" in PAGE
