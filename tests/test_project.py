"Library, notebooks, packaging and record belong together."

import ast
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

from stal.tools.chapters import ON_REQUEST, chapters
from stal.tools.exercises import solutions_of
from stal.tools.fingerprints import fingerprint
from stal.tools.manifest import read_manifest, sha256_of_file
from stal.tools.outputs import LINK, PAGES, render_page
from stal.tools.parameters import resolve_parameters

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = chapters(ROOT)
RUN_BY_DEFAULT = [name for name in CHAPTERS if name not in ON_REQUEST]
LIB = sorted((ROOT / "nbs" / "lib").rglob("*.ipynb"))


@pytest.fixture
def settings(root):
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


@pytest.fixture
def copy(root, tmp_path):
    "A copy of what nbdev's commands read and write"
    traces = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "_data")
    for name in ("nbs", "stal"):
        shutil.copytree(root / name, tmp_path / name, ignore=traces)
    for name in ("settings.ini", "pyproject.toml", "README.md"):
        shutil.copy(root / name, tmp_path)
    return tmp_path


def contents(folder, pattern):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob(pattern)}


def differing(one, other):
    return sorted(str(p) for p in one.keys() | other.keys() if one.get(p) != other.get(p))


def nbdev(command, folder):
    command = Path(sys.executable).parent / command
    subprocess.run([command], cwd=folder, check=True, stdin=subprocess.DEVNULL)


def read_cells(notebook):
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def test_library_is_what_the_notebooks_export(copy, root):
    for module in (copy / "stal").rglob("*.py"):
        if module.name != "__init__.py":
            module.unlink()
    nbdev("nbdev_export", copy)
    off = differing(contents(copy / "stal", "*.py"), contents(root / "stal", "*.py"))
    assert not off, "run nbdev_export; modules are never edited by hand, nor left behind"


def test_notebooks_are_clean(copy, root):
    nbdev("nbdev_clean", copy)
    off = differing(contents(copy / "nbs", "*.ipynb"), contents(root / "nbs", "*.ipynb"))
    assert not off, "run nbdev_clean, or stal reproduce"


def parameters_cell(cells):
    "Its place, or None"
    tagged = [i for i, c in enumerate(cells) if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) <= 1, "one parameters cell"
    return tagged[0] if tagged else None


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_declares_its_parameters_and_announces_itself(name):
    cells = read_cells(ROOT / "nbs" / f"{name}.ipynb")
    place = parameters_cell(cells)
    if place is None:
        return
    assert re.search(rf'begin\(\s*"{name}"', source(cells[place + 1])), "right after the parameters"
    lines = [line for line in source(cells[place]).splitlines() if line]
    declared = re.compile(r"\w+: (int|float|str|bool|list|dict) = .+  # .+")
    assert all(declared.match(line) for line in lines), "parameters are typed and commented"


