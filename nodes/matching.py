"""Verifier blocks that compare an image with another, or look at a part of it; what they measure: `verifiers/`."""

from comfy_api.latest import io

from ..verifiers import Box, ColourMatch, ReferenceMatch, SelfConsistency, Verifier, region
from ..verifiers.self_consistency import LEVEL
from . import sockets
from .host.model_files import FEATURES, NO_DOWNLOAD
from .verifier_face import CATEGORY, OfOneModel, architecture, download, face, half_precision, installed, outputs

COLOURS = "colours (no model)"


class ReferenceMatchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_ReferenceMatch",
            "Reference Match",
            "How much the image is like a reference image: by its colours, by what it shows (CLIP, SigLIP), or by "
            "shape and texture (DINOv2). Does not read the prompt. Higher is better.",
            io.Image.Input("reference", tooltip="The image to be like; of several, the nearest counts."),
            io.Combo.Input(
                "model",
                options=[COLOURS, *FEATURES.names()],
                default=COLOURS,
                optional=True,
                tooltip="Colours: how much of the colour histogram is shared, 0 to 1. A model in models/clip_vision or "
                "noise_search: the cosine of its features.",
            ),
            architecture(),
            half_precision(),
            download(FEATURES),
        )

    @classmethod
    def validate_inputs(cls, model=None, download=NO_DOWNLOAD):
        return _by_colours(model, download) or FEATURES.check(model, download)

    @classmethod
    def fingerprint_inputs(cls, model=None, download=NO_DOWNLOAD, **others):
        return model if _by_colours(model, download) else FEATURES.fingerprint(model, download)

    @classmethod
    def execute(
        cls, reference, model=COLOURS, architecture="auto", half_precision=False, download=NO_DOWNLOAD
    ) -> io.NodeOutput:
        if _by_colours(model, download):
            return io.NodeOutput(Verifier.of(ColourMatch(reference)))
        measure = ReferenceMatch(FEATURES.path(model, download), reference, architecture, half_precision)
        return io.NodeOutput(Verifier.of(measure))


def _by_colours(model, download) -> bool:
    return model == COLOURS and download == NO_DOWNLOAD


class SelfConsistencyNode(OfOneModel):
    MODELS = FEATURES

    @classmethod
    def define_schema(cls):
        return face(
            "NS_SelfConsistency",
            "Self-Consistency",
            "How much the finished image is like the one that the sampler saw coming while there was noise in it. "
            "Does not read the prompt. For class-conditional models; on text-to-image models it was found not to help. "
            "Higher is better.",
            installed(
                FEATURES,
                "Whose features are compared: DINOv2, or a CLIP or SigLIP, in models/clip_vision or noise_search.",
            ),
            io.Float.Input(
                "noise_level",
                default=LEVEL,
                min=0.01,
                max=0.99,
                step=0.01,
                optional=True,
                tooltip="Where to look: the share of noise that is left, from 0.99 (early) to 0.01 (nearly done). The "
                "nearest step counts.",
            ),
            architecture(),
            half_precision(),
            download(FEATURES),
        )

    @classmethod
    def execute(
        cls, model, noise_level=LEVEL, architecture="auto", half_precision=False, download=NO_DOWNLOAD
    ) -> io.NodeOutput:
        measure = SelfConsistency(FEATURES.path(model, download), noise_level, architecture, half_precision)
        return io.NodeOutput(Verifier.of(measure))


class RegionVerifierNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        edges = {"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 0.75}
        return io.Schema(
            node_id="NS_RegionVerifier",
            display_name="Region Verifier",
            category=CATEGORY,
            description="Any verifier, on a part of the image alone: the box around a mask, or a box in shares of "
            "width and height.",
            inputs=[
                sockets.Verifier.Input("verifier", tooltip="What to score the part with."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The part to score, painted; its smallest box is cut out. Without it, the box below.",
                ),
                *[
                    io.Float.Input(
                        edge,
                        default=default,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip=f"Without a mask: the {edge} edge of the box, as a share of the image.",
                    )
                    for edge, default in edges.items()
                ],
                io.Float.Input(
                    "margin",
                    default=0.1,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    optional=True,
                    tooltip="With a mask: how much to add around it, as a share of its own size.",
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="What the part should show. Empty: the search's own prompt.",
                ),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(
        cls, verifier, mask=None, left=0.25, top=0.25, right=0.75, bottom=0.75, margin=0.1, prompt=""
    ) -> io.NodeOutput:
        box = Box(left, top, right, bottom) if mask is None else Box.around(mask, margin)
        return io.NodeOutput(region(verifier, box, prompt))


NODES = [ReferenceMatchNode, SelfConsistencyNode, RegionVerifierNode]
