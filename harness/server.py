"""The real ComfyUI server in a folder of its own: nothing of the user's installation is read or written."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from .find import ROOT

FOLDERS = ("custom_nodes", "models", "input", "output", "temp", "user")
NOT_THE_PACK = shutil.ignore_patterns(".git", ".venv", "out", "output", "__pycache__", ".*_cache")


class Server:
    """`with Server(comfyui, base) as server:` runs ComfyUI on the CPU at `server.url` until the block ends.

    base: folder for models, outputs, history …; packs: what to put into its custom_nodes, name → path.
    """

    def __init__(self, comfyui, base, *, port=None, packs=None, args=(), start_within=300):
        self.comfyui, self.base = Path(comfyui), Path(base)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.base / "server.log"
        self.packs = {"noise-search": ROOT} if packs is None else packs
        self.args = args
        self.start_within = start_within
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        make_base(self.base, self.packs)
        command = [
            sys.executable, "-u", str(self.comfyui / "main.py"), "--cpu", "--port", str(self.port),
            "--base-directory", str(self.base), "--disable-api-nodes", "--disable-auto-launch",
            "--database-url", "sqlite:///:memory:", *self.args,
        ]  # fmt: skip
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        with self.log.open("ab" if self.process else "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.comfyui, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        """Stop, and start again on the same folder and port."""
        self.stop()
        self.start()

    def read_log(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _wait_until_ready(self):
        deadline = time.monotonic() + self.start_within
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended while starting:\n{self.read_log()[-3000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/system_stats", timeout=5) as answer:
                    json.load(answer)
                    return
            except (urllib.error.URLError, OSError, ValueError):
                time.sleep(0.3)
        raise TimeoutError(f"ComfyUI was not ready in {self.start_within} s:\n{self.read_log()[-3000:]}")


def make_base(base, packs):
    """ComfyUI's folders, with the packs linked into custom_nodes (copied where links are not allowed)."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    settings = base / "user/default/comfy.settings.json"
    settings.parent.mkdir(exist_ok=True)
    if not settings.exists():  # a new user's page opens with the template browser over the graph
        settings.write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")
    for name, source in packs.items():
        place = base / "custom_nodes" / name
        if place.is_symlink():
            place.unlink()
        try:
            place.symlink_to(source, target_is_directory=source.is_dir())
        except OSError:  # Windows without developer mode
            if source.is_dir():
                shutil.copytree(source, place, ignore=NOT_THE_PACK, dirs_exist_ok=True)
            else:
                shutil.copy2(source, place)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
