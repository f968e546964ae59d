"""Create the virtual environment that the Makefile uses: python3 .ci/setup.py FOLDER.

Standard library only; runs on any Python 3.
"""

import json
import os
import shutil
import subprocess
import sys
from configparser import ConfigParser

ROOM = 4  # GB of free disk that the packages and pip's cache need


def stop(message):
    sys.exit("make: " + message)


def torch_build(pip, requirements):
    """Version of torch that pip would install, such as 2.13.0+cpu, and whether CUDA comes with it.

    (None, False) if pip cannot tell.
    """
    torch = [r for r in requirements if r.startswith("torch>")]
    run = subprocess.run(
        pip + ["install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-"] + torch,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if run.returncode:
        return None, False
    packages = {
        p["metadata"]["name"]: p["metadata"]["version"]
        for p in json.loads(run.stdout.decode())["install"]
    }
    return packages.get("torch"), any(
        name.startswith("nvidia") or name.startswith("cuda") for name in packages
    )


def main(folder):
    cfg = ConfigParser(delimiters=["="])
    cfg.read("settings.ini", encoding="utf-8")
    cfg = cfg["DEFAULT"]
    need = tuple(int(n) for n in cfg["min_python"].split("."))
    if sys.version_info[:2] < need:
        stop(
            "Python %s or newer is needed, and %s is %d.%d; "
            "name another one: make PYTHON=python%s …"
            % ((cfg["min_python"], sys.executable) + sys.version_info[:2] + (cfg["min_python"],))
        )
    place = os.path.abspath(folder)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free / 1e9
    installed = os.path.isdir(folder) and any(
        f.startswith(".installed-") for f in os.listdir(folder)
    )
    if free < ROOM and not installed:
        stop(
            "%.1f GB are free in %s, and the packages need about %d GB; make room, "
            "or put the environment elsewhere: make VENV=/path …" % (free, place, ROOM)
        )
    if not os.path.exists(os.path.join(folder, "bin", "pip")):
        print("creating", folder, flush=True)
        if subprocess.call([sys.executable, "-m", "venv", folder]):
            shutil.rmtree(folder, ignore_errors=True)
            stop("python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv")
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "--disable-pip-version-check"]
    if sys.platform == "linux" and not shutil.which("nvidia-smi"):
        version, cuda = torch_build(pip, cfg["requirements"].split())
        if cuda:
            print(
                "torch %s from your package index brings several GB of CUDA libraries, and this "
                "machine shows no NVIDIA driver. To avoid them, interrupt now and"
                " name an index with CPU builds (pytorch.org, Get Started, lists it): "
                "PIP_EXTRA_INDEX_URL=address make …" % version,
                flush=True,
            )
    print("installing packages (a minute or two) …", flush=True)
    if subprocess.call(pip + ["install", "--quiet", "-e", ".[dev]"]):
        stop("pip could not install the packages; its messages are above")
    for old in os.listdir(folder):
        if old.startswith(".installed-"):
            os.remove(os.path.join(folder, old))


if __name__ == "__main__":
    main(sys.argv[1])
