"""Options: every type, as text from the command line and typed from YAML."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional

import pytest

from sm3kit.core.errors import BrokenPlugin, OptionError
from sm3kit.core.options import Option, bind, convert, options_of

if TYPE_CHECKING:
    from decimal import Decimal

Range = tuple[float, float]


class Pool:
    """A component with an option of every type."""

    def __init__(
        self,
        width: int,
        *,
        count: int = 1,
        rate: float = 0.5,
        gpu: bool = True,
        name: str = "mean",
        kind: Literal["mean", "max"] = "mean",
        side: Literal[1, 2] = 1,
        span: tuple[float, float] = (0.1, 1.0),
        pair: tuple[str, int] = ("a", 1),
        sizes: tuple[int, ...] = (1, 2),
        names: tuple[str, ...] = (),
        splits: tuple[Literal["train", "val"], ...] = ("train",),
        limit: int | None = None,
        label: Optional[str] = None,  # noqa: UP045
        level: float | Literal["auto"] = "auto",
        folder: Path = Path(),
        anything: Any = None,
    ) -> None:
        """Keeps nothing."""


TYPES = {name: option.type for name, option in options_of(Pool).items()}

CONVERTED = [
    ("count", "3", 3),
    ("count", 3, 3),
    ("count", 3.0, 3),
    ("count", "-1", -1),
    ("rate", "1e-6", 1e-6),
    ("rate", 1, 1.0),
    ("rate", "1", 1.0),
    ("gpu", "true", True),
    ("gpu", "No", False),
    ("gpu", "on", True),
    ("gpu", "0", False),
    ("gpu", False, False),
    ("gpu", 1, True),
    ("name", "max", "max"),
    ("name", 3, "3"),
    ("name", "", ""),
    ("kind", "max", "max"),
    ("side", "2", 2),
    ("side", 2, 2),
    ("span", "0.2,0.8", (0.2, 0.8)),
    ("span", " (0.2, 1) ", (0.2, 1.0)),
    ("span", [0.2, 1], (0.2, 1.0)),
    ("span", (0.2, 1), (0.2, 1.0)),
    ("pair", "b,2", ("b", 2)),
    ("pair", ["b", 2], ("b", 2)),
    ("sizes", "1,2,3", (1, 2, 3)),
    ("sizes", "[1, 2]", (1, 2)),
    ("sizes", "4", (4,)),
    ("sizes", 4, (4,)),
    ("sizes", "", ()),
    ("sizes", "()", ()),
    ("sizes", [], ()),
    ("names", "a, b", ("a", "b")),
    ("names", "a", ("a",)),
    ("names", ["a", "b"], ("a", "b")),
    ("splits", "train,val", ("train", "val")),
    ("limit", "none", None),
    ("limit", None, None),
    ("limit", "3", 3),
    ("label", "None", None),
    ("label", "x", "x"),
    ("level", "auto", "auto"),
    ("level", "0.5", 0.5),
    ("level", 2, 2.0),
    ("folder", "a/b", Path("a/b")),
    ("anything", {"a": 1}, {"a": 1}),
]


@pytest.mark.parametrize(("name", "given", "wanted"), CONVERTED)
def test_values_and_their_text(name, given, wanted):
    found = bind(Pool, "fusion 'pool'", {name: given})
    assert found == {name: wanted}
    assert type(found[name]) is type(wanted)
    if isinstance(wanted, tuple):
        assert [type(part) for part in found[name]] == [type(part) for part in wanted]


REFUSED = [
    ("count", "3.5", "a whole number"),
    ("count", 3.5, "a whole number"),
    ("count", True, "a whole number"),
    ("count", "many", "a whole number"),
    ("count", None, "a whole number"),
    ("count", [1], "a whole number"),
    ("rate", "fast", "a number"),
    ("rate", True, "a number"),
    ("rate", None, "a number"),
    ("gpu", "maybe", "true or false"),
    ("gpu", 2, "true or false"),
    ("gpu", None, "true or false"),
    ("name", None, "str"),
    ("name", ["a"], "str"),
    ("name", {"a": 1}, "str"),
    ("kind", "Max", "mean|max"),
    ("kind", None, "mean|max"),
    ("side", "3", "1|2"),
    ("span", "0.2", "two numbers"),
    ("span", "0.1,0.2,0.3", "two numbers"),
    ("span", "a,b", "two numbers"),
    ("span", None, "two numbers"),
    ("sizes", "1,x", "whole numbers"),
    ("sizes", {1: 2}, "whole numbers"),
    ("sizes", True, "whole numbers"),
    ("names", {"a": 1}, "str,..."),
    ("names", None, "str,..."),
    ("splits", "train,test", "train|val,..."),
    ("limit", "few", "a whole number or none"),
    ("level", "high", "a number or auto"),
]


@pytest.mark.parametrize(("name", "given", "wanted"), REFUSED)
def test_values_that_do_not_fit(name, given, wanted):
    default = options_of(Pool)[name].default
    with pytest.raises(OptionError) as caught:
        bind(Pool, "fusion 'pool'", {name: given})
    assert str(caught.value) == (
        f"The fusion 'pool': option {name!r} must be {wanted}, not {given!r}. "
        f"Its default is {default!r}."
    )


def test_an_unknown_option_offers_the_near_and_the_known():
    def pool(width: int, *, temperature: float = 0.1, hidden: int = 0) -> None:
        """A component may be a function."""

    with pytest.raises(OptionError) as caught:
        bind(pool, "objective 'pool'", {"temprature": 1})
    assert str(caught.value) == (
        "The objective 'pool': No option named 'temprature'. Did you mean 'temperature'? "
        "Known: hidden, temperature."
    )


def test_a_component_without_options():
    class Plain:
        pass

    assert options_of(Plain) == {}
    with pytest.raises(OptionError, match=r"No option named 'x'\. Known: none\.$"):
        bind(Plain, "fusion 'plain'", {"x": 1})


def test_positional_arguments_are_no_options():
    assert "width" not in options_of(Pool)
    with pytest.raises(OptionError, match=r"No option named 'width'\."):
        bind(Pool, "fusion 'pool'", {"width": 3})


def test_options_come_in_the_order_of_the_signature():
    assert list(options_of(Pool))[:4] == ["count", "rate", "gpu", "name"]
    assert options_of(Pool)["count"] == Option("count", int, 1)


def test_an_option_without_annotation_is_text():
    def pool(*, kind="mean"):
        pass

    assert bind(pool, "fusion 'pool'", {"kind": 3}) == {"kind": "3"}


def test_a_type_that_only_a_type_checker_sees():
    def pool(*, rate: "Decimal" = 0) -> None:
        pass

    with pytest.raises(BrokenPlugin) as caught:
        options_of(pool)
    assert str(caught.value) == (
        "The types of the options of test_options:test_a_type_that_only_a_type_checker_sees."
        "<locals>.pool cannot be read: name 'Decimal' is not defined. "
        "Import it outside of `if TYPE_CHECKING`."
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "int"),
        ("rate", "float"),
        ("gpu", "bool"),
        ("name", "str"),
        ("kind", "mean|max"),
        ("side", "1|2"),
        ("span", "float,float"),
        ("pair", "str,int"),
        ("sizes", "int,..."),
        ("splits", "train|val,..."),
        ("limit", "int or none"),
        ("label", "str or none"),
        ("level", "float or auto"),
        ("folder", "Path"),
        ("anything", "Any"),
    ],
)
def test_types_as_people_write_them(name, text):
    assert Option(name, TYPES[name], None).type_text == text


def test_convert_does_not_change_a_value_of_the_type():
    for name, _, wanted in CONVERTED:
        assert convert(options_of(Pool)[name], wanted, "fusion 'pool'") == wanted
