"""ComfyUI's page in headless Chromium."""

import json
import shutil
from pathlib import Path

OUTPUT = Path(__file__).parents[1] / "output"  # kept after the run: screenshots, the server's log

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def chromium():
    """The system's Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
    return next(filter(None, map(shutil.which, names)), None)


class Page:
    """The server's page. `tab` is Playwright's own page object; `errors` is what the page complained of."""

    def __init__(self, browser, url, locale="en-US"):
        self.tab = browser.new_page(viewport={"width": 1600, "height": 1000}, locale=locale)
        self.tab.set_default_timeout(120_000)
        self.errors = []
        self.tab.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        self.tab.goto(url)
        self.tab.wait_for_function("window.app?.graph && window.app.extensionManager", timeout=120_000)
        self.tab.wait_for_function("app.graph.nodes.length")  # the page opens its own default graph last
        # Version 1.27 trips over a setting of its own while it starts; only a pack's errors count until here.
        self.errors[:] = [error for error in self.errors if "/extensions/" in error]

    def load(self, workflow):
        """Open a workflow as the page does."""
        self.tab.evaluate("async text => { await app.loadGraphData(JSON.parse(text)) }", json.dumps(workflow))

    def workflow(self):
        """The open graph as UI JSON."""
        return json.loads(self.tab.evaluate("() => JSON.stringify(app.graph.serialize())"))

    def alerts(self):
        """What the page says in its pop-up messages."""
        return self.tab.locator(".p-toast-message").all_inner_texts()

    def missing_nodes(self):
        """Types that the page does not know, drawn in red."""
        return self.tab.evaluate(
            "() => app.graph.nodes.filter(n => n.has_errors || !LiteGraph.registered_node_types[n.type])"
            ".map(n => n.type)"
        )

    def api(self):
        """The graph that the page would queue."""
        return self.tab.evaluate("async () => (await app.graphToPrompt()).output")

    def widgets(self):
        """node id → {widget name: value}, as the page shows them."""
        return self.tab.evaluate(
            "() => Object.fromEntries(app.graph.nodes.map(n => "
            "[n.id, Object.fromEntries((n.widgets ?? []).map(w => [w.name, w.value]))]))"
        )

    def run(self, timeout=300):
        """Press Queue and wait until it is done; the type of the message that ended it."""
        return self.tab.evaluate(
            """seconds => new Promise((resolve, reject) => {
                setTimeout(() => reject(new Error(`not done in ${seconds} s`)), seconds * 1000)
                for (const end of ['execution_success', 'execution_error', 'execution_interrupted'])
                    app.api.addEventListener(end, () => resolve(end), {once: true})
                app.queuePrompt(0).catch(reject)
            })""",
            timeout,
        )

    def screenshot(self, name, fit=True):
        """Into OUTPUT: the whole graph, or what a person sees on opening it."""
        if fit:
            self.tab.evaluate("() => { app.graph.nodes.length && app.canvas.fitViewToSelectionAnimated() }")
        self.tab.wait_for_timeout(1000)
        OUTPUT.mkdir(exist_ok=True)
        path = OUTPUT / f"{name}.png"
        self.tab.screenshot(path=path)
        return path

    def boxes(self):
        """node id → (left, top, right, bottom) on the canvas, title and all."""
        return self.tab.evaluate(
            "() => Object.fromEntries(app.graph.nodes.map(n => { const [x, y, w, h] = n.boundingRect;"
            " return [n.id, [x, y, x + w, y + h]] }))"
        )

    def close(self):
        self.tab.close()
