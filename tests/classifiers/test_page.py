"""The example on the page of classifiers holds the laws; the page names every built-in one."""

import re
from pathlib import Path

from sm3kit import testing
from sm3kit.core.registry import registry

PAGE = (Path(__file__).parents[2] / "docs" / "classifiers.md").read_text("utf-8")


def test_the_example_holds_the_laws():
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    made = {"__name__": "example"}
    exec(code, made)
    testing.check_classifier(made["Perceptron"])


def test_every_classifier_has_a_section_and_a_row():
    names = [d.name for d in registry("classifiers").declarations() if d.distribution == "sm3kit"]
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\)", PAGE, re.M) == re.findall(
        r"^## ([a-z]\w*)$", PAGE, re.M
    )
    assert sorted(re.findall(r"^## ([a-z]\w*)$", PAGE, re.M)) == sorted(names)
