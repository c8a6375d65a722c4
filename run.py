"""Noise Search, run: `python run.py` searches and shows what it found; `python run.py test` tests everything;
`python run.py statistics --folder IMAGES --model MODEL` makes reference statistics for Population Oracle.

Makes its own environment in .venv. ComfyUI is found (--comfyui, COMFYUI_PATH, the folder this pack sits in,
comfy-cli's default workspace) or installed with comfy-cli; without it the same search runs on its own.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036  whoever runs this may have an older one
    sys.exit("Noise Search needs Python 3.10 or later.")

import standalone

standalone.load()

from noise_search.harness import environment, find  # noqa: E402  the pack must be loaded first

ROOT = Path(__file__).absolute().parent


def main():
    options, pytest_options = arguments()
    try:
        comfyui = find.comfyui(options.comfyui)
    except FileNotFoundError as error:
        sys.exit(str(error))
    if not options.here:
        return again_in_the_environment(options, comfyui)
    if options.job == "test":
        return test(comfyui, pytest_options)
    if options.job == "statistics":
        from noise_search.harness import statistics_of

        return statistics_of.main(options)
    from noise_search.harness import job

    return job.main(comfyui, options)


def arguments():
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("job", nargs="?", choices=["search", "test", "statistics"], default="search")
    parser.add_argument("--comfyui", metavar="DIR", help="where ComfyUI is")
    parser.add_argument("--here", action="store_true", help="use this Python as it is, install nothing")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the files go; of statistics, the file")
    parser.add_argument("--images", metavar="N", type=int, default=32, help="how many images' worth to spend")
    parser.add_argument("--prompt", help="what to draw, in Shapes World's words")
    parser.add_argument("--seed", type=int, default=16, help="the seed that a plain run would have used")
    parser.add_argument("--serve", action="store_true", help="leave ComfyUI's page open, the template loaded")
    parser.add_argument("--port", type=int, help="for the server; a free one if not given")
    parser.add_argument("--folder", metavar="DIR", type=Path, help="statistics: of these images")
    parser.add_argument("--model", metavar="FILE", type=Path, help="statistics: an Inception v3 file, a DINOv2 folder")
    options, rest = parser.parse_known_args()
    if options.job == "search":
        options.out = options.out or Path("out")
    if rest and options.job != "test":
        parser.error(f"unknown: {' '.join(rest)}")
    if options.images < 1:
        parser.error("--images must be at least 1.")
    return options, rest


def again_in_the_environment(options, comfyui):
    """Make the environment, then run this file in it."""
    try:
        if options.job == "search":
            comfyui = comfyui or comfyui_installed()
        program = environment.ready(comfyui, tests=options.job == "test")
    except environment.CannotInstall as error:
        sys.exit(str(error))
    place = ["--comfyui", str(comfyui)] if comfyui else []
    return subprocess.call([str(program), str(ROOT / "run.py"), *sys.argv[1:], "--here", *place])


def comfyui_installed():
    """Install ComfyUI where comfy-cli would; None, with the reason said, where that cannot be done."""
    place = find.default_workspace()
    try:
        environment.install_comfyui(place)
    except environment.CannotInstall as error:
        print(f"Going on without ComfyUI: {error}", flush=True)
        return None
    return place


def test(comfyui, options):
    """ruff, then pytest from tests/, each half of the files on a core of its own; its summary comes last."""
    style = subprocess.call([sys.executable, "-m", "ruff", "check", str(ROOT)])
    place = {"COMFYUI_PATH": str(comfyui)} if comfyui else {}
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", *options]
    one_core = {"OMP_NUM_THREADS": "1"}
    return subprocess.call(command, cwd=ROOT / "tests", env={**one_core, **os.environ, **place}) or style


if __name__ == "__main__":
    sys.exit(main())
