"The pages: links, pictures, weight, small screens, mathematics, contrast, keyboard, search"

import re
from functools import cache
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from axe_playwright_python.base import AXE_SCRIPT  # the script that checks accessibility
from bs4 import BeautifulSoup

from stal.core.paths import project_root
from stal.tools.reading import BOOK

CHAPTERS = [f"{chapter}.html" for part in BOOK.values() for chapter in part]
OTHERS = [
    "index.html",
    "findings.html",
    "map.html",
    "glossary.html",
    "playground.html",
    "changelog.html",
    "api/index.html",
    "api/commands.html",
    "api/stal.spectrum.profile.html",
    "workshop/core.html",
    "lib/detectors/registry.html",
]
HEAVIEST = 1_500_000  # bytes of a page with its own pictures and scripts


@cache
def read(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def pages(built):
    found = sorted(built.rglob("*.html"))
    assert len(found) > 250
    return found


def test_no_dead_link_or_anchor(built, pages):
    dead = []
    anchors = {}
    for path in pages:
        ids = {tag["id"] for tag in read(path).find_all(id=True)}
        anchors[path.relative_to(built).as_posix()] = ids
    for path in pages:
        here = path.relative_to(built).as_posix()
        if here in ("search.html", "genindex.html"):
            continue
        for link in read(path).find_all("a", href=True):
            there, anchor = urldefrag(urljoin(here, link["href"]))
            if ":" in there or there.startswith("//"):
                continue
            if not (built / unquote(there)).exists():
                dead.append(f"{here} → {there}")
            elif anchor and there in anchors and unquote(anchor) not in anchors[there]:
                dead.append(f"{here} → {there}#{anchor}")
    assert not dead, dead[:20]


def test_every_picture_says_what_is_to_be_seen(built, pages):
    silent = []
    for path in pages:
        for picture in read(path).select("article img"):
            words = picture.get("alt", "").split()
            if len(words) < 5:
                silent.append(f"{path.relative_to(built)}: {picture.get('src')}: {words}")
    assert not silent, silent[:20]


def test_pages_are_light(built, pages):
    for path in pages:
        weight = path.stat().st_size
        for tag in read(path).select("article img[src], article script[src]"):
            file = (path.parent / unquote(tag["src"])).resolve()
            weight += file.stat().st_size
        assert weight < HEAVIEST, f"{path.relative_to(built)}: {weight:,} bytes"


def test_nothing_comes_from_elsewhere(built, pages):
    for path in pages:
        for tag in read(path).select("script[src], link[href], img[src], iframe[src]"):
            source = tag.get("src") or tag.get("href")
            if tag.name == "link" and not {"stylesheet", "icon", "preload"} & set(tag["rel"]):
                continue
            assert not re.match(r"(\w+:)?//", source), f"{path.relative_to(built)}: {source}"


def test_no_directive_and_no_hidden_cell_is_shown(pages):
    for path in pages:
        for code in read(path).select("div.highlight"):
            assert not re.search(r"^#\|", code.get_text(), re.M), path.name


def test_the_version_is_the_command_s(built):
    import stal

    assert f"stal {stal.__version__}" in read(built / "index.html").title.get_text()


@pytest.mark.parametrize("name", CHAPTERS + OTHERS)
def test_small_screen_and_mathematics(open_page, name):
    page = open_page(name, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "text scrolls sideways"
    equations = page.locator("article .math").count()
    if equations:
        page.wait_for_selector("mjx-container", state="attached")
        page.wait_for_function("MathJax.startup.promise.then(() => true)")
        assert page.locator("article .math mjx-container").count() >= equations
        assert page.locator("mjx-merror").count() == 0


SEEN = ["index.html", "findings.html", "glossary.html", "playground.html", "03_tail.html"]
SEEN += ["20_does_it_help.html", "api/stal.spectrum.profile.html", "map.html"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SEEN)
def test_contrast_and_accessibility(open_page, name, scheme):
    page = open_page(name, scheme=scheme)
    page.evaluate(AXE_SCRIPT)
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}}
    found = page.evaluate("rules => axe.run(document, rules)", rules)
    violations = [
        f"{v['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:200]}"
        for v in found["violations"]
        for node in v["nodes"][:3]
    ]
    assert not violations, violations[:8]


def test_keyboard_reaches_everything(open_page):
    page = open_page("06_uplift.html")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className + document.activeElement.href"))
    assert any("glossary.html#term-" in what for what in reached), "words of the glossary"
    assert any("07_wild.html" in what for what in reached), "navigation"


def test_words_of_the_glossary_explain_themselves(open_page):
    page = open_page("06_uplift.html")
    word = page.locator("a.term", has_text="uplift").first
    word.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    shown = word.evaluate("element => getComputedStyle(element, '::after').content")
    assert "rises again" in shown
    with page.expect_navigation():
        word.click()
    assert page.url.endswith("glossary.html#term-uplift")


def test_search_finds_the_uplift(open_page):
    page = open_page("search.html?q=uplift")
    page.wait_for_selector("ul.search li a")
    titles = page.locator("ul.search li a").all_inner_texts()
    assert any("uplift" in title.lower() for title in titles)


def test_every_notebook_can_be_downloaded(built):
    root = project_root() / "nbs"
    for name in CHAPTERS:
        link = read(built / name).select_one("a.download[href]")
        file = (built / name).parent / unquote(link["href"])
        assert file.read_bytes() == (root / name.replace(".html", ".ipynb")).read_bytes()
