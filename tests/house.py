"""The house rules, measured: density of code, length of sentences, weight of outputs.

`python tests/house.py` prints the measures, with -v also what breaks a rule. test_house.py holds
them: at most what tests/house.yml says, but for the exceptions that it lists by name. Exceptions
that are no longer needed are taken out by hand, or all together by `python tests/house.py --renew`.
"""

import ast
import json
import re
import statistics
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "core",
    "spectrum",
    "generators",
    "data",
    "detectors",
    "rivals",
    "evidence",
    "tools",
    "cli",
    "site",
)  # imports only go down: a package may import from those before it
LONGEST_CELL = 30  # lines of an export cell
MOST_PARAMETERS = 6
LONGEST_SENTENCE = 35  # words
LONGEST_PARAGRAPH = 80  # words
LONGEST_TEXT = 150  # words of a Markdown cell
HEAVIEST_NOTEBOOK = 250_000  # bytes
HEAVIEST_PICTURE = 150_000  # bytes


@dataclass(frozen=True)
class Notebook:
    "A notebook and its cells"

    path: Path
    cells: tuple

    @property
    def name(self):
        return self.path.relative_to(ROOT / "nbs").with_suffix("").as_posix()

    @property
    def is_lib(self):
        return self.name.startswith("lib/")

    def sources(self, kind):
        return ["".join(c["source"]) for c in self.cells if c["cell_type"] == kind]

    @property
    def module(self):
        "The module that it exports to, or None"
        found = re.search(r"^#\|\s*default_exp\s+(\S+)", "\n".join(self.sources("code")), re.M)
        return found and f"stal.{found[1]}"

    def exports(self, imports=False):
        "Export cells: code, syntax tree; cells of nothing but imports only on request"
        for source in self.sources("code"):
            if re.search(r"^#\|\s*export\b", source, re.M):
                lines = [line for line in source.split("\n") if not line.startswith("#|")]
                code = "\n".join(lines).strip("\n")
                tree = ast.parse(code)
                only = all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body)
                if imports or not only:
                    yield code, tree


@cache
def notebooks():
    paths = sorted((ROOT / "nbs").glob("*.ipynb")) + sorted((ROOT / "nbs" / "lib").rglob("*.ipynb"))
    files = [p for p in paths if ".ipynb_checkpoints" not in p.parts]
    cells = (json.loads(p.read_text(encoding="utf-8"))["cells"] for p in files)
    return [Notebook(p, tuple(c)) for p, c in zip(files, cells)]


@cache
def modules():
    "Name of each module → syntax tree"
    files = [p for p in sorted((ROOT / "stal").rglob("*.py")) if p.name != "_modidx.py"]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in files]
    return {n: ast.parse(p.read_text(encoding="utf-8")) for n, p in zip(names, files)}


def short(tree):
    "What a cell is about: the first name that it defines"
    for node in tree.body:
        if hasattr(node, "name"):
            return node.name
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            return node.targets[0].id
    return ast.unparse(tree.body[0])[:30]


# Code


def long_cells():
    "Export cells that are too long"
    for nb in notebooks():
        for code, tree in nb.exports(imports=True):
            if len(code.split("\n")) > LONGEST_CELL:
                yield f"{nb.name}: {short(tree)}"


def is_tuple_assignment(node):
    "a, b = x, y: two statements on one line"
    if not isinstance(node, ast.Assign):
        return False
    return isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def tuple_assignments():
    "Export cells that assign several things at once"
    for nb in notebooks():
        for _, tree in nb.exports():
            for node in ast.walk(tree):
                if is_tuple_assignment(node):
                    yield f"{nb.name}: {ast.unparse(node.targets[0]).strip('()')}"


def many_parameters():
    "Public functions with too many parameters"
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                names = [a.arg for a in [*node.args.args, *node.args.kwonlyargs]]
                count = len([n for n in names if n not in ("self", "cls")])
                if count > MOST_PARAMETERS and not name.startswith("stal.cli."):
                    yield f"{name}.{node.name}"


# Imports


def module_imports(name, tree):
    "(module, imported name) of each import from this library"
    package = name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            if module.split(".")[0] == "stal":
                yield from ((module, alias.name) for alias in node.names)


def notebook_imports(nb):
    "The same for all code of a notebook, tests included"
    for source in nb.sources("code"):
        lines = [line for line in source.splitlines() if not re.match(r"\s*[%!]", line)]
        yield from module_imports("notebook", ast.parse("\n".join(lines)))


