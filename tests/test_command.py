"The command line as a person meets it: a real process, real files, exit codes."

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from stal.tools.example import write_chapter
from stal.tools.manifest import read_manifest
from tests.forks import stal


@pytest.fixture
def holiday(tmp_path):
    "97 good photographs and three that cannot be used"
    folder = tmp_path / "holiday"
    folder.mkdir()
    pixels = np.asarray(Image.open(files("sklearn.datasets.images") / "china.jpg"))
    for i in range(97):
        Image.fromarray(np.roll(pixels, i, axis=1)).save(folder / f"{i:03d}.jpg", quality=90)
    (folder / "cut.jpg").write_bytes((folder / "000.jpg").read_bytes()[:20_000])
    (folder / "empty.png").touch()
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    return folder


def test_three_bad_files_among_a_hundred_are_all_named(holiday):
    run = stal("spectrum", holiday)
    assert run.returncode == 1 and "mean of 97" in run.stdout, "a bad file costs only itself"
    assert [name for name in ("cut.jpg", "empty.png", "one.png") if name in run.stderr] == [
        "cut.jpg",
        "empty.png",
        "one.png",
    ]
    assert "3 of 100 files cannot be used" in run.stderr and "Traceback" not in run.stderr
    run = stal("spectrum", holiday, "--skip-bad", "--json", holiday.parent / "out.json")
    assert run.returncode == 0 and "mean of 97" in run.stdout
    document = json.loads((holiday.parent / "out.json").read_text())
    assert len(document["files"]) == 97 and len(document["failed"]) == 3


def broken(name, path, jpeg):
    "Write one kind of unusable file"
    if name == "truncated.jpg":
        path.write_bytes(jpeg[: len(jpeg) // 2])
    elif name == "empty.jpg":
        path.touch()
    elif name == "text.png":
        path.write_text("no image")
    elif name == "one.png":
        Image.new("RGB", (1, 1)).save(path)
    elif name == "bomb.png":
        Image.new("1", (20_000, 20_000)).save(path)
    elif name == "animated.webp":
        Image.new("RGB", (300, 300)).save(
            path, save_all=True, append_images=[Image.new("RGB", (300, 300), "red")]
        )
    elif name == "nan.tif":
        Image.fromarray(np.full((300, 300), np.nan, np.float32)).save(path)
    elif name == "small.png":
        Image.new("RGB", (255, 300)).save(path)
    elif name == "garbage.jpg":
        path.write_bytes(jpeg[:600] + os.urandom(3000))
    elif name == "folder.jpg":
        path.mkdir()


@pytest.mark.parametrize(
    "name",
    [
        "truncated.jpg",
        "empty.jpg",
        "text.png",
        "one.png",
        "bomb.png",
        "animated.webp",
        "nan.tif",
        "small.png",
        "absent.png",
        "folder.jpg",
        "garbage.jpg",
    ],
)
def test_bad_file_gets_one_line(tmp_path, name):
    path = tmp_path / name
    broken(name, path, (files("sklearn.datasets.images") / "china.jpg").read_bytes())
    run = stal("spectrum", path)
    lines = run.stderr.strip().splitlines()
    assert (
        run.returncode in (1, 2)
        and run.stdout == ""
        and name in lines[0]
        and len([x for x in lines if name in x]) == 1
        and "Traceback" not in run.stderr
    ), run.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("spectrum",),
        ("spectrum", "x.png", "--crop", "big"),
        ("reproduce", "--jobs", "0"),
        ("reproduce", "--only", "02", "-p", "crop=1.5"),
        ("nothing",),
    ],
)
def test_senseless_requests_exit_with_two(root, words):
    run = stal(*words, cwd=root)
    assert run.returncode == 2 and run.stderr and "Traceback" not in run.stderr


def test_unusual_files_are_read(tmp_path):
    picture = Image.open(files("sklearn.datasets.images") / "china.jpg")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    picture.convert("P").save(tmp_path / "palette.png")
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(
        tmp_path / "sixteen.png"
    )
    run = stal("spectrum", tmp_path, "--png", tmp_path / "out.png")
    assert run.returncode == 0 and "mean of 5" in run.stdout, run.stderr
    assert Image.open(tmp_path / "out.png").width > 300


