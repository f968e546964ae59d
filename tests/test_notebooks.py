"Each notebook runs cell by cell, with its own checks, as nbdev runs it."
import os
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "nbs").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook(notebook, monkeypatch):
    monkeypatch.chdir(notebook.parent)
    monkeypatch.setenv("IN_TEST", "1")  # nbdev sets it and leaves it set
    config = get_config()
    passed, _ = run_notebook(notebook, skip_flags=config.tst_flags.split(), basepath=config.config_path)
    assert passed, f"{notebook.name} failed; its error is printed above"
    assert Path(os.environ["STAL_OUTPUT"]).name == "output", "a notebook must leave the environment as it was"
