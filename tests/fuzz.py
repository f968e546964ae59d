"""Broken images, manifests, configurations and cards: never a traceback, a hang, or much memory.

python tests/fuzz.py --seconds 300 --seed 0    (make fuzz; the weekly run does it, too)

Each case is a function of seed and number, so that a failure comes again with --only NUMBER. A
child process takes the cases; it is watched, and started anew where one hangs or ends it.
"""

import argparse
import contextlib
import io
import json
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLOWEST = 10  # CPU seconds of a case
LARGEST = 1500  # MB of the process
START = 120  # seconds in which a child has imported everything, on a busy machine

WORDS = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\t", b"\r", b"\n\n", b'"', b"'", b"\\", b"nan", b"1e999",
    b"-1", b"99999999999999999999", b"~", b"../..", b"/dev/zero", b"null", b"true", b"[]", b"{}",
    b"{", b"]", b": ", b"&a [*a]", b"<<: *a",
    b"!!python/object:os.system", b"!!bool x", b"? ", b";",
    "日本\u202e".encode(), b"\x1b[2J", b"\xe9", b"[" * 2000, b"0" * 5000, b"2024-13-45",
    b"1:60", b",",
]  # fmt: skip


def mutated(
    data: bytes,
    rng: random.Random,
    words: bool = True,  # text: whole words are put in, not bits flipped only
) -> bytes:
    "The same with one to eight faults"
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 2, 4, 16, 200))
        change = rng.randrange(7)
        if change == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[at : at + size]
        elif change == 2:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
        elif change == 3:
            data[at:at] = rng.choice(WORDS) if words else rng.randbytes(size)
        elif change == 4:
            data[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        elif change == 5 and rng.random() < 0.3:
            del data[at:]
        else:
            other = rng.randrange(len(data) + 1)
            data[at : at + size] = data[other : other + size]
    return bytes(data)


def image_files() -> dict[str, bytes]:
    "One small image of each format and kind that is read"
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(80, 96, 3)).cumsum(0).cumsum(1)
    pixels = (smooth / abs(smooth).max() * 127 + 128).astype(np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "a.png": (picture, {}),
        "palette.png": (picture.convert("P"), {}),
        "sixteen.png": (Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {}),
        "alpha.png": (picture.convert("RGBA"), {}),
        "a.jpg": (picture, {"quality": 90, "exif": exif}),
        "progressive.jpg": (picture, {"progressive": True}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "a.gif": (picture, {}),
        "a.bmp": (picture, {}),
        "a.ppm": (picture, {}),
        "a.tif": (picture, {"exif": exif}),
        "packed.tif": (picture, {"compression": "tiff_lzw"}),
        "a.webp": (picture, {}),
    }
    files = {}
    for name, (image, options) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            image.save(Path(folder) / name, **options)
            files[name] = (Path(folder) / name).read_bytes()
    return files


CONFIGURATION = b"""# what to train on
data:
  path: set
  generators: [vae, vq]
  held: 0.2
batches: {size: 64, pairs: 8, seed: 1}
training:
  - steps: 8
  - rate: 1e-3
degradation: {quality: [60, 100]}
teacher: {view: clean}
student:
  name: small
  front: highpass
  width: 16
"""
PROFILE = b"02_spectrum:\n  crop: 128\n24: {seed: 3}\n13_training: {member: vae}\n"
MANIFEST = b"""file,label,generator,pair
a.png,real,,1
a.jpg,fake,sdxl,1
a.gif,0,,2
a.tif,1,"sd, 1.5",2
"""


class Cases:
    "What is tried, by number"

    def __init__(self, folder: Path):
        from stal.core.paths import shipped

        self.folder = folder
        self.images = image_files()
        for name, data in self.images.items():
            (folder / name).write_bytes(data)
        names = ("stal-0", "npr-0", "durall-0", "teacher-0")
        self.cards = {n: (shipped("detectors", f"{n}.json")).read_bytes() for n in names}
        self.weights = {n: shipped("detectors", f"{n}.safetensors").read_bytes() for n in names}

    def image(self, rng):
        name = rng.choice(list(self.images))
        file = self.folder / f"broken-{name}"
        file.write_bytes(mutated(self.images[name], rng, words=False))
        words = rng.choice((["spectrum", "--crop", "65"], ["detect"], ["detect", "--json", "-"]))
        return [file], [*words, file.name]

    def manifest(self, rng):
        file = self.folder / "list.csv"
        file.write_bytes(mutated(MANIFEST, rng))
        return [file], ["data", "check", "csv", file.name, "--decode", "2"]

    def configuration(self, rng):
        file = self.folder / "train.yml"
        file.write_bytes(mutated(CONFIGURATION, rng))
        return [file], ["CONFIGURATION", file]

    def profile(self, rng):
        file = self.folder / "profile.yml"
        file.write_bytes(mutated(PROFILE, rng))
        return [file], ["PROFILE", file]

    def card(self, rng):
        name = rng.choice(list(self.cards))
        files = [self.folder / f"other.{kind}" for kind in ("safetensors", "json")]
        whole = rng.random() < 0.7
        weights = self.weights[name]
        files[0].write_bytes(weights if whole else mutated(weights, rng, words=False))
        files[1].write_bytes(mutated(self.cards[name], rng) if whole else self.cards[name])
        return files, ["detect", "a.png", "--detector", files[0].name]

    def __call__(self, seed: int, number: int) -> tuple:  # files and words of a case
        rng = random.Random(seed * 1_000_003 + number)
        kinds = (self.image, self.manifest, self.configuration, self.profile, self.card)
        return kinds[number % len(kinds)](rng)


def read_configuration(file: Path) -> None:
    "What `stal train` does before it trains"
    from stal.cli.train import _read
    from stal.detectors.configuration import parts_of, settings_of, student_options

    config = _read(file)
    settings_of(config)
    student_options(parts_of(config).get("student", {}))


def read_profile(file: Path) -> None:
    "What `stal reproduce --profile` does before it runs"
    from stal.tools.parameters import resolve_parameters

    resolve_parameters(["02_spectrum", "13_training"], ROOT / "nbs", file)


READERS = {"CONFIGURATION": read_configuration, "PROFILE": read_profile}


def fault_of(words: list) -> str | None:
    "Run a command line in this process: what is wrong with how it ended"
    from typer.testing import CliRunner

    from stal.cli.main import app

    if words[0] in READERS:
        try:
            READERS[words[0]](words[1])
        except (ValueError, OSError) as error:
            return "more than one line" if "\n" in str(error) else None
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None
    result = CliRunner().invoke(app, [str(word) for word in words])
    error = result.exception
    if error and not isinstance(error, SystemExit):
        return f"{type(error).__name__}: {error}"
    if "Traceback" in result.output:
        return "a traceback"
    if result.exit_code not in (0, 1, 2):
        return f"exit code {result.exit_code}"


def child(seed: int, start: int, step: int) -> None:
    "Take cases one after the other, and report each as a line of JSON"
    report = os.fdopen(os.dup(1), "w")
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        cases = Cases(Path(folder))
        number = start
        while True:
            files, words = cases(seed, number)
            kept = [str(file) for file in files]
            print(json.dumps({"number": number, "files": kept}), file=report, flush=True)
            before = time.process_time()
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                fault = fault_of(words)
            about = {
                "fault": fault,
                "words": list(map(str, words)),
                "seconds": time.process_time() - before,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
            print(json.dumps(about), file=report, flush=True)
            number += step


class Watch:
    "A child, and what is wrong with the cases that it takes"

    def __init__(self, seed: int, kept: Path):
        self.seed = seed
        self.kept = kept
        self.faults = []

    def start(self, number: int) -> None:
        words = [sys.executable, __file__, "--child", "--seed", self.seed, "--only", number]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(list(map(str, words)), env=environment, **options)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:  # in a thread of its own
        lines = self.lines
        for text in self.process.stdout:
            lines.put(text)
        lines.put("")

    def line(self, seconds: float) -> dict | None:  # None: the child has ended or hangs
        try:
            text = self.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        return json.loads(text) if text.endswith("\n") else None

    def note(self, case: dict, fault: str) -> None:
        folder = self.kept / f"{self.seed}-{case['number']}"
        folder.mkdir(parents=True, exist_ok=True)
        for file in case["files"]:
            with contextlib.suppress(OSError):
                shutil.copy(file, folder)
        self.faults.append(f"case {case['number']}: {fault[:300]} ({folder})")
        print(self.faults[-1], flush=True)

    def one(self, waiting: float) -> int | None:  # the next case's number; None: start anew
        case = self.line(START)
        if case is None:
            raise SystemExit("the child does not start: python tests/fuzz.py --child shows why")
        about = self.line(waiting)
        if about is None:
            hangs = self.process.poll() is None
            self.note(case, f"no end after {waiting:.0f} s" if hangs else "it ended the process")
            self.process.kill()
            self.process.wait()
            return None, case["number"] + 1
        for fault in (
            about["fault"],
            about["seconds"] > SLOWEST and f"{about['seconds']:.0f} CPU seconds",
            about["peak"] > LARGEST and f"{about['peak']} MB",
        ):
            if fault:
                self.note(case, f"{fault}: {' '.join(about['words'])}")
        return about, case["number"] + 1


def run(seed: int, seconds: float, kept: Path) -> list[str]:  # faults
    "Try cases until the time is over"
    watch = Watch(seed, kept)
    watch.start(0)
    end = time.monotonic() + seconds
    number = peak = slowest = 0
    while time.monotonic() < end:
        about, number = watch.one(waiting=6 * SLOWEST)  # of the clock: others may work here, too
        if about is None or about["peak"] > LARGEST:
            watch.process.kill()
            watch.start(number)
            continue
        peak = max(peak, about["peak"])
        slowest = max(slowest, about["seconds"])
    watch.process.kill()
    print(f"{number} cases, seed {seed}; slowest {slowest:.1f} CPU seconds; peak {peak} MB")
    return watch.faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.strftime("%Y%W")))
    parser.add_argument("--only", type=int, help="the case with which a child begins")
    parser.add_argument("--child", action="store_true", help="take cases, watched by nobody")
    asked = parser.parse_args()
    if asked.child:
        child(asked.seed, asked.only or 0, 1)
    faults = run(asked.seed, asked.seconds, ROOT / "runs" / "fuzz")
    print(f"{len(faults)} faults")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
