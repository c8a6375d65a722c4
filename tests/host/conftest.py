"""Fixtures for tests against the real ComfyUI. Without a ComfyUI these tests are left out, and said to be."""

import gc
import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from noise_search.harness import find
from noise_search.harness.client import Client
from noise_search.harness.graph import Graph
from noise_search.harness.server import FOLDERS, Server
from noise_search.search.history import History

from . import tiny_models
from .in_process import Host
from .page import FLAGS, OUTPUT, Page, chromium

HERE = Path(__file__).parent
HISTORY = "user/noise_search/history.sqlite"


@pytest.fixture(scope="session")
def comfyui():
    """The folder of the real ComfyUI."""
    place = find.comfyui()
    if place is None:
        pytest.skip("no ComfyUI found: set COMFYUI_PATH, or install it with comfy-cli")
    return place


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A base directory in ComfyUI's layout, shared by the process and the server: models are made once."""
    base = tmp_path_factory.mktemp("comfyui")
    for name in FOLDERS:
        (base / name).mkdir()
    yield base
    OUTPUT.mkdir(exist_ok=True)
    if (base / "server.log").exists():
        worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        shutil.copy2(base / "server.log", OUTPUT / f"server {worker}.log")
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def stock_comfy(comfyui, base):
    """ComfyUI in this process, stock nodes only (see in_process.Host)."""
    return Host(comfyui, base)


@pytest.fixture(scope="module", autouse=True)
def heap_set_aside():
    """ComfyUI may collect garbage whenever it loads a model: half a second each time, of all that was ever imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def comfy(stock_comfy):
    """ComfyUI in this process, with this pack's nodes."""
    stock_comfy.load_pack()
    return stock_comfy


@pytest.fixture(scope="session")
def tiny_checkpoints(stock_comfy, base):
    """The tiny checkpoints, VAEs and LoRAs of tiny_models.write; the folder that holds them."""
    tiny_models.write(base / "models")
    return base / "models"


@pytest.fixture(scope="session")
def template_models(tiny_checkpoints):
    """Stand-ins under the names that the real-model templates ask for."""
    tiny_models.write_for_templates(tiny_checkpoints)
    return tiny_checkpoints


@pytest.fixture(scope="session")
def sd3(stock_comfy, tiny_checkpoints):
    """The flow model, in process (see tiny_models.Tiny)."""
    return tiny_models.tiny(stock_comfy, "sd3")


@pytest.fixture(scope="session")
def sd15(stock_comfy, tiny_checkpoints):
    """The ε model, in process."""
    return tiny_models.tiny(stock_comfy, "sd15")


@pytest.fixture(scope="session")
def wan(stock_comfy, tiny_checkpoints):
    """The video flow model (5-D latents), in process."""
    return tiny_models.tiny(stock_comfy, "wan")


@pytest.fixture(scope="session", params=["sd3", "sd15"])
def tiny(request, stock_comfy, tiny_checkpoints):
    """Each of the image models in turn: flow, then ε."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def server(comfyui, base, tiny_checkpoints):
    """The real server, with this pack, another, and the files of server_nodes/ in its custom_nodes."""
    packs = {"noise-search": find.ROOT, "second-pack": HERE / "second_pack"}
    packs |= {file.name: file for file in (HERE / "server_nodes").glob("*.py")}
    with Server(comfyui, base, packs=packs) as running:
        yield running


@pytest.fixture
def client(server):
    """A fresh connection to the server."""
    client = Client(server.url)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def nothing_remembered(request):
    """No test goes on from what another one searched."""
    if "base" in request.fixturenames:
        with History(request.getfixturevalue("base") / HISTORY, megabytes=0) as history:
            history.make_room(but="")


@pytest.fixture
def history(base, client):
    """The server's history of searches, emptied; ComfyUI's cache as well, since it holds the last graph alone."""
    other = Graph()
    other.add("PreviewImage", images=other.add("EmptyImage", width=64, height=64, batch_size=1, color=0))
    client.run(other)
    with History(base / HISTORY, megabytes=0) as history:
        yield history


@pytest.fixture(scope="module")  # not longer: Playwright's event loop forbids others in this thread
def browser(server):
    """Headless Chromium, the system's own."""
    program = chromium()
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine: install one to run the tests of the page")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def locale():
    """The browser's language. A test file may define its own."""
    return "en-US"


@pytest.fixture
def page(browser, server, locale):
    """ComfyUI's page, freshly opened (see page.Page)."""
    page = Page(browser, server.url, locale)
    yield page
    page.close()


def pytest_terminal_summary(terminalreporter):
    """One line: how many host tests ran, how many were left out and why."""
    reports = [r for kind in terminalreporter.stats.values() for r in kind if is_host_report(r)]
    left_out = [r for r in reports if r.skipped]
    ran = {r.nodeid for r in reports} - {r.nodeid for r in left_out}
    reasons = {str(r.longrepr[2]).removeprefix("Skipped: ") for r in left_out}
    place = find.comfyui()
    if place:
        reasons = {f"ComfyUI {find.version(place)} at {place}", *reasons}
    terminalreporter.write_line(
        f"host tests: {len(ran)} run, {len(left_out)} left out ({'; '.join(sorted(reasons))})"
    )


def is_host_report(report):
    return getattr(report, "nodeid", "").startswith("host/") and hasattr(report, "when")
