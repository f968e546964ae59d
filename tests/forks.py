"""Commands in real processes that start warm: forks of one that has imported the libraries.

Elsewhere than on Linux a fork of a process with threads may hang: there each command imports for
itself.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

STAL = Path(sys.executable).parent / "stal"
LINUX = sys.platform == "linux"
PRELOADED = [
    "seaborn",
    "torch._dynamo",
    "accelerate",
    "stal.cli.main",
    "stal.detectors.configuration",
    "stal.evidence.training_card",
    "stal.evidence.verdict",
    "stal.tools.chapters",
    "stal.tools.profile_plot",
]


def become_command(
    words: Sequence[str],  # after `stal`
    folder: str,
    environment: dict[str, str],
    streams: Sequence[Path],  # files for standard output and error
    prepare: Callable[[], None],
) -> None:
    "Turn a fork of the server into a command"
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    prepare()
    sys.argv = ["stal", *words]
    from stal.cli.main import app

    app()


def nothing() -> None:
    "No preparation"


class Command:
    "A command that runs"

    def __init__(
        self,
        *words,  # after `stal`
        cwd: Path | None = None,
        prepare: Callable[[], None] = nothing,  # in its process, before it starts
    ):
        words = [str(word) for word in words]
        folder = str(cwd or Path.cwd())
        self.box = tempfile.TemporaryDirectory()
        self.streams = [Path(self.box.name) / name for name in ("stdout", "stderr")]
        if not LINUX:
            out, err = (path.open("w") for path in self.streams)
            options = {"stdout": out, "stderr": err, "cwd": folder, "preexec_fn": prepare}
            self.process = subprocess.Popen([STAL, *words], **options)
            return
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        task = (words, folder, dict(os.environ), self.streams, prepare)
        self.process = context.Process(target=become_command, args=task)
        self.process.start()

    def is_running(self) -> bool:
        return self.process.is_alive() if LINUX else self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()

    def wait(self) -> subprocess.CompletedProcess:
        "Its exit code and what it printed"
        if LINUX:
            self.process.join()
        code = self.process.exitcode if LINUX else self.process.wait()
        texts = [path.read_text() for path in self.streams]
        self.box.cleanup()
        return subprocess.CompletedProcess(self.process, code, *texts)


def stal(*words, **options) -> subprocess.CompletedProcess:
    "Run a command to its end"
    return Command(*words, **options).wait()
