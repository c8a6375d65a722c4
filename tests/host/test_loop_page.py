"""A loop in a subgraph, as the page makes it and queues it."""

from noise_search.harness import workflow

from .templates import read

CONVERT = """types => {
    const nodes = app.graph.nodes.filter(n => types.includes(n.type))
    app.graph.convertToSubgraph(new Set(nodes))
    return nodes.length
}"""
LOOP = ["NS_SearchLoopStart", "NS_ApplyNoise", "KSampler", "LatentUpscale", "VAEDecode", "PreviewImage",
        "NS_ScoreImages", "NS_SearchLoopEnd"]  # fmt: skip


def test_a_loop_in_a_subgraph_runs_from_the_page(page, client):
    template = read("hires_fix_loop")
    budget = next(node for node in workflow.sent(template) if node["type"] == "NS_SearchBudget")
    budget["widgets_values"][0] = 3
    page.load(template)
    assert page.tab.evaluate(CONVERT, LOOP) == 9
    queued = page.api()
    inside = {id: node["class_type"] for id, node in queued.items() if ":" in id}
    assert sorted(inside.values()) == sorted([*LOOP, "KSampler"])
    assert page.run(timeout=300) == "execution_success" and not page.errors
    page.screenshot("loop in a subgraph")
    last = client.get("/history", max_items=1).json()
    (run,) = last.values()
    shown = {meta["display_node"] for meta in run["meta"].values()}
    preview = next(id for id, kind in inside.items() if kind == "PreviewImage")
    assert preview in shown and run["status"]["status_str"] == "success"
    assert len([id for id, meta in run["meta"].items() if meta["display_node"] == preview]) == 3
