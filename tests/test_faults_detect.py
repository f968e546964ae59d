"Nothing finished is lost, nothing hangs: `stal detect` with what people really have."

import csv
import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

import stal.cli.main  # noqa: F401, registers all commands
from stal.cli.testing import Terminal
from stal.core.paths import columns_of
from stal.detectors.exporting import export_student
from stal.detectors.saved import load_student
from stal.detectors.scoring import score

TRAINING = """
data: {path: set, held: 0.5}
batches: {pairs: 2}
training: {steps: 2, every: 1}
"""


@pytest.fixture(scope="module")
def trained():
    "What `stal train` wrote after two steps, beside a set of images"
    stal = Terminal()
    photograph = Image.open(files("sklearn.datasets.images") / "china.jpg")
    for kind in ("real", "fake"):
        (stal.folder / "set" / kind).mkdir(parents=True)
    for k in range(12):
        part = photograph.crop((50 * k, 200, 50 * k + 72, 272))
        part.save(stal.folder / "set" / "real" / f"{k:02}.png")
        part.filter(ImageFilter.BoxBlur(1)).save(stal.folder / "set" / "fake" / f"{k:02}.png")
    (stal.folder / "two.yml").write_text(TRAINING)
    assert stal("train two.yml --output mine --quiet").exit_code == 0
    yield stal.folder


@pytest.fixture
def stal():
    "Somebody with two small photographs"
    stal = Terminal()
    holiday = stal.folder / "holiday"
    holiday.mkdir()
    for name in ("china", "flower"):
        photograph = Image.open(files("sklearn.datasets.images") / f"{name}.jpg")
        photograph.crop((200, 100, 328, 228)).save(holiday / f"{name}.jpg", quality=95)
    return stal


def rows_of(file):
    with file.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_a_detector_that_was_just_trained_is_used_everywhere(stal, trained):
    student = trained / "mine" / "student.safetensors"
    for name in (student, student.parent, student.with_suffix(".json")):
        result = stal(f"detect holiday --detector {name}")
        assert result.exit_code == 0
        assert "detector: mine/student.safetensors (STAL); generated from" in result.stdout
    assert stal(f"evaluate {student} {trained / 'set'} --crop 64").exit_code == 0
    assert stal(f"compare {student} student-0 {trained / 'set'} --crop 64").exit_code == 0
    loaded, _ = load_student(student)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(score(export_student(loaded), images), score(loaded, images))


def test_a_card_needs_no_more_than_what_builds_the_network(stal, trained):
    bare = stal.folder / "bare"
    shutil.copytree(trained / "mine", bare)
    card = json.loads((bare / "student.json").read_text())
    needed = {key: card[key] for key in ("name", "front", "options", "sha256")}
    (bare / "student.json").write_text(json.dumps(needed))
    refused = stal("detect holiday --detector bare/student.safetensors")
    assert refused.exit_code == 2 and "its card states no threshold" in refused.stderr
    result = stal("detect holiday --detector bare --threshold 0 --json all.json --heatmap heat")
    assert result.exit_code == 0
    assert "detector: bare/student.safetensors (small); generated from 0.00" in result.stdout
    assert json.loads((stal.folder / "all.json").read_text())["detector"]["seed"] is None
    line = f"evaluate bare/student.safetensors {trained / 'set'} --crop 64 --threshold 0"
    assert stal(line).exit_code == 0


def test_ctrl_c_keeps_what_was_finished(stal, monkeypatch):
    from stal.evidence import verdict

    judge = verdict.judge

    def one_then_ctrl_c(*args):
        judged = judge(*args)
        yield next(judged)
        judged.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(verdict, "judge", one_then_ctrl_c)
    result = stal("detect holiday --csv v.csv --json v.json")
    assert result.exit_code == 130
    assert "holiday/china.jpg" in result.stdout and "judged: 1; " in result.stdout
    assert "interrupted; what was finished is kept: 1 of 2 files" in result.stderr
    assert [row["file"] for row in rows_of(stal.folder / "v.csv")] == ["holiday/china.jpg"]
    assert len(json.loads((stal.folder / "v.json").read_text())["files"]) == 1


def test_names_that_are_long_or_steer_the_terminal(stal):
    china = stal.folder / "holiday" / "china.jpg"
    small = Image.open(china)
    odd = stal.folder / "odd"
    odd.mkdir()
    names = [
        "x" * 250 + ".png",
        "写" * 80 + ".png",
        "\x1b[31mred\r\t.png",
        "gpj.\u202e.png",
        "-.png",
    ]
    for name in names:
        small.save(odd / name)
    assert stal(f"detect odd/{names[0]} --heatmap heat").exit_code == 0
    assert len(list((stal.folder / "heat").iterdir())) == 1, "a long name is cut for its heatmap"
    result = stal("detect odd --csv v.csv")
    assert result.exit_code == 0 and len(rows_of(stal.folder / "v.csv")) == 5
    assert not {"\x1b", "\r", "\t", "\u202e"} & set(result.output)
    assert "\\x1b[31mred\\r\\t.png" in result.stdout
    assert max(map(columns_of, result.stdout.splitlines())) <= 80


