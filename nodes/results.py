"""Results: what a search found and what it cost."""

import folder_paths
import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from .. import report
from ..search import SearchError
from . import sockets
from .host.context import linked_outputs
from .host.folder import inside, write
from .host.likeness import PIXELS, Pick, check, pick
from .host.model_files import FEATURES
from .host.pictures import Pictures, to_image

CATEGORY = "noise search/results"
FORMATS = {"CSV": report.to_csv, "JSON": report.to_json}
ON_DEMAND = (3, 4, 5)
"""Search Report's outputs that are drawn only where something is linked to them."""
UNLINKED = "This picture was not drawn, since nothing is linked to it."


def run_inputs(row: str | None = None) -> list[io.Input]:
    """The run and when to read it; with `row`, which image of a latent batch, and its tooltip."""
    inputs = [
        sockets.Run.Input("run", tooltip="The run of a search block."),
        io.MultiType.Input(
            "after",
            [io.Latent, io.Image],
            optional=True,
            tooltip="For Search with KSampler: the sampler's LATENT, or an IMAGE decoded from it, so that this block "
            "waits until the search has run.",
        ),
        io.Int.Input(
            "which",
            default=0,
            min=0,
            max=999,
            optional=True,
            tooltip="When several samplers used the searched MODEL: 0 is the last run, 1 the first, 2 the second.",
        ),
    ]
    if row:
        inputs.append(io.Int.Input("row", default=0, min=0, max=4095, optional=True, tooltip=row))
    return inputs


def chosen(run, after, which: int, row: int = 0):
    """The run that is meant. Raises SearchError where there is none, or no such row in its batch."""
    found = run.choose(after, which)
    rows = len(found.account.lanes)
    if row >= rows:
        raise SearchError(f"row is {row}, but the latent batch has {rows}; rows are counted from 0.")
    if not all(map(found.account.ranked, range(rows))):
        raise SearchError("The search ended before any candidate was finished, so that there is nothing to report.")
    return found


class SearchReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def picture(name: str, tooltip: str) -> io.Output:
            return io.Image.Output(display_name=name, tooltip=tooltip)

        return io.Schema(
            node_id="NS_SearchReport",
            display_name="Search Report",
            category=CATEGORY,
            description="What the search did: best so far against evaluations, the best candidates beside the plain "
            "image, who came from whom, and a table.",
            inputs=[
                *run_inputs(row="Which image of the latent batch the pictures show, counted from 0."),
                io.Int.Input(
                    "k",
                    default=7,
                    min=1,
                    max=64,
                    optional=True,
                    tooltip="Candidates beside the plain image, in the gallery.",
                ),
                io.Combo.Input(
                    "theme",
                    options=list(report.THEMES),
                    default="light",
                    optional=True,
                    tooltip="Pictures on white paper, or on dark. Both are readable for colour-blind people.",
                ),
            ],
            outputs=[
                picture("curve", "Best so far against evaluations."),
                picture("gallery", "The plain image and the best k."),
                io.String.Output(display_name="table"),
                picture("before_after", "The plain image and the winner, large, side by side."),
                picture("family_tree", "Which candidate came from which, coloured by score."),
                picture("contact_sheet", "Every candidate that is kept, small, with its score."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return sorted(linked_outputs(ON_DEMAND))  # a picture that is linked later is drawn then

    @classmethod
    def execute(cls, run, after=None, which=0, row=0, k=7, theme="light"):
        run, paper = chosen(run, after, which, row), report.THEMES[theme]
        pictures, table = Pictures(run, row, paper), report.table(run.account)
        curve, gallery = to_image(report.curve(run.account, row, theme=paper)), to_image(pictures.gallery(k))
        draw = (pictures.before_after, lambda: report.family_tree(run.account, row, paper), pictures.contact_sheet)
        linked, blank = linked_outputs(ON_DEMAND), report.message(UNLINKED, theme=paper)
        others = [to_image(picture() if n in linked else blank) for n, picture in zip(ON_DEMAND, draw, strict=True)]
        sheet = ui.PreviewImage(torch.cat([curve, gallery], dim=1)).as_dict()  # one picture fills the node, two do not
        return io.NodeOutput(curve, gallery, table, *others, ui=sheet | ui.PreviewText(table).as_dict())


class TopCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_TopCandidates",
            display_name="Top Candidates",
            category=CATEGORY,
            description="The best k candidates, or good ones that differ, as latents and as images.",
            inputs=[
                *run_inputs(row="Which image of the latent batch, counted from 0."),
                io.Int.Input(
                    "k",
                    default=4,
                    min=1,
                    max=256,
                    optional=True,
                    tooltip="How many. No more come out than the search block's `keep` held.",
                ),
                io.Float.Input(
                    "diversity",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.001,
                    optional=True,
                    tooltip="0: the best k, however alike. 1: the winner and those that differ most. They are chosen "
                    "among what the search block's `keep` held, so raise that too.",
                ),
                io.Combo.Input(
                    "features",
                    options=[PIXELS, *FEATURES.names()],
                    default=PIXELS,
                    optional=True,
                    tooltip="What tells two images apart: layout and colour, or a CLIP or DINOv2 in models/clip_vision "
                    "or noise_search.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latents"),
                io.Image.Output(display_name="images"),
                io.Float.Output(
                    display_name="diversity",
                    tooltip="Mean distance between the images that were chosen: of pixels 0 to 1, of a model's "
                    "features 0 to 2.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, features=None):
        return features == PIXELS or FEATURES.check(features)

    @classmethod
    def fingerprint_inputs(cls, features=None, **others):
        return features if features == PIXELS else FEATURES.fingerprint(features)

    @classmethod
    def execute(cls, run, after=None, which=0, row=0, k=4, diversity=0.0, features=PIXELS):
        run = chosen(run, after, which, row)
        check(run, diversity)
        if not run.kept(row):
            raise SearchError(
                "Top Candidates: no candidate was kept; connect something to the value of Search Loop End, and raise "
                "the search block's `keep`."
            )
        try:
            found = pick(run, row, k, diversity, features)
        except SearchError as error:
            lines, pictures = run.kept(row)[:k], [ExecutionBlocker(str(error))] * 2  # said only where they are wanted
            text = f"The best {len(lines)}. {error}"
        else:
            lines, pictures, text = found.lines, [found.images, found.distance], in_words(found, diversity, features)
        latents = said_where_wanted(lambda: {"samples": torch.cat([run.latent(row, line) for line in lines])})
        return io.NodeOutput(latents, *pictures, ui=ui.PreviewText(text))


def said_where_wanted(give):
    """What `give` gives; where it is not there, why, said only at a node that wants it."""
    try:
        return give()
    except SearchError as error:
        return ExecutionBlocker(str(error))


def in_words(found: Pick, diversity: float, features: str) -> str:
    """How much the chosen candidates differ, and the plain best beside them."""
    number, apart = len(found.lines), f"mean distance {found.distance:.3g} in {features}"
    if not diversity or number == found.among:
        return f"The best {number} of {found.among} kept: {apart}."
    best = f"the plain best {number}: {found.of_best:.3g}"
    return f"{number} of {found.among} kept, at diversity {diversity:g}: {apart}; {best}."


class ExportHistory(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ExportHistory",
            display_name="Export History",
            category=CATEGORY,
            description="Every candidate with its recipe, measures and cost, as a file in the output folder.",
            inputs=[
                *run_inputs(),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="CSV",
                    optional=True,
                    tooltip="For tables, or for programs.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="noise_search/history",
                    optional=True,
                    tooltip="The file's name below the output folder; a taken name gets a number.",
                ),
            ],
            outputs=[io.String.Output(display_name="path")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, run, after=None, which=0, format="CSV", filename_prefix="noise_search/history"):
        content = FORMATS[format](chosen(run, after, which).account)
        path = inside(folder_paths.get_output_directory(), filename_prefix, f".{format.lower()}")
        written = str(write(path, content.encode()))
        return io.NodeOutput(written, ui=ui.PreviewText(f"Saved as {written}"))


NODES = [SearchReport, TopCandidates, ExportHistory]