def private_imports():
    "Names with a leading underscore that are used outside their module"
    for name, tree in modules().items():
        for module, imported in module_imports(name, tree):
            if imported.startswith("_"):
                yield f"{name}: {module}.{imported}"
    for nb in notebooks():
        for module, imported in notebook_imports(nb):
            if imported.startswith("_") and module != nb.module:
                yield f"{nb.name}: {module}.{imported}"


def floor(module):
    "Place of a module's package; what stands beside the packages is below all"
    parts = module.split(".")
    return PACKAGES.index(parts[1]) if len(parts) > 1 and parts[1] in PACKAGES else -1


def upward_imports():
    "Modules that import from a package above their own"
    for name, tree in modules().items():
        for module, imported in module_imports(name, tree):
            inner = f"{module}.{imported}" if f"{module}.{imported}" in modules() else module
            if floor(inner) > floor(name) >= 0:
                yield f"{name}: {inner}"


def intervals():
    "Places outside core.intervals that define a 95 % interval of their own"
    signs = (r"\bt\.ppf", r"confidence_interval", r"quantile\([^)]*\.025", r"percentile\([^)]*2\.5")
    for nb in notebooks():
        if nb.module != "stal.core.intervals":
            code = "\n".join(code for code, _ in nb.exports())
            if any(re.search(sign, code) for sign in signs):
                yield nb.name


def load_detector_modules():
    "Modules that run when a shipped detector is loaded, but for the network and the file's place"
    from stal.evidence.shipped import load_detector

    load_detector("stal-0")  # what happens only once
    seen = set()

    def look(frame, event, _):
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("stal."):
            seen.add(name)

    sys.setprofile(look)
    try:
        load_detector("stal-0")
    finally:
        sys.setprofile(None)
    network = {f"stal.detectors.{n}" for n in ("student", "contract", "teacher", "exporting")}
    return sorted(seen - network - {"stal.core.paths", "stal.detectors.named"})


# Prose


def paragraphs(text):
    "Paragraphs of Markdown; code, tables, formulas and headings are none"
    text = re.sub(r"```.*?```|\$\$.*?\$\$|<[^>]+>", "", text, flags=re.S)
    for part in re.split(r"\n\s*\n|\n(?=\s*(?:[*>-]|\d+\.) )", text):
        if part.strip() and not re.match(r"\s*[#|]", part):
            yield part


def words(text):
    return re.findall(r"[\w’'-]+", re.sub(r"\]\([^)]*\)|`[^`]*`|\$[^$]*\$", " x", text))


def sentences(text):
    for part in paragraphs(text):
        for sentence in re.split(r"(?<=[.!?])[*_)”]*\s+(?=[*_(“]*[A-Z0-9`\[])", part):
            if words(sentence):
                yield sentence


def long_prose():
    "Chapters with sentences, paragraphs or cells that are too long"
    for nb in notebooks():
        if nb.is_lib:
            continue
        texts = nb.sources("markdown")
        lengths = [len(words(s)) for text in texts for s in sentences(text)]
        if lengths and max(lengths) > LONGEST_SENTENCE:
            yield f"{nb.name}: sentence"
        if any(len(words(p)) > LONGEST_PARAGRAPH for text in texts for p in paragraphs(text)):
            yield f"{nb.name}: paragraph"
        if any(sum(len(words(p)) for p in paragraphs(text)) > LONGEST_TEXT for text in texts):
            yield f"{nb.name}: cell"


def readme_measures():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = list(sentences(text))
    prose = re.sub(r"\]\([^)]*\)|`[^`]*`|^\d+\. ", " ", text, flags=re.M)  # links, names, list
    said = sentences(prose)
    numbers = sum(len(re.findall(r"(?<![\w.])[+−-]?\d+(?:[.,]\d+)*", s)) for s in said)
    long = sum(len(words(s)) > 30 for s in found)
    return {
        "README: words": len(words(text)),
        "README: numbers a sentence": round(numbers / len(found), 2),
        "README: sentences over 30 words, %": round(100 * long / len(found)),
    }


def sentence_measures():
    chapters = [nb for nb in notebooks() if not nb.is_lib]
    found = [s for nb in chapters for t in nb.sources("markdown") for s in sentences(t)]
    personal = sum(bool(re.search(r"\b(you|your|we|our|us)\b", s, re.I)) for s in found)
    return {
        "chapters: mean words a sentence": round(statistics.mean(len(words(s)) for s in found), 1),
        "chapters: sentences with you or we, %": round(100 * personal / len(found)),
    }


# Weight


