"""Room to grow: a rival, a generator and a benchmark are added to a copy of the project.

A rival is one notebook plus its weights, a generator is one notebook (or a cell of one) plus its
weights, a benchmark is one entry of a file. Nothing else has to change.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stal.tools.example import write_chapter

RIVAL = (
    "#| default_exp rivals.toy",
    """#| export
import torch
from torch import Tensor, nn

from stal.detectors.contract import Detector
from stal.detectors.registry import rival
""",
    """#| export
class Toy(Detector):
    "Judges by the mean colour"

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.float().mean((2, 3)))[:, 0]


def build(seed: int = 0) -> Toy:
    torch.manual_seed(seed)
    return Toy()
""",
    """#| export
@rival("Toy", chapter=38)
def fit(batches, seed: int = 0, auxiliary: bool = False, progress: bool = True) -> Toy:
    return build(seed).eval().requires_grad_(False)
""",
)

GENERATOR = (
    "#| default_exp generators.toy",
    """#| export
import torch
from torch import Tensor, nn

from stal.generators.recipes import member
""",
    """#| export
@member("toy", family="toy", activation="none", upsampling="none", steps=1)
class ToyGenerator(nn.Module):
    "One colour"

    def __init__(self):
        super().__init__()
        self.colour = nn.Parameter(torch.zeros(3))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.colour[None, :, None, None].expand(n, 3, 64, 64)
""",
)

BENCHMARK = """
toy-set:
  title: Toy set
  layout: classes
  cites: "0000.00000"
  licence: not stated
  where: nowhere
"""

WEIGHTS = """
import json
from pathlib import Path
from stal.core import storage
from stal.core.paths import shipped
from stal.detectors.registry import rivals
from stal.generators.zoo import untrained

def save(model, folder, name, card):
    weights = shipped(folder) / f"{name}.safetensors"
    storage.write(weights, dict(model.state_dict()))
    card["sha256"] = storage.sha256_of(weights)
    weights.with_suffix(".json").write_text(json.dumps(card))

toy = rivals()["toy"]
card = {"method": "Toy", "rival": "toy", "defaults": toy.defaults, "seed": 0, "steps": 1}
card |= {"threshold": 0.0, "thresholds": {"photograph": -1.0, "balanced": 0.0, "generated": 1.0}}
save(toy.build(0), "detectors", "toy-0", card)
save(untrained("toy"), "zoo", "toy", {"built_on": {}, "measured": {}, "training": {}})
"""

QUESTIONS = """
import json
import torch
import stal
from stal.data.benchmarks import BENCHMARKS, list_datasets
from stal.detectors.registry import rivals
from stal.evidence.material import DRAWN_BY, REWORKED_BY
from stal.evidence.scores import read_study
from stal.evidence.shipped import load_detector, load_rivals
from stal.generators.zoo import ZOO, load_generator

table = read_study("embedded").table
detector, card = load_detector("toy-0")
print(json.dumps({
    "library": stal.__file__,
    "rivals": list(rivals()),
    "shipped rivals": list(load_rivals()),
    "verdicts": len(detector(torch.rand(2, 3, 64, 64))),
    "zoo": list(ZOO),
    "generator": type(load_generator("toy")).__name__,
    "benchmarks": list(BENCHMARKS),
    "listed": "Toy set" in "\\n".join(list_datasets()),
    "tested": sorted(set(table.generator) - {""}),
    "test set": sorted({*REWORKED_BY, *DRAWN_BY}),
}))
"""


def digests(folder):
    "File → SHA-256, but for what Python leaves behind"
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def copy_of(root, place):
    "What a clone holds of library, notebooks and data"
    traces = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "_data", "*.lock")
    for name in ("nbs", "stal", "data"):
        shutil.copytree(root / name, place / name, ignore=traces)
    for name in ("settings.ini", "pyproject.toml", "README.md"):
        shutil.copy(root / name, place)
    return place


def python(project, code):
    environment = {**os.environ, "PYTHONPATH": str(project)}
    words = [sys.executable, "-c", code]
    run = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    "The copy with its additions, and the digests of all files before and after"
    root = Path(__file__).resolve().parents[1]
    project = copy_of(root, tmp_path_factory.mktemp("grown"))
    export = [Path(sys.executable).parent / "nbdev_export"]
    subprocess.run(export, cwd=project, check=True, stdin=subprocess.DEVNULL)
    before = digests(project)

    write_chapter(project, "38_toy", *RIVAL, parameters="")
    write_chapter(project, "lib/generators/toy", *GENERATOR, parameters="")
    with open(project / "data" / "benchmarks.yml", "a", encoding="utf-8") as file:
        file.write(BENCHMARK)
    subprocess.run(export, cwd=project, check=True, stdin=subprocess.DEVNULL)
    python(project, WEIGHTS)
    return project, before, digests(project)


@pytest.fixture(scope="module")
def said(grown):
    "What the grown project says of itself"
    return json.loads(python(grown[0], QUESTIONS).splitlines()[-1])


def test_they_appear_everywhere(grown, said):
    assert said["library"].startswith(str(grown[0])), "the copy is what answers"
    assert said["rivals"][-1] == "toy", "in the order of the chapters"
    assert "toy" in said["shipped rivals"]
    assert said["verdicts"] == 2
    assert said["zoo"][-1] == "toy" and said["generator"] == "ToyGenerator"
    assert "toy-set" in said["benchmarks"] and said["listed"]


def test_stored_studies_are_not_stale(said):
    "The test sets name their generators themselves; a new one enters the next study"
    assert "toy" in said["zoo"]
    assert said["tested"] == said["test set"]


def test_no_other_file_had_to_change(grown):
    _, before, after = grown
    added = after.keys() - before.keys()
    assert added == {
        "nbs/38_toy.ipynb",
        "nbs/lib/generators/toy.ipynb",
        "stal/rivals/toy.py",
        "stal/generators/toy.py",
        "data/detectors/toy-0.json",
        "data/detectors/toy-0.safetensors",
        "data/zoo/toy.json",
        "data/zoo/toy.safetensors",
    }
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"data/benchmarks.yml", "stal/_modidx.py"}, "the index is nbdev's own"
