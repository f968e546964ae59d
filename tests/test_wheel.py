"The wheel works where there is no clone: weights are in it."

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files

import pytest

CODE = """
import json
import stal
from stal.core.paths import shipped
from stal.evidence.shipped import load_detector
from stal.generators.zoo import load_generator

detector, card = load_detector()
load_generator("vae")
print(json.dumps({"library": stal.__file__, "data": str(shipped("zoo"))}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    "A folder into which the wheel was unpacked, and an empty one to work in"
    scratch = tmp_path_factory.mktemp("wheel")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    source = scratch / "source"  # a build leaves traces, which are none of the clone's business
    source.mkdir()
    for name in ("stal", "data"):
        shutil.copytree(
            os.path.join(root, name),
            source / name,
            ignore=shutil.ignore_patterns("study_*", "__pycache__", "_data"),
        )
    for name in (
        "setup.py",
        "settings.ini",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "MANIFEST.in",
    ):
        shutil.copy(os.path.join(root, name), source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(scratch),
        str(source),
    ]
    subprocess.run(pip + build, check=True)
    (wheel,) = scratch.glob("*.whl")
    library = scratch / "library"
    shutil.unpack_archive(wheel, library, "zip")
    empty = scratch / "empty"
    empty.mkdir()
    return library, empty


def run(installed, *words):
    library, empty = installed
    environment = {**os.environ, "PYTHONPATH": str(library)}
    environment.pop("STAL_OUTPUT", None)
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_weights_are_found_in_the_package(installed):
    done = run(installed, "-c", CODE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["library"].startswith(str(installed[0])), "the clone is not what answers"
    assert found["data"] == str(installed[0] / "stal" / "_data" / "zoo")


def test_commands_work_in_an_empty_folder(installed):
    picture = files("sklearn.datasets.images") / "china.jpg"
    measured = run(installed, "-m", "stal.cli", "spectrum", picture)
    assert measured.returncode == 0 and "china.jpg" in measured.stdout, measured.stderr
    judged = run(installed, "-m", "stal.cli", "detect", picture)
    assert judged.returncode == 0 and "china.jpg" in judged.stdout, judged.stderr


def test_the_wheel_is_small_and_holds_no_studies(installed):
    shipped = [p for p in (installed[0] / "stal" / "_data").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in shipped) < 25e6, "weights of a zoo and detectors"
    assert not [p.name for p in shipped if "study" in p.name or p.name[0].isdigit()]
