"""A virtual environment in `.venv` with what ComfyUI, the pack and the tests need. Standard library only."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv

from .find import ROOT

VENV = ROOT / ".venv"
# They must match each other; these three run on machines with and without a GPU.
TORCH = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]
CLIENT = ["requests", "websocket-client"]
TESTED_COMFYUI = "0.3.64"


class CannotInstall(RuntimeError):
    """Says in one sentence what could not be installed, and what to do."""


def python():
    """The environment's interpreter, made on first use."""
    program = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not program.exists():
        print(f"Making the environment {VENV} …", flush=True)
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(VENV)
            raise CannotInstall(
                f"{sys.executable} cannot make a virtual environment: on Debian, install python3-venv."
            ) from error
    return program


def ready(comfyui=None, tests=False):
    """The environment's interpreter, with everything installed; installed again only when a list changed."""
    files = [ROOT / "requirements.txt"]
    files += [ROOT / "requirements-test.txt"] if tests else []
    files += [comfyui / "requirements.txt"] if comfyui else []
    names = [*TORCH, *CLIENT]
    content = "\n".join(names + [file.read_text(encoding="utf-8") for file in files])
    stamp = VENV / f"installed-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    program = python()
    if not stamp.exists():
        print("Installing what is needed; the first time this takes some minutes …", flush=True)
        install(program, *names, *(part for file in files for part in ("-r", str(file))))
        stamp.touch()
    return program


def install(program, *what):
    """With uv, which is quick; with pip where uv cannot be had or fails."""
    quick = [str(program), "-m", "uv", "pip", "install", "--python", str(program)]
    plain = [str(program), "-m", "pip", "install", "--disable-pip-version-check"]
    has_uv = call([*plain, "--quiet", "uv"]) == 0
    if has_uv and call([*quick, *what], env=for_uv(os.environ)) == 0:
        return
    if call([*plain, *what]) != 0:
        raise CannotInstall("The packages could not be installed; the lines above say why.")


def for_uv(environ):
    """uv does not read pip's settings: hand on the index and the certificates."""
    names = {
        "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
        "PIP_EXTRA_INDEX_URL": "UV_INDEX",
        "PIP_FIND_LINKS": "UV_FIND_LINKS",
        "PIP_CERT": "SSL_CERT_FILE",
    }
    return {**{uv: environ[pip] for pip, uv in names.items() if pip in environ}, **environ}


def install_comfyui(place):
    """ComfyUI at the tested version, by comfy-cli, into its default workspace."""
    program = python()
    print(f"ComfyUI was not found: installing version {TESTED_COMFYUI} into {place} …", flush=True)
    if not shutil.which("git"):
        raise CannotInstall("ComfyUI cannot be installed without git.")
    install(program, "comfy-cli")
    command = [
        str(program), "-m", "comfy_cli", "--skip-prompt", "--workspace", str(place), "install",
        "--version", TESTED_COMFYUI, "--cpu", "--skip-manager", "--skip-torch-or-directml",
        "--skip-requirement",
    ]  # fmt: skip
    log = VENV / "comfy-cli.log"  # its own words are long, and a traceback when github.com is out of reach
    with log.open("w") as output:
        subprocess.call(
            command,
            env={**os.environ, "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if not (place / "main.py").is_file():
        raise CannotInstall(f"comfy-cli could not install ComfyUI; {log} says why (is github.com in reach?).")


def call(command, env=None):
    return subprocess.call(command, env=env, stdin=subprocess.DEVNULL)
