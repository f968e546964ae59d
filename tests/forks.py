"""Commands in real processes that start warm: forks of one that has imported the libraries.

Elsewhere than on Linux a fork of a process with threads may hang: there each command imports for
itself. (The fork server of Python's multiprocessing is not used: the runner has it.)
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAL = Path(sys.executable).parent / "stal"
LINUX = sys.platform == "linux"
PRELOADED = (
    "seaborn",
    "torch._dynamo",
    "accelerate",
    "stal.cli.main",
    "stal.detectors.configuration",
    "stal.evidence.training_card",
    "stal.evidence.verdict",
    "stal.tools.chapters",
    "stal.tools.profile_plot",
)


def nothing() -> None:
    "No preparation"


def become_command(request: dict) -> None:
    "Turn a fork of the server into a command"
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{request['box']}/{name}", os.O_WRONLY | os.O_CREAT), number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, name = request["prepare"]
    getattr(import_module(module), name)()
    sys.argv = ["stal", *request["words"]]
    code = 0
    try:
        import_module("stal.cli.main").app()
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def supervise(request: dict) -> None:
    "Start a command, say which process it is, and how it ended"
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if not process:
        become_command(request)
    box = Path(request["box"])
    (box / "process").write_text(f"{process}\n")
    _, status = os.waitpid(process, 0)
    (box / "code.new").write_text(f"{os.waitstatus_to_exitcode(status)}\n")
    (box / "code.new").rename(box / "code")
    os._exit(0)


def serve() -> None:
    "Import the libraries, then fork for each line of standard input"
    for name in PRELOADED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that supervise
    for line in iter(sys.stdin.readline, ""):
        if not os.fork():
            supervise(json.loads(line))


@lru_cache(maxsize=1)
def server() -> subprocess.Popen:
    "One for each process that runs tests; it ends with it"
    code = "from tests.forks import serve; serve()"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, cwd=ROOT)


def wait_for(path: Path) -> str:  # its text
    "Wait until a file has a whole line"
    while not path.exists() or not path.read_text().endswith("\n"):
        assert LINUX and server().poll() is None, "the server has ended"
        time.sleep(0.01)
    return path.read_text()


class Command:
    "A command that runs"

    def __init__(
        self,
        *words,  # after `stal`
        cwd: Path | None = None,
        prepare: Callable[[], None] = nothing,  # of a module; in its process, before it starts
    ):
        self.box = tempfile.TemporaryDirectory()
        self.place = Path(self.box.name)
        words = [str(word) for word in words]
        folder = str(cwd or Path.cwd())
        if not LINUX:
            out, err = ((self.place / name).open("w") for name in ("stdout", "stderr"))
            options = {"stdout": out, "stderr": err, "cwd": folder, "preexec_fn": prepare}
            self.process = subprocess.Popen([STAL, *words], **options)
            return
        request = {"words": words, "folder": folder, "box": self.box.name}
        request["environment"] = dict(os.environ)
        request["prepare"] = (prepare.__module__, prepare.__name__)
        server().stdin.write(f"{json.dumps(request)}\n".encode())
        server().stdin.flush()

    def is_running(self) -> bool:
        return not (self.place / "code").exists() if LINUX else self.process.poll() is None

    def kill(self) -> None:
        if LINUX:
            os.kill(int(wait_for(self.place / "process")), signal.SIGKILL)
        else:
            self.process.kill()

    def wait(self) -> subprocess.CompletedProcess:
        "Its exit code and what it printed"
        code = int(wait_for(self.place / "code")) if LINUX else self.process.wait()
        texts = [(self.place / name).read_text() for name in ("stdout", "stderr")]
        self.box.cleanup()
        return subprocess.CompletedProcess(self.place, code, *texts)


def stal(*words, **options) -> subprocess.CompletedProcess:
    "Run a command to its end"
    return Command(*words, **options).wait()
