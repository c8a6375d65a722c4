"""The live panel and the picker as a person finds them on the page."""

import itertools

from .templates import read

SEEDS = itertools.count(900_000, 1000)
SEARCH, SAMPLER, REPORT = "14", "15", "18"  # nodes of the template that searches


def searching(images, steps=2, seed=None, batch=1):
    """The template that searches, small, at a seed of its own."""
    template = read("shapes_world_random_search")
    typed = {node["type"]: node.get("widgets_values") for node in template["nodes"] if node["id"] != 6}
    typed["NS_SearchBudget"][0], typed["NS_SearchWithKSampler"][3] = images, batch
    typed["KSampler"][0], typed["KSampler"][2] = next(SEEDS) if seed is None else seed, steps
    return template


def picking(images=5, steps=2, **settings):
    """The template that asks a person, without its screen, at a seed of its own."""
    template = read("pick_by_hand")
    typed = {node["type"]: node.get("widgets_values") for node in template["nodes"]}
    typed["NS_SearchBudget"][0], typed["KSampler"][0], typed["KSampler"][2] = images, next(SEEDS), steps
    human = dict(zip(("way", "shown", "time_limit", "no_answer", "question"), typed["NS_HumanPick"]))
    typed["NS_HumanPick"][:] = {**human, "shown": 8, **settings}.values()
    template["links"] = [link for link in template["links"] if link[3] != 7]  # the screen
    for node in template["nodes"]:
        for socket in node["inputs"]:
            socket["link"] = None if node["id"] == 7 else socket["link"]
        for socket in node["outputs"] if node["id"] == 6 else ():
            socket["links"] = []
    return template


class Panel:
    """What a node's panel shows."""

    def __init__(self, page, node):
        self.page, self.node, self.tab = page, node, page.tab
        self.show()

    def show(self, scale=1.1):
        """Bring the node under the eyes; its panel must be there."""
        self.tab.wait_for_function("id => app.graph.getNodeById(id)?.noiseSearchPanel?.board", arg=self.node)
        self.tab.evaluate(
            """([id, scale]) => {
                const [node, view] = [app.graph.getNodeById(id), app.canvas.ds]
                view.scale = scale
                view.offset[0] = 90 / scale - node.pos[0]
                view.offset[1] = 120 / scale - node.pos[1]
                app.canvas.setDirty(true, true)
            }""",
            [self.node, scale],
        )
        self.of("")  # marks the element
        self.tab.locator(self.mark).wait_for()

    @property
    def mark(self):
        return f".ns-panel[data-test='{self.node}']"

    def of(self, what):
        """A locator of a part of it."""
        self.tab.evaluate("id => app.graph.getNodeById(id).noiseSearchPanel.element.dataset.test = id", self.node)
        return self.tab.locator(f"{self.mark} {what}")

    def board(self):
        return self.tab.evaluate("id => app.graph.getNodeById(id).noiseSearchPanel.board", self.node)

    def candidates(self):
        return [candidate for lane in self.board()["lanes"] for candidate in lane["candidates"]]

    def wait_for(self, count):
        """Until so many candidates are drawn, at least."""
        self.tab.wait_for_function(
            "([id, n]) => app.graph.getNodeById(id)?.noiseSearchPanel?.spots?.length >= n",
            arg=[self.node, count],
            timeout=200_000,
        )

    def wait_until(self, state):
        """Until its heading says so."""
        self.tab.wait_for_function(
            "([id, state]) => app.graph.getNodeById(id)?.noiseSearchPanel?.head.innerText.includes(state)",
            arg=[self.node, state],
            timeout=200_000,
        )

    def click(self, n):
        """On the dot of a candidate."""
        x, y = self.tab.evaluate(
            """([id, n]) => {
                const {chart, spots} = app.graph.getNodeById(id).noiseSearchPanel
                const box = chart.getBoundingClientRect(), scale = box.width / chart.clientWidth
                return [box.left + spots[n][0] * scale, box.top + spots[n][1] * scale]
            }""",
            [self.node, n],
        )
        self.tab.mouse.click(x, y)


def queue(page):
    """Press Queue and do not wait; the id of the prompt."""
    return page.tab.evaluate(
        """() => new Promise((resolve, reject) => {
            app.api.addEventListener('execution_start', ({detail}) => resolve(detail.prompt_id), {once: true})
            app.queuePrompt(0).catch(reject)
        })"""
    )
