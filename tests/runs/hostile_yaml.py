"""YAML that is damaged, of another shape, or meant to take all memory or time."""

import itertools

# In place of a value; most are no value that any setting takes.
VALUES = {
    "null": "null", "tilde": "~", "empty": "", "true": "yes", "whole": "7", "negative": "-1",
    "zero": "0", "float": "0.5", "infinite": ".inf", "nan": ".nan", "exponent": "1e400",
    "zeros": "1" + "0" * 400, "digits": "9" * 5000, "64-bits": str(2**64), "sixties": "1:59:59",
    "long-sixties": "1" + ":59" * 400, "octal": "0777", "hexadecimal": "0xFFFFFFFFFFFFFFFFFF",
    "binary": "0b_", "date": "2020-01-01", "time": "2020-01-01T00:00:00Z", "no-date": "2020-99-99",
    "equals": "=", "list": "[1, 2]", "empty-list": "[]", "table": "{a: 1}", "empty-table": "{}",
    "mixed": "[1, a, {b: c}, [d]]", "text": "hello", "long-text": "x" * 100_000, "quote": "'open",
    "tag-int": "!!int foo", "tag-float": "!!float bar", "tag-date": "!!timestamp x",
    "tag-python": "!!python/object/apply:os.system ['touch hostile']",
    "tag-name": "!!python/name:os.system", "tag-own": "!mine x", "tag-binary": "!!binary x",
    "tag-set": "!!set {a, b}", "tag-omap": "!!omap [a: 1]", "tag-bang": "! x",
    "tag-text": "!!str 5", "nul": '"\\0"', "half-letter": '"\\ud800"', "escape": '"\\q"',
    "bell": '"\\a"', "merge": "{<<: 5}", "merge-list": "{<<: [1]}", "alias": "*nowhere",
    "own-alias": "&a [*a]", "own-table": "&a {b: *a}", "deep-list": "[" * 5000,
    "deep-closed": "[" * 5000 + "]" * 5000, "deep-table": "{a: " * 40 + "1" + "}" * 40,
    "names-list": "{[1]: 2}", "names-table": "{{a: 1}: 2}", "names-null": "{~: 1}",
    "names-number": "{1: 2, 1.5: 3}", "names-twice": "{a: 1, a: 2}", "names-date": "{2020-01-01: 1}",
    "names-yes": "{yes: 1, no: 2}", "colon": "a: b: c", "star": "*", "percent": "%", "at": "@",
    "tick": "`", "backslash": "\\", "tab": "\t- x", "emoji": "\U0001f600", "wide": "\uff1d1",
}  # fmt: skip


def laughs(names=10, levels=8):
    """Aliases of aliases: a few hundred letters that stand for names ** levels values."""
    lines = ["a0: &a0 [ha]"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * names)}]")
    return "\n".join(lines) + "\n"


def merges(levels=9):
    """The same with tables that are merged."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}")
    return "\n".join(lines) + "\n"


def whole_files():
    """{name: bytes} of whole files."""
    return {
        "empty": b"", "blank": b" \n\n", "comment": b"# nothing\n", "nul": b"lr: \0 1\n",
        "nuls": b"\0" * 5000, "latin": "title: caf\xe9\n".encode("latin-1"), "half": b"lr: \xc3",
        "mark": b"\xef\xbb\xbfrows: {}\n", "utf-16": "rows: {}\n".encode("utf-16"),
        "utf-16-cut": "rows: {}\n".encode("utf-16")[:-1], "utf-32": "rows: {}\n".encode("utf-32"),
        "tabs": b"rows:\n\tone:\n\t\tlr: 1\n", "documents": b"rows: {}\n---\nrows: {}\n",
        "three-marks": b"---\n---\n---\n", "text": b"hello\n", "list": b"- a\n- b\n",
        "number": b"5\n", "date": b"2020-01-01\n", "brackets": b"[" * 100_000,
        "closing": b"]" * 100_000, "dashes": b"- " * 100_000, "questions": b"? " * 100_000,
        "colons": b": " * 50_000, "anchors": b"&a " * 1000, "tags": b"!a " * 1000,
        "indents": b"".join(b" " * n + b"a:\n" for n in range(1000)),
        "many-values": b"a: [" + b"1," * 400_000 + b"1]\n", "too-large": b"#" * (2**20 + 1),
        "many-lines": b"- a\n" * 250_000, "many-names": b"".join(b"k%d: 1\n" % n for n in range(60_000)),
        "carriage": b"rows: {}\rbase: {}\r", "directive": b"%YAML 9.9\n---\nrows: {}\n",
        "directives": b"%TAG ! tag:x,2000:\n---\nrows: !a {}\n", "pickle": b"\x80\x04N.",
        "zip": b"PK\x03\x04" + b"\0" * 100, "png": b"\x89PNG\r\n\x1a\n", "escapes": b"\x1b[31mred\n",
        "laughs": laughs().encode(), "laughs-deep": laughs(3, 25).encode(),
        "merges": merges().encode(), "ends": b"...\n...\n", "json": b'{"rows": {"a": [1, 2}}',
        "quotes": b'"' * 9999, "block": b"a: |\n" + b" x\n" * 9999, "open-block": b"a: >9\n x",
    }  # fmt: skip


# Where a value stands, in a recipe and in a grid.
PLACES = {
    "recipe": ("{}", "stage1: {{lr: {}}}", "objective: {}", "options: {}", "options: {{simclr: {}}}",
               "data: {}", "base: {}", "map: {}", "per_modality: {}", "evaluate: {}",
               "stage2: {{views: {}}}", "stage1: {}", "{}: 1"),
    "grid": ("{}", "rows: {}", "rows: {{a: {}}}", "rows: {{a: {{recipe: {}}}}}",
             "rows: {{a: {{stage1: {{lr: {}}}}}}}", "{{rows: {{a: {{}}}}, seeds: {}}}",
             "{{rows: {{a: {{}}}}, axes: {}}}", "{{rows: {{a: {{}}}}, axes: {{values: {}}}}}",
             "{{rows: {{a: {{}}}}, axes: {{values: {{stage1.lr: {}}}}}}}",
             "{{rows: {{a: {{}}}}, data: {}}}", "{{rows: {{a: {{}}}}, base: {}}}",
             "{{rows: {{a: {{}}}}, protocols: {}}}", "{{rows: {{a: {{}}}}, title: {}}}",
             "{{rows: {{{}: {{}}}}}}"),
}  # fmt: skip


def hostile_yaml(role):
    """{name: bytes} for a "recipe" or a "grid": every value takes its turn at the places."""
    found = dict(whole_files())
    places = PLACES[role]
    for turn, (number, (name, value)) in itertools.product(range(3), enumerate(VALUES.items())):
        place = places[(number + 5 * turn) % len(places)]
        found[f"{name}-{turn}"] = (place.format(value) + "\n").encode()
    return found
