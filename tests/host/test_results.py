"""The results nodes in ComfyUI: alone on a finished search, and in whole graphs around a stock sampler."""

import copy
import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from noise_search.harness.graph import Graph
from noise_search.search import Account, SearchError

from .in_process import ExecutionError, defaults
from .searching import Give

OUTPUT = Path(__file__).parents[1] / "output"


class Level:
    """Means of parts of the latent: cheap, and different for every candidate."""

    reads, sign, notes = "latents", 1, ()

    def __init__(self, name, part):
        self.name = self.key = name
        self.part = part

    def modules(self):
        return []

    def measure(self, latents, prompts, device):
        return latents.flatten(1)[:, self.part].float().mean(1)


@pytest.fixture(scope="module")
def verifier(comfy):
    from noise_search.verifiers.verifier import Verifier

    measures = Level("level", slice(0, 16)), Level("other", slice(16, 99))
    return Verifier(measures, lambda rows: rows[:, 0], (True, False), False, "level, other")


@pytest.fixture
def graph(comfy, sd3, verifier):
    """A function (images, batch, algorithm, vae) -> (graph, latent, image, run) of a searched stock KSampler."""
    comfy.nodes["Give"] = Give
    held = {
        "model": sd3.model, "positive": sd3.encode("a cat"), "negative": sd3.encode(""), "verifier": verifier,
        "vae": sd3.vae,
    }  # fmt: skip

    def build(images=6, batch=1, algorithm="NS_RandomSearch", vae=True, seed=7, steps=4):
        held["latent"] = sd3.latent(batch)
        Give.held |= held
        g = Graph()
        given = {key: g.add("Give", key=key) for key in held}
        budget = g.add("NS_SearchBudget", **defaults(comfy.nodes["NS_SearchBudget"]) | {"images": images})
        search = g.add(algorithm, **defaults(comfy.nodes[algorithm]), budget=budget)
        scored = {"vae": given["vae"]} if vae else {}
        model, run = g.add(
            "NS_SearchWithKSampler", model=given["model"], search=search, verifier=given["verifier"], **scored
        ).out(2)
        latent = g.add(
            "KSampler", model=model, seed=seed, steps=steps, cfg=2.0, sampler_name="euler", scheduler="normal",
            positive=given["positive"], negative=given["negative"], latent_image=given["latent"], denoise=1.0,
        )  # fmt: skip
        return g, latent, g.add("VAEDecode", samples=latent, vae=given["vae"]), run

    return build


def test_the_report_shows_curve_gallery_and_table(comfy, graph):
    g, latent, _, run = graph(images=12, algorithm="NS_ZeroOrderSearch")
    report = g.add("NS_SearchReport", run=run, after=latent, which=0, row=0, k=7)
    curve, gallery, table = comfy.run(g, *report.out(3))
    for image in (curve, gallery):
        assert image.ndim == 4 and image.shape[2:] == (1024, 3) and image.min() >= 0 and image.max() <= 1
    assert "Zero-Order Search: 12 candidates, 48 evaluations" in table and "other (watched)" in table
    shown = comfy.shown[report.id]
    assert shown["text"] == [table] and len(shown["images"]) == 1
    OUTPUT.mkdir(exist_ok=True)
    for name, image in (("curve", curve), ("gallery", gallery)):
        Image.fromarray((image[0] * 255).byte().numpy()).save(OUTPUT / f"report {name}.png")