def heavy_files():
    "Notebooks and figures that are too heavy, and workshop notebooks with outputs"
    for nb in notebooks():
        if nb.path.stat().st_size > HEAVIEST_NOTEBOOK:
            yield nb.name
        if nb.is_lib and any(c.get("outputs") for c in nb.cells):
            yield f"{nb.name}: outputs"
    for picture in sorted((ROOT / "figures").glob("*.png")):
        if picture.stat().st_size > HEAVIEST_PICTURE:
            yield f"figures/{picture.name}"
        if picture.name.startswith("tab"):
            yield f"figures/{picture.name}: a table is never a picture"


def lost_tables():
    "Cells with a `show_table` that is not their last expression: the notebook would not show it"
    for nb in notebooks():
        for source in nb.sources("code"):
            lines = [line for line in source.splitlines() if not re.match(r"\s*[%!]", line)]
            for node in ast.parse("\n".join(lines)).body[:-1]:
                call = node.value if isinstance(node, ast.Expr) else None
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "show_table":
                    yield f"{nb.name}: {ast.unparse(call)[:60]}"


def twin_cells():
    "Two cells of one name in a notebook: tools would give the outputs of one to the other"
    for nb in notebooks():
        for name, times in Counter(cell["id"] for cell in nb.cells).items():
            if times > 1:
                yield f"{nb.name}: {name}"


# All together

RULES = {
    "export cells over 30 lines": long_cells,
    "tuple assignments": tuple_assignments,
    "more than six parameters": many_parameters,
    "private imports": private_imports,
    "upward imports": upward_imports,
    "intervals of their own": intervals,
    "long prose": long_prose,
    "heavy files": heavy_files,
    "tables that are not shown": lost_tables,
    "cells of one name": twin_cells,
}


@cache
def offenders():
    "Rule → what breaks it, sorted"
    return {rule: sorted(set(find())) for rule, find in RULES.items()}


def checks_per_symbol():
    "Assertions in notebooks, over public names"
    code = "\n".join(source for nb in notebooks() for source in nb.sources("code"))
    checks = len(re.findall(r"^\s*(?:assert\b|test_\w+\(|torch\.testing|np\.testing)", code, re.M))
    public = 0
    for tree in modules().values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                public += len(node.value.elts)
    return round(checks / public, 1)


def wide_lines():
    "Columns of code lines"
    return [len(x) for nb in notebooks() for s in nb.sources("code") for x in s.split("\n")]


def measures():
    "The table of the house: what → number"
    cells = [code for nb in notebooks() for code, _ in nb.exports()]
    columns = wide_lines()
    outputs = [nb.path.stat().st_size for nb in notebooks() if not nb.is_lib]
    return {
        "export cells": len(cells),
        "export cell, median lines": statistics.median(len(c.split("\n")) for c in cells),
        "export cell, median characters": statistics.median(len(c) for c in cells),
        "code lines over 100 columns": sum(c > 100 for c in columns),
        "longest code line": max(columns),
        **{rule: len(found) for rule, found in offenders().items()},
        "modules that load_detector goes through": len(load_detector_modules()),
        "checks a public symbol": checks_per_symbol(),
        **readme_measures(),
        **sentence_measures(),
        "chapters, heaviest, KB": round(max(outputs) / 1000),
        "chapters, all, KB": round(sum(outputs) / 1000),
        "figures, PNG, KB": round(
            sum(p.stat().st_size for p in (ROOT / "figures").glob("*.png")) / 1000
        ),
    }


def exceptions():
    "Rule → what may still break it; the list only gets shorter"
    return yaml.safe_load((ROOT / "tests" / "house.yml").read_text(encoding="utf-8"))


def renew():
    "Write what breaks a rule now into the list of exceptions; look at the difference before commit"
    file = ROOT / "tests" / "house.yml"
    limits = file.read_text(encoding="utf-8").split("exceptions:")[0]
    lists = {"exceptions": {rule: names for rule, names in offenders().items() if names}}
    file.write_text(limits + yaml.safe_dump(lists, sort_keys=False, allow_unicode=True), "utf-8")


def show(lists):
    for rule, names in lists.items():
        print(f"\n{rule}", *names, sep="\n  ")


if __name__ == "__main__":
    if "--renew" in sys.argv:
        renew()
    for what, value in measures().items():
        print(f"{what:<42} {value:>10,}")
    if "-v" in sys.argv:
        show(offenders() | {"load_detector goes through": load_detector_modules()})
    else:
        print("python tests/house.py -v names what breaks a rule")