def test_a_heatmap_that_cannot_be_written_costs_only_itself(stal):
    (stal.folder / "heat" / "0000-china.png").mkdir(parents=True)
    shutil.copy(stal.folder / "holiday" / "china.jpg", stal.folder / "heat" / "0001-flower.png")
    result = stal("detect holiday --heatmap heat --csv v.csv")
    assert result.exit_code == 1 and "judged: 2; " in result.stdout
    assert "china.jpg: no heatmap (" in result.stderr
    assert "0001-flower.png: is there, and no heatmap; left as it is" in result.stderr
    assert len(rows_of(stal.folder / "v.csv")) == 2


def test_targets_are_checked_before_the_work(stal):
    (stal.folder / "file").touch()
    for options in ("--csv file/v.csv", "--json holiday", "--csv /proc/v.csv", "--heatmap file"):
        result = stal(f"detect holiday {options}")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), options
    assert stal("detect holiday --csv new/folder/v.csv").exit_code == 0
    assert len(rows_of(stal.folder / "new" / "folder" / "v.csv")) == 2


def test_heatmaps_inside_the_folder_are_not_judged(stal):
    (stal.folder / "holiday" / "flower.jpg").unlink()
    for _ in range(2):
        result = stal("detect holiday --heatmap holiday/heat --csv v.csv")
        assert result.exit_code == 0 and len(rows_of(stal.folder / "v.csv")) == 1
    assert "1 heatmap that stal drew not judged" in result.stderr
    shutil.copy(stal.folder / "holiday" / "heat" / "0000-china.png", stal.folder / "holiday")
    stal("detect holiday --heatmap holiday --csv v.csv")
    assert len(rows_of(stal.folder / "v.csv")) == 1, "wherever they lie"
    refused = stal("detect holiday/heat")
    assert refused.exit_code == 2 and "nothing but " in refused.stderr


def test_only_regular_files_are_opened(stal):
    odd = stal.folder / "holiday"
    os.mkfifo(odd / "pipe.jpg")
    (odd / "device.png").symlink_to("/dev/zero")
    (odd / "loop.png").symlink_to("loop.png")
    (odd / "back").symlink_to(odd)
    result = stal("detect holiday")
    assert result.exit_code == 1 and "judged: 2; " in result.stdout
    assert all(name in result.stderr for name in ("pipe.jpg", "device.png", "loop.png", "back"))
    for name in ("pipe.jpg", "/dev/zero", "holiday/pipe.jpg"):
        refused = stal(f"detect holiday/china.jpg {name}")
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_a_folder_that_cannot_be_read_costs_only_itself(stal, monkeypatch):
    (stal.folder / "holiday" / "locked").mkdir()
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    result = stal("detect holiday")
    assert result.exit_code == 1 and "judged: 2; " in result.stdout
    assert "holiday/locked: " in result.stderr and "1 of 3 files cannot be used" in result.stderr


OTHER_ENCODING = """
import sys
from stal.cli.main import app
try:
    app(["detect", {image!r}, "--csv", {table!r}])
finally:
    print("imported:", *({{"seaborn", "matplotlib", "captum", "pandas"}} & set(sys.modules)))
"""


def test_a_terminal_of_another_encoding_and_what_is_imported(stal):
    photograph = stal.folder / "写真 café.jpg"
    shutil.copy(stal.folder / "holiday" / "china.jpg", photograph)
    table = stal.folder / "v.csv"
    code = OTHER_ENCODING.format(image=str(photograph), table=str(table))
    env = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("cp1252")
    assert "\\u5199\\u771f café.jpg" in shown.replace("\n" + " " * 19, "")
    assert rows_of(table)[0]["file"].endswith("写真 café.jpg")
    assert not {"seaborn", "matplotlib"} & set(shown.rsplit("imported:")[1].split())


QUICK = """
import sys
from typer.testing import CliRunner
from stal.cli.main import app
words = {words}
result = CliRunner().invoke(app, words)
print(result.exit_code, "torch" in sys.modules, "numpy" in sys.modules, result.output.count("\\n"))
"""


def test_what_makes_no_sense_is_refused_before_anything_heavy_is_imported(tmp_path):
    (tmp_path / "a.jpg").touch()
    good = str(tmp_path / "a.jpg")
    lines = [
        ["detect", "nowhere"],
        ["detect", good, "--detector", "nobody"],
        ["detect", good, "--detector", "runs/none.safetensors"],
        ["detect", good, "--threshold", "nan"],
        ["detect", good, "--csv", f"{good}/v.csv"],
        ["detect", good, "--heatmap", good],
        ["detect", ""],
    ]
    code = f"for words in {lines!r}:\n" + "\n".join(
        "    " + line for line in QUICK.replace("words = {words}", "").strip().splitlines()
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "2 False False 1\n" * len(lines), done.stdout + done.stderr


def test_many_small_files_are_scored_together(stal, monkeypatch):
    from stal.evidence import tiles

    calls = []
    score_once = tiles.score
    monkeypatch.setattr(tiles, "score", lambda *args: calls.append(1) or score_once(*args))
    (stal.folder / "icons").mkdir()
    pixels = np.asarray(Image.open(stal.folder / "holiday" / "china.jpg"))
    for k in range(100):
        Image.fromarray(pixels[k % 90 : k % 90 + 32, :32]).save(
            stal.folder / "icons" / f"{k:03}.png"
        )
    result = stal("detect icons --csv v.csv")
    assert result.exit_code == 0 and len(rows_of(stal.folder / "v.csv")) == 100
    assert len(calls) == 2, "64 files, and the rest"
    names = [row["file"] for row in rows_of(stal.folder / "v.csv")]
    assert names == sorted(names), "in order"
