"""The main job: one search on Shapes World, its pictures and its report."""

import shutil
import sys
import time
import webbrowser

from . import find
from .client import Client, Failed, Rejected
from .graph import Graph
from .server import Server

PROMPT = "a red circle left of a blue square and above a small green triangle"
TEMPLATE = "shapes_world_auto_search"


def main(comfyui, options):
    """Search, write the files, say in five lines what came of it; 0 when all went well."""
    out, prompt, started = options.out.absolute(), options.prompt or PROMPT, time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    if comfyui is None:
        from ..demo import search_embedded

        account = search_embedded.main(out, images=options.images, prompt=prompt, seed=options.seed)
        summary("no ComfyUI: the same search ran on its own", account, started, out)
        return 0
    place = f"ComfyUI {find.version(comfyui)} at {comfyui}"
    print(f"Starting {place} …", flush=True)
    shutil.rmtree(out / "comfyui", ignore_errors=True)  # or the history would answer instead of the search
    with Server(comfyui, out / "comfyui", port=options.port) as server:
        if "IMPORT FAILED" in server.read_log():
            print(f"ComfyUI could not load this pack; {server.log} says why.")
            return 1
        try:
            account = search(server, out, *search_graph(options.images, prompt, options.seed))
        except (Failed, Rejected) as error:
            print(f"The search failed. {error}\nThe server's log is {server.log}.")
            return 1
        summary(place, account, started, out)
        if options.serve:
            serve(server)
    return 0


def search_graph(images, prompt, seed):
    """The plain image and the searched one, by the same stock KSampler settings; the nodes to read from."""
    g = Graph()
    model, clip, vae = g.add("NS_ShapesWorld").out(3)
    text, nothing = (g.add("CLIPTextEncode", clip=clip, text=words) for words in (prompt, ""))
    latent = g.add("EmptyLatentImage", width=256, height=256)
    judge, truth = g.add("NS_ShapesVerifier"), g.add("NS_ShapesOracle")
    verifier = g.add("NS_WatchVerifier", verifier=judge, watched=truth)
    search = g.add("NS_AutoSearch", budget=g.add("NS_SearchBudget", images=images))
    block = g.add("NS_SearchWithKSampler", model=model, search=search, verifier=verifier, vae=vae)

    def image(model):
        sampled = g.add(
            "KSampler", model=model, positive=text, negative=nothing, latent_image=latent, seed=seed,
            steps=12, cfg=3.0, sampler_name="euler", scheduler="simple",
        )  # fmt: skip
        return sampled, g.add("VAEDecode", samples=sampled, vae=vae)

    _, before = image(model)
    sampled, after = image(block)
    run = {"run": block.at(1), "after": sampled}
    report = g.add("NS_SearchReport", **run)
    for kind in ("JSON", "CSV"):
        g.add("NS_ExportHistory", format=kind, filename_prefix="history", **run)
    pictures = {"before": before, "after": after, "curve": report, "gallery": report.at(1)}
    shown = {name: g.add("PreviewImage", images=link) for name, link in pictures.items()}
    return g, shown, g.add("PreviewAny", source=report.at(2))


def search(server, out, graph, pictures, table):
    """Queue the graph, write what it shows into `out`; the account of the search."""
    from ..report import before_after, caption, warning
    from ..search import Account

    client = Client(server.url, heard=Progress())
    run = client.run(graph.fill(client.object_info()), timeout=3600)
    if sys.stdout.isatty():
        print()
    client.close()
    drawn = {name: run.images(node)[0] for name, node in pictures.items()}
    for kind in ("json", "csv"):
        shutil.copy2(server.base / f"output/history.{kind}", out)
    account = Account.from_json((out / "history.json").read_text(encoding="utf-8"))
    captions = [caption(account, line) for line in (account.plain(), account.best())]
    drawn["before_after"] = before_after(drawn["before"], drawn["after"], captions, warning(account))
    for name, picture in drawn.items():
        picture.save(out / f"{name}.png")
    (out / "report.txt").write_text(run.text(table) + "\n", encoding="utf-8")
    return account


def summary(place, account, started, out):
    """Five lines: what was found, what it brought, what it cost, where it is."""
    plain, best = account.plain(), account.best()
    print(f"found        {place}")
    print(f"score        {plain.value:.4f} for the plain image, {best.value:.4f} for the best one found")
    print(f"evaluations  {account.spent:,} of the denoiser, for {len(account.lanes[0])} candidates")
    print(f"time         {account.seconds:.1f} s of search, {time.monotonic() - started:.1f} s in all")
    files = "before_after.png, curve.png, gallery.png, report.txt, history.json …"
    print(f"files        {out}: {files}", flush=True)


class Progress:
    """The search's live text, in one line that is written over; where there is no terminal, now and then."""

    def __init__(self):
        self.terminal, self.told = sys.stdout.isatty(), 0.0

    def __call__(self, event):
        if event.type != "text":
            return
        line = event.data["text"].replace("\n", " · ")
        if self.terminal:
            print(f"\r{line[:110]:110}", end="", flush=True)
        elif time.monotonic() > self.told + 10:
            print(line, flush=True)
            self.told = time.monotonic()


def serve(server):
    """Leave the page open on the template until Ctrl-C."""
    url = f"{server.url}/?noise-search={TEMPLATE}"
    print(f"page         {url} (Ctrl-C ends it)", flush=True)
    webbrowser.open(url)
    try:
        server.process.wait()
    except KeyboardInterrupt:
        print("Ended.")