@pytest.mark.parametrize("algorithm", ["NS_RandomSearch", "NS_ZeroOrderSearch", "NS_ParticleSearch", "NS_TreeSearch"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_picture_of_the_report_in_both_themes(comfy, graph, algorithm, theme):
    g, latent, _, run = graph(images=10, algorithm=algorithm)
    search = next(node for node in g.values() if node["class_type"] == algorithm)
    search["inputs"] |= {name: few for name, few in {"particles": 3, "stops": 2}.items() if name in search["inputs"]}
    report = g.add("NS_SearchReport", run=run, after=latent, theme=theme)
    names = ("curve", "gallery", "before_after", "family_tree", "contact_sheet")
    paper = {"light": (255, 255, 255), "dark": (27, 27, 29)}[theme]
    OUTPUT.mkdir(exist_ok=True)
    for name, image in zip(names, comfy.run(g, *(report.at(n) for n in (0, 1, 3, 4, 5)))):
        assert image.ndim == 4 and image.shape[2] >= 1024 and image.shape[1] > 200, name
        assert tuple((image[0, 0, 0] * 255).round().int().tolist()) == paper, name
        Image.fromarray((image[0] * 255).byte().numpy()).save(OUTPUT / f"{name} {algorithm} {theme}.png")


def test_a_picture_is_drawn_when_something_is_linked_to_it(comfy, graph, monkeypatch):
    from noise_search import report as drawing

    drawn = []
    monkeypatch.setattr(drawing, "family_tree", lambda *_: drawn.append(1) or Image.new("RGB", (9, 7)))
    g, latent, _, run = graph(seed=99)
    report = g.add("NS_SearchReport", run=run, after=latent)

    def queued(*links):  # as from the page: ComfyUI writes its own notes into the nodes of a prompt
        return comfy.run(copy.deepcopy(g), *links)

    queued(report.at(2))
    assert not drawn
    table, tree, first = queued(report.at(2), report.at(4), latent)
    assert drawn == [1] and tree.shape == (1, 7, 9, 3) and "24 announced, 24 spent" in table
    _, before, second = queued(report.at(4), report.at(3), latent)
    assert drawn == [1, 1] and before.shape[1] > 200
    assert first is second  # the search did not run again
    queued(report.at(4), report.at(3), latent)
    assert drawn == [1, 1]


def test_the_sheet_says_how_many_were_not_kept(comfy, graph, monkeypatch):
    from noise_search.report import contact_sheet

    said = []
    kept_in_words = contact_sheet.__globals__["kept_in_words"]
    monkeypatch.setitem(
        contact_sheet.__globals__, "kept_in_words", lambda *a: said.append(kept_in_words(*a)) or said[-1]
    )
    g, latent, _, run = graph(images=12, seed=5)
    block = next(node for node in g.values() if node["class_type"] == "NS_SearchWithKSampler")
    block["inputs"]["keep"] = 3
    comfy.run(g, g.add("NS_SearchReport", run=run, after=latent).at(5))
    account = comfy.run(g, run).choose("after").account
    kept = 3 + (account.plain() not in account.ranked()[:3])
    assert said == [
        f"{kept} of 12 finished candidates, best first. The latents of the other {12 - kept} were not kept: raise "
        "keep on the search block to see more."
    ]


def test_a_report_without_a_vae_still_has_its_family_tree(comfy, graph):
    g, latent, _, run = graph(vae=False, algorithm="NS_ZeroOrderSearch")
    report = g.add("NS_SearchReport", run=run, after=latent)
    before, tree, sheet = comfy.run(g, *(report.at(n) for n in (3, 4, 5)))
    assert before.shape[1] < 200 and sheet.shape[1] < 200 and tree.shape[1] > 250


def test_the_report_waits_for_an_image_as_well(comfy, graph):
    g, _, image, run = graph()
    table = comfy.run(g, g.add("NS_SearchReport", run=run, after=image).at(2))
    assert "24 announced, 24 spent" in table


def test_without_after_the_report_says_what_to_connect(comfy, graph):
    g, _, image, run = graph()
    g.add("PreviewImage", images=image)
    g.add("NS_SearchReport", run=run)
    with pytest.raises(ExecutionError, match="after"):
        comfy.run(g)


def test_without_a_vae_there_are_curve_table_and_latents(comfy, graph, monkeypatch):
    g, latent, _, run = graph(vae=False)
    report = g.add("NS_SearchReport", run=run, after=latent)
    top = g.add("NS_TopCandidates", run=run, after=latent, k=3)
    gallery, table, latents = comfy.run(g, report.at(1), report.at(2), top)
    assert gallery.shape[1] < 200 and "spent" in table and latents["samples"].shape == (3, 16, 8, 8)
    sent = []
    monkeypatch.setattr(comfy.server, "send_sync", lambda event, data, sid=None: sent.append((event, data)))
    preview = g.add("PreviewImage", images=top.at(1))
    comfy.run(g)
    (said,) = [data for event, data in sent if event == "execution_error"]
    assert said["node_id"] == preview.id and "connect one to its vae input" in said["exception_message"]


def test_top_candidates_are_the_best_first(comfy, graph):
    g, latent, image, run = graph()
    top = g.add("NS_TopCandidates", run=run, after=latent, k=3)
    latents, images, best, shown = comfy.run(g, top, top.at(1), latent, image)
    assert torch.equal(latents["samples"][:1], best["samples"])
    assert images.shape == (3, *shown.shape[1:]) and torch.allclose(images[:1], shown, atol=1e-4)
    levels = latents["samples"].flatten(1)[:, :16].mean(1)
    assert (levels.diff() <= 0).all()


def test_rows_of_a_batch_are_separate(comfy, graph):
    g, latent, _, run = graph(batch=3)
    tops = [g.add("NS_TopCandidates", run=run, after=latent, k=2, row=row) for row in range(3)]
    noise, seed = g.add("NS_WinnerNoise", run=run, after=latent, row=2).out(2)
    *found, best, noise, seed = comfy.run(g, *tops, latent, noise, seed)
    for row, top in enumerate(found):
        assert torch.equal(top["samples"][0], best["samples"][row])
    assert len(noise.recipes) == 3 and seed == int(noise.recipes[2].seed)
    g, latent, _, run = graph(batch=3)
    g.add("NS_SearchReport", run=run, after=latent, row=3)
    with pytest.raises(ExecutionError, match="row is 3, but the latent batch has 3"):
        comfy.run(g)


@pytest.mark.parametrize("algorithm", ["NS_RandomSearch", "NS_ZeroOrderSearch"])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_winners_noise_gives_the_winner_in_a_stock_sampler(comfy, graph, algorithm, batch):
    g, latent, _, run = graph(images=9, batch=batch, algorithm=algorithm)
    noise = g.add("NS_WinnerNoise", run=run, after=latent)
    given = {node["inputs"]["key"]: [id, 0] for id, node in g.items() if node["class_type"] == "Give"}
    guider = g.add("CFGGuider", model=given["model"], positive=given["positive"], negative=given["negative"], cfg=2.0)
    sigmas = g.add("BasicScheduler", model=given["model"], scheduler="normal", steps=4, denoise=1.0)
    sampler = g.add("KSamplerSelect", sampler_name="euler")
    again = g.add(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=given["latent"],
    )
    best, same = comfy.run(g, latent, again)
    assert torch.allclose(best["samples"], same["samples"], atol=1e-4)


def test_a_winner_on_a_path_is_replayed_by_search_sampler_alone(comfy, graph):
    g, latent, _, run = graph(images=30, algorithm="NS_SearchOverPaths", steps=6)
    winner = g.add("NS_WinnerNoise", run=run, after=latent)
    g.add("NS_SaveNoise", noise=winner, name="path", if_exists="replace")
    best, noise = comfy.run(g, latent, winner)
    assert noise.moves and "Search Sampler replays it" in comfy.shown[winner.id]["text"][0]
    g, *_ = graph()
    given = {node["inputs"]["key"]: [id, 0] for id, node in g.items() if node["class_type"] == "Give"}
    g = Graph({id: node for id, node in g.items() if node["class_type"] == "Give"})
    loaded = g.add("NS_LoadNoise", id="load", name="path.safetensors [output]")
    guider = g.add(
        "CFGGuider", id="guide", model=given["model"], positive=given["positive"], negative=given["negative"], cfg=2.0
    )
    sigmas = g.add("BasicScheduler", id="sigmas", model=given["model"], scheduler="normal", steps=6, denoise=1.0)
    sampler = g.add("KSamplerSelect", id="sampler", sampler_name="euler")
    search = g.add("NS_RandomSearch", id="search", **defaults(comfy.nodes["NS_RandomSearch"]))
    again = g.add(
        "NS_SearchSampler", id="again", noise=loaded, guider=guider, sampler=sampler, sigmas=sigmas, search=search,
        latent_image=given["latent"], verifier=given["verifier"], vae=given["vae"],
    )  # fmt: skip
    same = comfy.run(g, again)
    assert torch.allclose(best["samples"], same["samples"], atol=1e-4)


def test_a_noise_is_saved_and_loaded(comfy, graph, base):
    g, latent, _, run = graph(algorithm="NS_ZeroOrderSearch")
    winner = g.add("NS_WinnerNoise", run=run, after=latent)
    save = g.add("NS_SaveNoise", noise=winner, name="cats/best", if_exists="keep both")
    noise = comfy.run(g, winner)
    assert "Saved as" in comfy.shown[save.id]["text"][0]
    name = "cats/best.safetensors [output]"
    assert name in comfy.nodes["NS_LoadNoise"].INPUT_TYPES()["required"]["name"][1]["options"]
    loaded, seed = comfy.call("NS_LoadNoise", name=name)
    assert torch.equal(loaded.tensor, noise.tensor) and loaded.recipes == noise.recipes and seed == noise.seed
    comfy.call("NS_SaveNoise", noise=noise, name="cats/best", if_exists="keep both")
    comfy.call("NS_SaveNoise", noise=noise, name="cats/best", if_exists="replace")
    assert sorted(p.name for p in (base / "output/noise/cats").iterdir()) == ["best.safetensors", "best_2.safetensors"]


def test_a_noise_of_another_pack_is_not_saved(comfy):
    (noise,) = comfy.call("RandomNoise", noise_seed=3)
    with pytest.raises(SearchError, match="carries no recipe"):
        comfy.call("NS_SaveNoise", noise=noise, name="x")


def test_the_png_of_a_stock_save_image_carries_the_winner(comfy, graph, base):
    g, latent, image, run = graph(algorithm="NS_ZeroOrderSearch", batch=2)
    winner = g.add("NS_WinnerNoise", run=run, after=latent)
    saved = g.add("SaveImage", images=image, filename_prefix="searched")
    noise = comfy.run(g, winner)
    name = comfy.shown[saved.id]["images"][0]["filename"]
    (base / "input" / name).write_bytes((base / "output" / name).read_bytes())
    assert f"{name} [input]" in comfy.nodes["NS_LoadNoise"].INPUT_TYPES()["required"]["name"][1]["options"]
    loaded, _ = comfy.call("NS_LoadNoise", name=f"{name} [input]")
    assert torch.equal(loaded.tensor, noise.tensor) and loaded.recipes == noise.recipes


@pytest.mark.parametrize(
    "name", ["", "x", "../secret.png [input]", "/etc/passwd [output]", "a\0b.png [input]", "gone.safetensors [output]"]
)
def test_load_noise_refuses_other_files_before_the_graph_runs(comfy, name):
    answer = comfy.nodes["NS_LoadNoise"].validate_inputs(name=name)
    assert isinstance(answer, str) and answer.count(".") <= 6
    with pytest.raises(SearchError):
        comfy.call("NS_LoadNoise", name=name)


def test_the_history_is_exported(comfy, graph, base):
    g, latent, _, run = graph()
    tables = [
        g.add("NS_ExportHistory", run=run, after=latent, format=kind, filename_prefix="ns/history")
        for kind in ("CSV", "CSV", "JSON")
    ]
    g[tables[1].id]["inputs"]["which"] = 1
    first, second, text = map(Path, comfy.run(g, *tables))
    assert {p.parent for p in (first, second, text)} == {base / "output/ns"}
    assert {first.name, second.name} == {"history.csv", "history_2.csv"} and text.name == "history.json"
    rows = list(csv.DictReader(first.read_text(encoding="utf-8").splitlines()))
    account = Account.from_json(text.read_text(encoding="utf-8"))
    assert len(rows) == len(account.lanes[0]) == 6 and json.loads(text.read_text(encoding="utf-8"))["seed"] == "7"


def test_exports_stay_in_the_output_folder(comfy, graph):
    g, latent, _, run = graph()
    g.add("NS_ExportHistory", run=run, after=latent, format="CSV", filename_prefix="../history")
    with pytest.raises(ExecutionError, match="'../history'"):
        comfy.run(g)


def test_every_input_has_a_tooltip_and_every_node_its_help(comfy):
    from noise_search.nodes import noises, results

    docs = Path(results.__file__).parents[1] / "web" / "docs"
    for node in results.NODES + noises.NODES:
        schema = node.define_schema()
        assert all(entry.tooltip for entry in schema.inputs), schema.node_id
        assert (docs / f"{schema.node_id}.md").read_text(encoding="utf-8").startswith(f"# {schema.display_name}\n")


def test_faces_are_as_saved_workflows_know_them(comfy):
    faces = {
        "NS_SearchReport": (
            ["run", "after", "which", "row", "k", "theme"],
            ["curve", "gallery", "table", "before_after", "family_tree", "contact_sheet"],
        ),
        "NS_TopCandidates": (
            ["run", "after", "which", "row", "k", "diversity", "features"],
            ["latents", "images", "diversity"],
        ),
        "NS_WinnerNoise": (["run", "after"], ["noise", "seed"]),
        "NS_SaveNoise": (["noise", "name"], []),
        "NS_LoadNoise": (["name"], ["noise", "seed"]),
        "NS_ExportHistory": (["run", "after"], ["path"]),
    }
    for id, (inputs, outputs) in faces.items():
        schema = comfy.nodes[id].define_schema()
        assert [entry.id for entry in schema.inputs][: len(inputs)] == inputs
        assert [entry.display_name for entry in schema.outputs or []] == outputs


def test_what_was_kept_is_kept_when_the_search_is_queued_again(comfy, graph):
    def kept(images):
        g, latent, _, run = graph(images=images, seed=321)
        g[latent.id]["inputs"]["steps"] = 2
        return [line.recipe.id for line in comfy.run(g, latent, run)[1].choose("after").kept()]

    first = kept(30)
    assert len(first) >= 8
    comfy.executor.caches.outputs.cache.clear()
    assert kept(30) == first
    comfy.executor.caches.outputs.cache.clear()
    kept(4)
    comfy.executor.caches.outputs.cache.clear()
    assert kept(30) == first
