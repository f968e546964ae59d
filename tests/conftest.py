import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture
def root():
    "The project's folder"
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def output(tmp_path, monkeypatch):
    "No test writes into the committed record"
    monkeypatch.setenv("STAL_OUTPUT", str(tmp_path / "output"))