def test_outside_a_clone_the_runner_says_so(tmp_path):
    run = stal("reproduce", cwd=tmp_path)
    assert (
        run.returncode == 2 and "not inside a clone" in run.stderr and run.stderr.count("\n") == 1
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    "An empty project"
    (tmp_path / "nbs").mkdir()
    (tmp_path / "settings.ini").write_text("[DEFAULT]\nlib_name = stal\n")
    monkeypatch.delenv("STAL_OUTPUT")
    return tmp_path


RUN = "from stal.tools.chapters import Request, reproduce; reproduce(Request(jobs=1, resume=True))"


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_killed_run_goes_on_where_it_stopped(project):
    "A real process, really killed"
    write_chapter(project, "10_first", "open('../first', 'a').write('x')")
    wait = "import os, time\nif not os.path.exists('../go'): time.sleep(300)"
    write_chapter(project, "20_second", wait)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=project,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: "10_first" in read_manifest(project / "figures")["notebooks"])
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    (project / "go").touch()
    done = subprocess.run([sys.executable, "-c", RUN], cwd=project, capture_output=True, text=True)
    assert "1 passed, 0 failed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert (project / "first").read_text() == "x", "the first notebook ran once"


def test_two_runs_are_identical_to_the_byte(root, tmp_path, monkeypatch):
    monkeypatch.delenv("STAL_OUTPUT")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, compared in zip(folders, ((), ("--against", folders[0] / "figures"))):
        run = stal("reproduce", "--only", "03", "--output", folder, *compared, cwd=root)
        assert run.returncode == 0, run.stdout + run.stderr
    assert "figures agree" in run.stdout
    made = [{p.name: p.read_bytes() for p in sorted((f / "figures").glob("fig*"))} for f in folders]
    assert made[0].keys() == made[1].keys() and len(made[0]) >= 2
    assert made[0] == made[1]


def listen_to_ctrl_c():
    "A background job of a shell would ignore it"
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_run_stops_at_once(project):
    "Ctrl-C during a long cell; the chapter after it does not start"
    write_chapter(project, "10_long", "open('../started', 'w')", "import time; time.sleep(120)")
    write_chapter(project, "20_later", "open('../later', 'w')")
    run = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=project,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        preexec_fn=listen_to_ctrl_c,
    )
    wait_for((project / "started").exists)
    time.sleep(1)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(timeout=30) != 0
    assert not (project / "later").exists()


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("ending", (signal.SIGKILL, signal.SIGINT))
def test_warm_kernels_end_with_their_run(project, ending):
    "From four chapters on, kernels are forks of a server, which outlives the run by itself"
    started = project / "started"
    note = "import os, time; open('../started', 'w').write(str(os.getpid()))"
    write_chapter(project, "10_long", note, "time.sleep(120)")
    for name in ("20_later", "30_later", "40_later"):
        write_chapter(project, name, "open('../later', 'w')")
    run = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=project,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=listen_to_ctrl_c,
    )
    wait_for(lambda: started.exists() and started.read_text())
    (os.kill if ending == signal.SIGKILL else os.killpg)(run.pid, ending)
    assert run.wait(timeout=30) != 0
    kernel = int(started.read_text())
    wait_for(lambda: not is_alive(kernel), 15)
    assert not (project / "later").exists()


def test_detect_judges_the_good_files_and_names_the_bad(holiday):
    for path in holiday.glob("0[2-9]?.jpg"):  # twenty good ones are enough to judge
        path.unlink()
    run = stal("detect", holiday, "--csv", holiday.parent / "verdicts.csv")
    assert (
        run.returncode == 1
        and "3 of 23 files cannot be used" in run.stderr
        and "Traceback" not in run.stderr
    )
    assert [name for name in ("cut.jpg", "empty.png", "one.png") if name in run.stderr] == [
        "cut.jpg",
        "empty.png",
        "one.png",
    ]
    assert (holiday.parent / "verdicts.csv").read_text().count(
        "\n"
    ) == 24  # all are listed, the bad ones as such


PEAK = """
import resource, sys
from stal.cli.main import app
sys.argv = ["stal", "detect", "{file}"]
try:
    app()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_detect_takes_100_megapixels_in_bounded_memory(tmp_path):
    rng = np.random.default_rng(0)
    for name, side in (("small", 512), ("large", 10_000)):
        Image.fromarray(
            np.tile(
                rng.integers(0, 256, (500, 500, 3), dtype=np.uint8),
                (side // 500 + 1, side // 500 + 1, 1),
            )[:side, :side]
        ).save(tmp_path / f"{name}.png", compress_level=1)
    peak = {}
    for name in ("small", "large"):
        code = PEAK.format(file=tmp_path / f"{name}.png")
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.returncode == 0 and "decision" in run.stdout, run.stderr
        peak[name] = int(run.stdout.rsplit("peak", 1)[1])
    decoded = 300  # MB, three bytes a pixel
    assert peak["large"] - peak["small"] < 4 * decoded, peak
