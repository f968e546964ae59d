"The rules of the house: they may only get better."

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import house

EXCEPTIONS = house.exceptions()


@pytest.fixture(scope="module")
def measures():
    return house.measures()


@pytest.mark.parametrize("what", EXCEPTIONS["at most"])
def test_at_most(measures, what):
    assert measures[what] <= EXCEPTIONS["at most"][what]


@pytest.mark.parametrize("what", EXCEPTIONS["at least"])
def test_at_least(measures, what):
    assert measures[what] >= EXCEPTIONS["at least"][what]


@pytest.mark.parametrize("rule", house.RULES)
def test_rule(rule):
    allowed = EXCEPTIONS["exceptions"].get(rule, [])
    broken = house.offenders()[rule]
    fresh = sorted(set(broken) - set(allowed))
    assert not fresh, f"{rule}: {fresh}"
    cured = sorted(set(allowed) - set(broken))
    assert not cured, f"take these out of tests/house.yml: {cured}"


def test_exceptions_belong_to_rules():
    assert set(EXCEPTIONS["exceptions"]) <= set(house.RULES)


def ruff(*words, root):
    command = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
    places = ["nbs", "tests", "setup.py", ".ci"]
    run = subprocess.run([command, *words, *places], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_ruff_finds_nothing(root):
    ruff("check", "--no-cache", "--quiet", "--output-format", "concise", root=root)


def test_all_is_formatted(root):
    ruff("format", "--no-cache", "--check", root=root)


def test_the_measures_see_what_they_should():
    "On text and code made up for it"
    text = "One is short. Two, with `code`, is *longer* than you think.\n\n| a | table |\n\n# Title"
    assert [len(house.words(s)) for s in house.sentences(text)] == [3, 8]
    tree = house.ast.parse("a, b = 1, 2\nc, d = pair()\ne = 3")
    assert [house.is_tuple_assignment(node) for node in tree.body] == [True, False, False]
    up = house.ast.parse("from ..tools.style import PALETTE")
    found = list(house.module_imports("stal.core.images", up))
    assert found == [("stal.tools.style", "PALETTE")]
    assert house.floor("stal.tools.style") > house.floor("stal.core.images")
