"""The page in a browser: it opens without a complaint, sorts, switches its labels, and prints."""

import json
import re
import shutil
import subprocess

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no Chromium")

ASKING = """
<pre id="answer"></pre>
<script>
const told = {};
const table = document.querySelector("table"), heads = table.tHead.rows[0].cells;
const column = (place) => Array.from(table.tBodies[0].rows, (row) => row.cells[place].dataset.value);
heads[2].querySelector("button").click();
told.descending = column(2);
told.sort = heads[2].getAttribute("aria-sort");
heads[2].querySelector("button").click();
told.ascending = column(2);
told.foot = table.tFoot.rows[0].cells[0].textContent;
const tabs = Array.from(document.querySelectorAll("[aria-label=Labels] [role=tab]"));
const panels = tabs.map((tab) => document.getElementById(tab.getAttribute("aria-controls")));
const seen = () => panels.map((panel) => panel.offsetHeight > 0);
told.first = seen();
tabs[1].click();
told.clicked = seen();
tabs[1].focus();
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
press("ArrowRight");
told.right = [seen(), document.activeElement.id];
press("ArrowRight");
told.around = document.activeElement.id;
press("End");
told.end = [document.activeElement.id, document.activeElement.getAttribute("aria-selected")];
told.tabindex = tabs.map((tab) => tab.tabIndex);
told.images = Array.from(document.images, (one) => one.complete && one.naturalWidth > 0);
told.wide = document.documentElement.scrollWidth <= window.innerWidth;
told.loaded = performance.getEntriesByType("resource").map((one) => one.name).filter((one) => !one.startsWith("data:"));
document.getElementById("answer").textContent = JSON.stringify(told);
</script>
"""


def browse(tmp_path, *words):
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/u",
    ]
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, timeout=240, check=True
    )


@pytest.fixture(scope="module")
def told(page, tmp_path_factory):
    """What the page said to a reader who clicked and typed, and what its console said."""
    folder = tmp_path_factory.mktemp("browser")
    asked = folder / "page.html"
    before, end, after = page.text.rpartition("</body>")
    asked.write_text(f"{before}<script>addEventListener('load', () => 0)</script>{after}", "utf-8")
    waiting = ASKING.replace("<script>", "<script>addEventListener('load', () => {").replace(
        "</script>", "});</script>"
    )
    asked.write_text(before + waiting + end + after, "utf-8")
    done = browse(
        folder, "--enable-logging=stderr", "--window-size=1000,900", "--dump-dom", asked.as_uri()
    )
    answer = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer and answer.group(1), done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(answer.group(1).replace("&gt;", ">").replace("&amp;", "&")), console


def test_it_opens_without_a_complaint_and_loads_nothing(told):
    answer, console = told
    assert console == []
    assert answer["loaded"] == []
    assert all(answer["images"])
    assert len(answer["images"]) > 20


def test_a_click_sorts_and_the_mean_stays_below(told):
    answer, _ = told
    down, up = ([float(one) for one in answer[name]] for name in ("descending", "ascending"))
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert answer["sort"] == "descending"
    assert answer["foot"] == "mean"


def test_clicks_and_arrows_switch_labels(told):
    answer, _ = told
    assert answer["first"] == [True, False, False]
    assert answer["clicked"] == [False, True, False]
    assert answer["right"] == [[False, False, True], "label-tab-2"]
    assert answer["around"] == "label-tab-0"
    assert answer["end"] == ["label-tab-2", "true"]
    assert answer["tabindex"] == [-1, -1, 0]


def test_it_does_not_overflow_a_narrow_window(told):
    assert told[0]["wide"]


def test_it_prints_all_labels(page, tmp_path):
    """Every label begins a page of its own, so that hidden panels would show as missing pages."""
    out = tmp_path / "page.pdf"
    browse(tmp_path, f"--print-to-pdf={out}", "--no-pdf-header-footer", page.file.as_uri())
    content = out.read_bytes()
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page[^s]", content))
    # Facts, results, training, three labels, matching, commands, every choice.
    assert pages >= 9