@pytest.mark.parametrize("name", RUN_BY_DEFAULT)
def test_a_chapter_carries_lasting_outputs(name):
    code = [c for c in read_cells(ROOT / "nbs" / f"{name}.ipynb") if c["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs, "committed chapters carry their outputs: stal reproduce --only " + name
    assert not any(o.get("name") == "stderr" or o["output_type"] == "error" for o in outputs)
    texts = [o.get("text", o.get("data", {}).get("text/plain", "")) for o in outputs]
    texts += [o.get("data", {}).get("text/markdown", "") for o in outputs]
    machine = re.search(r"/(home|root|tmp|work|Users|var)/", json.dumps(texts))
    assert not machine, "no paths of this machine"


@pytest.mark.parametrize("notebook", LIB, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_the_workshop_carries_no_outputs(notebook):
    cells = read_cells(notebook)
    assert not any(cell.get("outputs") for cell in cells)
    assert "begin(" not in source(cells[0]) and parameters_cell(cells) is None


def test_environment_yml_installs_what_settings_pin(root, settings):
    spec = yaml.safe_load((root / "environment.yml").read_text())
    *conda, pip = spec["dependencies"]
    assert spec["name"] == settings["lib_name"]
    assert f"python={settings['min_python']}" in conda
    assert pip == {"pip": ["-e .[dev]"]}, "all other versions live in settings.ini"


def test_package_metadata_follows_settings(settings):
    metadata = distribution("stal").metadata

    def parts(requirement):
        return frozenset(re.split(r"[<>=~,]+", requirement.split(";")[0].strip()))

    installed = {parts(r) for r in metadata.get_all("Requires-Dist")}
    for name in ("requirements", "dev_requirements"):
        for requirement in settings[name].split():
            assert parts(requirement) in installed, f"{requirement}: make setup"
    assert metadata["Version"] == settings["version"]
    assert metadata["Requires-Python"] == f">={settings['min_python']}"


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_their_notebooks(root, page):
    text = (root / PAGES[page]).read_text(encoding="utf-8")
    assert text == render_page(root / "nbs" / f"{page}.ipynb"), f"stal reproduce --only {page}"


@pytest.mark.parametrize("file", PAGES.values())
def test_links_of_pages_lead_somewhere(root, file):
    text = (root / file).read_text(encoding="utf-8")
    links = [link[2].split("#")[0] for link in LINK.finditer(text)]
    assert links and not [link for link in links if not (root / link).exists()]


def dead_links(notebook):
    "Links in a notebook's text that lead nowhere"
    texts = [source(c) for c in read_cells(notebook) if c["cell_type"] == "markdown"]
    prose = re.sub(r"```.*?```", "", "\n".join(texts), flags=re.S)
    links = [link[2].split("#")[0] for link in LINK.finditer(prose)]
    return [f"{notebook.name}: {x}" for x in links if not (notebook.parent / x).exists()]


def test_links_of_notebooks_lead_somewhere(root):
    notebooks = [*sorted((root / "nbs").glob("*.ipynb")), *LIB]
    assert not [link for notebook in notebooks for link in dead_links(notebook)]


def recorded(manifest, name):
    "The fingerprint with which a chapter last passed"
    return manifest["notebooks"].get(name, {}).get("fingerprint", "never")


def test_pictures_in_text_say_what_is_to_be_seen(root):
    silent = []
    for name in CHAPTERS:
        cells = json.loads((root / "nbs" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        prose = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
        for words, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", "\n".join(prose)):
            if len(words.split()) < 5:
                silent.append(f"{name}: {picture}: {words!r}")
    assert not silent, silent


def test_every_chapter_links_the_glossary(root):
    for chapter in sorted((root / "nbs").glob("[0-9]*.ipynb")):
        assert "](glossary.md)" in chapter.read_text(), chapter.name


def test_every_chapter_has_exercises_with_folded_solutions(root):
    total = 0
    for name in RUN_BY_DEFAULT:
        if name in PAGES:
            continue
        notebook = root / "nbs" / f"{name}.ipynb"
        text = "\n".join(source(cell) for cell in read_cells(notebook))
        asked = [int(number) for number in re.findall(r"\bcheck\(answer, (\d+)\)", text)]
        assert asked == list(range(1, len(asked) + 1)) and len(asked) >= 2, name
        assert set(solutions_of(notebook)) == set(asked), f"{name}: a solution a question"
        assert "run again with your answer" not in text, name
        total += len(asked)
    assert total >= 30


def test_widgets_turn_functions_that_there_are_and_wait_for_a_reader(root):
    "Papermill skips them: nobody moves a slider there, and their messages can be lost for good"
    found = 0
    for chapter in sorted((root / "nbs").glob("[0-9]*.ipynb")):
        cells = [source(c) for c in read_cells(chapter) if c["cell_type"] == "code"]
        for text in cells:
            call = re.search(r"^interact\(\s*(\w+),(.+)\)", text, re.M | re.S)
            if not call:
                continue
            found += 1
            assert text.startswith("#| eval: false"), chapter.name
            turned = ast.parse(text).body[-1].value
            (function,) = [
                node
                for cell in cells
                if f"def {call[1]}(" in cell
                for node in ast.parse(re.sub(r"^[%!].*$", "", cell, flags=re.M)).body
                if getattr(node, "name", "") == call[1]
            ]
            known = {argument.arg for argument in function.args.args}
            assert {keyword.arg for keyword in turned.keywords} <= known, call[1]
    assert found >= 6


def test_glossary_names_chapters_that_there_are(root):
    text = (root / "nbs" / "glossary.md").read_text()
    for chapter in re.findall(r"\]\((.*?)\)", text):
        assert (root / "nbs" / chapter).is_file(), chapter
    for section in text.split("## ")[1:]:
        words = re.findall(r"- \*\*(.*?)\.\*\*", section)
        assert words == sorted(words, key=str.lower), f"in the order of the alphabet: {words}"


def test_record_is_complete_and_belongs_to_these_sources(root):
    manifest = read_manifest(root / "figures")
    assert manifest["figures"] and set(CHAPTERS) >= set(manifest["notebooks"])
    for name, entry in manifest["figures"].items():
        for kind in ("png", "data", "markdown"):
            if kind in entry:
                file = root / "figures" / entry[kind]
                assert sha256_of_file(file) == entry[f"{kind}_sha256"], file.name
        assert len(pd.read_csv(root / "figures" / entry["data"])) == entry["rows"] > 0, name
        assert "png" in entry or "markdown" in entry, "a picture or a table"
    stale = [n for n in RUN_BY_DEFAULT if recorded(manifest, n) != fingerprint(n, {}, root)]
    assert not stale, f"outputs are older than their sources: make figures ({', '.join(stale)})"


def test_figures_folder_holds_what_the_record_names(root):
    entries = read_manifest(root / "figures")["figures"].values()
    named = {e[kind] for e in entries for kind in ("png", "data", "markdown") if kind in e}
    there = {p.name for p in (root / "figures").iterdir() if p.suffix != ".lock"}
    assert there == named | {"manifest.json"}
    results = {p.stem for p in (root / "data" / "results").glob("[0-9]*.json")}
    assert results <= set(CHAPTERS), "results belong to a chapter"


def test_paper_profile_fits_the_notebooks(root):
    profile = root / "nbs" / "params" / "paper.yml"
    chosen = resolve_parameters(CHAPTERS, root / "nbs", profile)  # raises if one does not fit
    assert any(chosen.values()), "the profile changes something"
    assert set(yaml.safe_load(profile.read_text())) <= set(CHAPTERS) - set(PAGES)


def test_zoo_ships_small_weights_with_cards_and_no_photographs(root):
    "That the cards' numbers come out of the weights again is asserted in 05_zoo"
    from stal.generators.zoo import ZOO, read_card

    folder = root / "data" / "zoo"
    assert {p.stem for p in folder.glob("*.safetensors")} == {*ZOO, "photographs"}
    about = json.loads((folder / "photographs.json").read_text())
    for name in ZOO:
        card = read_card(name)
        weights = (folder / f"{name}.safetensors").read_bytes()
        assert len(weights) <= 1.5e6
        assert hashlib.sha256(weights).hexdigest() == card["sha256"]
        assert card["training"]["photographs_sha256"] == about["sha256"]
    listed = pd.read_csv(folder / "photographs.csv")
    assert len(listed) == about["photographs"]
    assert listed[["origin", "licence", "sha256"]].notna().to_numpy().all()
    shipped = {p.suffix for p in (root / "data").rglob("*") if p.is_file()}
    expected = {".json", ".safetensors", ".csv", ".md", ".yml"}
    assert shipped <= expected, "data/ holds weights and numbers, no images"


STUDIES = [
    ("photographs", 5),
    ("embedded", 3),
    ("field", 5),
    ("longer-photographs", 5),
    ("longer-field", 5),
]


@pytest.mark.parametrize("name, seeds", STUDIES)
def test_stored_studies_are_complete(name, seeds):
    "That a stored run comes out again is asserted in the chapters of the methods"
    from stal.evidence.design import COMPARISON, CONTROLS
    from stal.evidence.scores import read_study

    study = read_study(name)
    images = (2, len(study.table))
    assert all(s.shape == images and s.isfinite().all() for s in study.scores.values())
    assert set(study.table.label) == {0, 1}
    assert not study.table.group.eq("").any()
    for family in {key.split("/")[0] for key in study.scores}:
        for variant in COMPARISON | CONTROLS:
            scores, thresholds = study.of(family, variant)
            assert len(scores) == len(thresholds) == seeds
            assert abs(thresholds).max() < 50
            last = study.curves(family, variant).groupby("seed").step.max()
            assert last.eq(study.about["steps"]).all()


@pytest.mark.parametrize("name", ("photographs", "field"))
def test_rivals_with_pretrained_eyes_stand_beside_the_stored_study(name):
    "Every run is there, on the same images, with what it chose"
    from stal.evidence.eyes import PRETRAINED, PRIMARY, together
    from stal.evidence.scores import read_study
    from stal.evidence.tables import families, was_run

    study = read_study(name)
    eyes = read_study(f"eyes-{name}")
    both = together(study, eyes)
    assert len(eyes.about["study_sha256"]) == 64 and eyes.about["steps"] == study.about["steps"]
    for family in families(study):
        assert all(was_run(both, family, name + PRETRAINED) for name in PRIMARY)
        for variant in ("univfd", "rigid", "mpft"):
            scores, thresholds = eyes.of(family, f"{variant}{PRETRAINED}")
            assert scores.shape == (3, len(study.table)) and len(thresholds) == 3
        for seed in range(3):
            chosen = eyes.about["runs"][f"{family}/rigid, chosen/{seed}"]["history"]
            assert len(chosen) == 5 and {"level", "val_auc"} == set(chosen[0])


def test_only_chapters_read_studies(root):
    "So that a further study makes only those chapters stale that name it (`tools.fingerprints`)"
    modules = {file: file.read_text("utf-8") for file in (root / "stal").rglob("*.py")}
    assert [file.name for file, code in modules.items() if "read_study(" in code] == ["scores.py"]


def test_stored_studies_of_families_are_complete():
    "Each family was left out, with every way of the primary study and as many seeds"
    from stal.evidence.carrying import known_to
    from stal.evidence.families import CAMERA, FAMILIES, left_out
    from stal.evidence.questions import MAIN
    from stal.evidence.scores import read_study
    from stal.evidence.tables import families

    primary = read_study("families")
    outside = read_study("families-field")
    further = read_study("why-families")
    carry = read_study("carry-families")
    longer = read_study("longer-families")
    names = ("unequal", "fewer", "fewest", "unblended", "further")
    some = [read_study(f"{name}-families") for name in names]
    assert all(study.table.equals(primary.table) for study in (longer, *some))
    assert {left_out(family) for family in families(longer)} == {*FAMILIES}
    assert {known_to(trained_on)[0] for trained_on in families(carry)} == {*FAMILIES}
    assert carry.table.equals(primary.table)
    assert {left_out(family) for family in families(primary)} == {*FAMILIES}
    assert further.table.equals(primary.table)
    camera = read_study("camera-families")
    versions = camera.table.generator == CAMERA
    assert camera.table[~versions].reset_index(drop=True).equals(primary.table)
    assert versions.sum() == (camera.table.label == 0).sum(), "a picture of each photograph"
    for study in (primary, outside, further, carry, longer, camera, *some):
        shape = (len(study.about["tracks"]), len(study.table))
        assert all(s.shape == shape and s.isfinite().all() for s in study.scores.values())
        for key in study.scores:
            family, way, _, seed = key.split("/")
            story = study.about["runs"][f"{family}/{way}/{seed}"]
            steps = 1600 if way.endswith(", 1600 steps") else study.about["steps"]
            assert story["history"][-1]["step"] == steps
    for study in (primary, outside):
        for family in families(study):
            assert all(len(study.seeds(family, way)) == 3 for way in MAIN)


@pytest.mark.parametrize(
    "name",
    [
        "families",
        "families-field",
        "longer-families",
        "why-families",
        "carry-families",
        "unequal-families",
        "fewer-families",
        "fewest-families",
        "unblended-families",
        "further-families",
        "camera-families",
    ],
)
def test_stored_studies_of_families_are_what_the_command_trains(name):
    "`stal results NAME` lists the trainings that are stored, no more and no fewer"
    from stal.cli.results import STUDIES, _jobs_of
    from stal.evidence.scores import read_study

    jobs = _jobs_of(name, STUDIES[name])
    listed = [job.key(way) for job in jobs for way in job.ways]
    stored = [key for key in read_study(name).scores if key.split("/")[2] == "student"]
    assert sorted(listed) == sorted(stored)


def test_the_default_detector_is_the_one_that_was_elected(root):
    "The best by merit, light enough, and on no source does it accuse more than it promises"
    from stal.evidence.choosing import SHARE
    from stal.evidence.shipped import load_detector

    folder = root / "data" / "detectors"
    about = json.loads((folder / "default.json").read_text())
    assert max(about["merit"], key=about["merit"].get) == about["default"]
    assert (folder / f"{about['default']}.safetensors").stat().st_size <= 8_000_000
    _, card = load_detector()
    assert card["merit"] == about["merit"] and about["small"] in card["lead"]
    photographs = [row for row in card["shares"] if row["class"] == "photographs"]
    assert len({row["source"] for row in photographs}) >= 3
    assert all(row["generated"] <= SHARE for row in photographs)
    assert card["measured"]["compared"]["detector"] == about["small"]
