"Library, notebooks, packaging and record belong together."
import hashlib
import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stal.figures import read_manifest
from stal.reproduce import PLAN, fingerprints, render_readme, resolve_parameters


@pytest.fixture
def settings(root):
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


@pytest.fixture
def copy(root, tmp_path):
    "A copy of what nbdev's commands read and write"
    for name in ("nbs", "stal"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("settings.ini", "pyproject.toml", "README.md"):
        shutil.copy(root / name, tmp_path)
    return tmp_path


def contents(folder, pattern):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob(pattern)}


def nbdev(command, folder):
    subprocess.run([Path(sys.executable).parent / command], cwd=folder, check=True, stdin=subprocess.DEVNULL)


def test_library_is_what_the_notebooks_export(copy, root):
    for module in (copy / "stal").rglob("*.py"):
        if module.name != "__init__.py":
            module.unlink()
    nbdev("nbdev_export", copy)
    assert contents(copy / "stal", "*.py") == contents(root / "stal", "*.py"), "run nbdev_export; modules are never edited by hand, nor left behind"


def test_notebooks_are_clean(copy, root):
    nbdev("nbdev_clean", copy)
    assert contents(copy / "nbs", "*.ipynb") == contents(root / "nbs", "*.ipynb"), "run nbdev_clean, or stal reproduce"


@pytest.mark.parametrize("name", PLAN)
def test_committed_notebook(root, name):
    cells = json.loads((root / "nbs" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    tagged = [i for i, c in enumerate(cells) if "parameters" in c["metadata"].get("tags", [])]
    announced = [i for i, c in enumerate(cells) if c["cell_type"] == "code" and re.search(r"^begin\(|= .*begin\(", "".join(c["source"]), re.M)]
    if tagged:
        assert len(tagged) == 1 and announced and announced[0] == tagged[0] + 1, "one parameters cell, and the notebook announces itself right after it"
        lines = [line for line in "".join(cells[tagged[0]]["source"]).splitlines() if line]
        assert all(re.match(r"\w+: (int|float|str|bool|list|dict) = .+  # .+", line) for line in lines), "parameters are typed and commented"
    code = [c for c in cells if c["cell_type"] == "code"]
    assert not any(o.get("name") == "stderr" or o["output_type"] == "error" for c in code for o in c["outputs"])
    outputs = json.dumps([o.get("text", o.get("data", {}).get("text/plain", "")) for c in code for o in c["outputs"]])
    assert not re.search(r"/(home|root|tmp|work|Users|var)/", outputs), "no paths of this machine"
    assert any(c["outputs"] for c in code), "committed notebooks carry their outputs"


def test_environment_yml_installs_what_settings_pin(root, settings):
    spec = yaml.safe_load((root / "environment.yml").read_text())
    *conda, pip = spec["dependencies"]
    assert spec["name"] == settings["lib_name"] and f"python={settings['min_python']}" in conda
    assert pip == {"pip": ["-e .[dev]"]}, "all other versions live in settings.ini"


def test_package_metadata_follows_settings(settings):
    metadata = distribution("stal").metadata
    required = {r.split(";")[0].strip() for r in metadata.get_all("Requires-Dist")}
    normal = {frozenset(re.split(r"[<>=~,]+", r)) for r in required}
    for name in ("requirements", "dev_requirements"):
        for requirement in settings[name].split():
            assert frozenset(re.split(r"[<>=~,]+", requirement)) in normal, f"{requirement} is not in the installed package: make setup"
    assert metadata["Version"] == settings["version"] and metadata["Requires-Python"] == f">={settings['min_python']}"


def test_readme_is_the_index_notebook(root):
    assert (root / "README.md").read_text(encoding="utf-8") == render_readme(root / "nbs" / "index.ipynb"), "run stal reproduce --only index"


def test_record_is_complete_and_belongs_to_these_sources(root):
    manifest = read_manifest(root / "figures")
    assert manifest["figures"] and set(manifest["notebooks"]) == set(PLAN)
    for name, entry in manifest["figures"].items():
        assert hashlib.sha256((root / "figures" / entry["png"]).read_bytes()).hexdigest() == entry["sha256"], name
        assert hashlib.sha256((root / "figures" / entry["data"]).read_bytes()).hexdigest() == entry["data_sha256"], name
        assert len(pd.read_csv(root / "figures" / entry["data"])) == entry["rows"] > 0, name
        if "markdown" in entry:
            assert hashlib.sha256((root / "figures" / entry["markdown"]).read_bytes()).hexdigest() == entry["markdown_sha256"], name
    prints = fingerprints(PLAN, {}, root)
    stale = [n for n in PLAN if manifest["notebooks"][n]["fingerprint"] != prints[n]]
    assert not stale, f"outputs are older than their sources: make figures ({', '.join(stale)})"


def test_paper_profile_fits_the_notebooks(root):
    chosen = resolve_parameters(PLAN, root / "nbs", root / "nbs" / "params" / "paper.yml")  # raises if one does not fit
    assert any(chosen.values()), "the profile changes something"


def test_zoo_ships_small_weights_with_cards_and_no_photographs(root):
    "That the cards' numbers come out of the weights again is asserted in 04_generators, which test_notebooks runs"
    from stal.generators import ZOO, read_card
    folder = root / "data" / "zoo"
    assert {p.stem for p in folder.glob("*.safetensors")} == {*ZOO, "photographs"}
    for name in ZOO:
        card, weights = read_card(name), (folder / f"{name}.safetensors").read_bytes()
        assert len(weights) <= 1.5e6 and hashlib.sha256(weights).hexdigest() == card["sha256"]
        assert card["training"]["photographs_sha256"] == json.loads((folder / "photographs.json").read_text())["sha256"]
    listed = pd.read_csv(folder / "photographs.csv")
    assert len(listed) == json.loads((folder / "photographs.json").read_text())["photographs"] and listed[["origin", "licence", "sha256"]].notna().to_numpy().all()
    shipped = {p.suffix for p in (root / "data").rglob("*") if p.is_file()}
    assert shipped <= {".json", ".safetensors", ".csv", ".md"}, "data/ holds weights and numbers, no images"


@pytest.mark.parametrize("name, seeds", [("photographs", 5), ("embedded", 3), ("field", 5), ("longer-photographs", 5), ("longer-field", 5)])
def test_stored_studies_are_complete(name, seeds):
    "That a stored run comes out again is asserted in 20_comparison, which test_notebooks runs"
    from stal.studies import COMPARISON, CONTROLS, read_study
    study = read_study(name)
    families = {key.split("/")[0] for key in study.scores}
    assert all(s.shape == (2, len(study.table)) and s.isfinite().all() for s in study.scores.values())
    assert set(study.table.label) == {0, 1} and not study.table.group.eq("").any()
    for family in families:
        for variant in COMPARISON | CONTROLS:
            scores, thresholds = study.of(family, variant)
            assert len(scores) == len(thresholds) == seeds and abs(thresholds).max() < 50
            assert study.curves(family, variant).groupby("seed").step.max().eq(study.about["steps"]).all()
