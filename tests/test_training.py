"Training from the command line: killed and resumed, in two processes, on a full disk."

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from stal.detectors.configuration import configured
from stal.detectors.exporting import export_student
from stal.detectors.student import build_student
from tests.forks import Command, stal

BIN = Path(sys.executable).parent
ONE = {"generators": ["vae"]}  # pairs of one generator are made in a third of the time
SHORT = {"data": ONE, "batches": {"pairs": 4}, "training": {"steps": 16, "every": 8}}


def command(folder, config, output):
    "The words after `stal`"
    (folder / "train.yml").write_text(yaml.safe_dump(config))
    return ["train", str(folder / "train.yml"), "--output", str(folder / output), "--quiet"]


def weights(folder):
    return load_file(folder / "student.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(a[k].equal(b[k]) for k in a)


def trained_here(config):
    "In this process, where torch is imported already"
    return configured(config).run(progress=False)


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    whole = trained_here(SHORT)
    words = command(tmp_path, SHORT, "killed")
    process = Command(*words)
    checkpoint = tmp_path / "killed" / "checkpoint.safetensors"
    while not checkpoint.exists() and process.is_running():
        time.sleep(0.02)
    process.kill()
    assert process.wait().returncode == -signal.SIGKILL, "it was killed, not finished"
    assert not (tmp_path / "killed" / "student.safetensors").exists()
    assert stal(*words).returncode == 0
    assert same(weights(tmp_path / "killed"), whole.student.state_dict())
    history = pd.read_csv(tmp_path / "killed" / "history.csv")
    pd.testing.assert_frame_equal(history, pd.DataFrame(whole.history), check_dtype=False)


def test_two_processes_train_to_the_curve_of_one(tmp_path):
    "Each takes half of the pairs; only rounding and dropout, off here, could tell them apart"
    config = {
        "data": ONE,
        "batches": {"pairs": 8},
        "training": {"steps": 12, "every": 6, "bfloat16": False},
        "teacher": {"dropout": 0.0},
    }
    options = "--num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    launcher = [
        BIN / "accelerate-launch",
        *options.split(),
        "--main_process_port",
        "0",
        "-m",
        "stal.cli",
    ]
    whole = trained_here(config)
    run = subprocess.run(
        [*map(str, launcher), *command(tmp_path, config, "two")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    one, two = pd.DataFrame(whole.history), pd.read_csv(tmp_path / "two" / "history.csv")
    card = json.loads((tmp_path / "two" / "student.json").read_text())
    assert card["steps"] == 12 and card["processes"] == 2, "on a CPU, accelerate alone starts one"
    losses = ["loss", "spatial", "frequency", "tail", "alignment", "contrastive"]
    assert (one[losses] - two[losses]).abs().max().max() < 0.005, (one[losses], two[losses])
    for column in ("val_loss", "val_auc"):
        assert (one[column] - two[column]).abs().max() < 0.02, (one[column], two[column])
    a, b = whole.student.state_dict(), weights(tmp_path / "two")
    start = build_student("small", seed=0).state_dict()
    apart, travelled = (
        sum((x[k] - y[k]).square().sum().item() for k in a) ** 0.5 for x, y in ((a, b), (a, start))
    )
    assert apart < 0.02 * travelled, (apart, travelled)


NOTEBOOK = """
import json
import sys
from pathlib import Path
from accelerate import notebook_launcher
from stal.detectors.configuration import configured

def training_function():
    configured(json.loads(sys.argv[1])).run(Path(sys.argv[2]), progress=False)

notebook_launcher(training_function, num_processes=2)
"""


def test_a_notebook_launches_two_processes(tmp_path):
    "As `13_training` shows it, in a fresh kernel"
    config = {
        "data": ONE,
        "batches": {"pairs": 8},
        "training": {"steps": 4, "every": 2, "bfloat16": False},
        "teacher": {"dropout": 0.0},
    }
    files = [tmp_path / f"{n}.safetensors" for n in (1, 2)]
    configured(config).run(files[0], progress=False)
    run = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, json.dumps(config), str(files[1])],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Launching training on 2" in run.stdout
    one, two = map(load_file, files)
    assert one.keys() == two.keys()
    assert all(a.allclose(two[k], atol=2e-3) for k, a in one.items() if k.startswith("trainee/"))


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("timm", "peft"))), reason="needs the extra backbones"
)
def test_adapters_of_a_transformer_train_resume_and_fold_away(tmp_path):
    "With STAL's help: only adapters, head and what is thrown away are trained"
    config = {
        "data": ONE,
        "batches": {"pairs": 2},
        "training": {"steps": 4, "every": 2},
        "student": {"name": "timm:vit_tiny_patch16_224", "front": "raw", "lora": 4},
    }
    start = {k: v.clone() for k, v in configured(config).student.state_dict().items()}
    whole = configured(config).run(progress=False).student
    checkpoint = tmp_path / "checkpoint.safetensors"
    configured(config).run(checkpoint, progress=False, until=2)
    again = configured(config).run(checkpoint, progress=False).student
    assert same(again.state_dict(), whole.state_dict())
    moved = {k for k, v in whole.state_dict().items() if not v.equal(start[k])}
    assert moved and all("lora_" in k or k.startswith("head.") for k in moved)
    left, images = (
        export_student(whole),
        torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
    )
    assert "lora" not in left.recipe["options"] and not any("lora_" in k for k in left.state_dict())
    assert left(images).allclose(whole.eval()(images), atol=1e-4)


def fill_disk():
    "No file may grow beyond 100 kB"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs file size limits")
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    checkpoint = tmp_path / "full" / "checkpoint.safetensors"
    checkpoint.parent.mkdir()
    configured(SHORT).run(checkpoint, progress=False, until=8)
    words = command(tmp_path, SHORT, "full")
    before = checkpoint.read_bytes()

    run = stal(*words, prepare=fill_disk)
    assert (
        run.returncode == 2
        and "cannot be saved" in run.stderr
        and "last good checkpoint" in run.stderr
        and "Traceback" not in run.stderr
    )
    assert checkpoint.read_bytes() == before
    assert configured(SHORT).run(checkpoint, progress=False).done == SHORT["training"]["steps"]
