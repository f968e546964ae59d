"The workshop: each notebook in nbs/lib runs cell by cell, with its own checks, as nbdev runs it."

import os
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook

LIB = Path(__file__).resolve().parents[1] / "nbs" / "lib"


@pytest.mark.parametrize(
    "notebook", sorted(LIB.rglob("*.ipynb")), ids=lambda p: f"{p.parent.name}.{p.stem}"
)
def test_notebook(notebook, monkeypatch):
    monkeypatch.chdir(notebook.parent)
    monkeypatch.setenv("IN_TEST", "1")  # nbdev sets it and leaves it set
    config = get_config()
    flags = config.tst_flags.split()
    passed, _ = run_notebook(notebook, skip_flags=flags, basepath=config.config_path)
    assert passed, f"{notebook.name} failed; its error is printed above"
    output = os.environ["STAL_OUTPUT"]
    assert Path(output).name == "output", "a notebook must leave the environment as it was"
