"""Verifier blocks: each makes one sockets.Verifier. What they measure is in `verifiers/`."""

from comfy_api.latest import io

from ..demo.verifiers import ShapesOracle, ShapesVerifier
from ..verifiers import CLIPIQA, RULES, STATISTICS, CLIPScore, ImageStatistic, Verifier, combine, watch
from ..verifiers.clip_score import FORMS, OVER_TEXTS
from ..verifiers.image_statistics import BETTER
from . import sockets
from .host.model_files import CLIP, NO_DOWNLOAD
from .verifier_face import (
    CATEGORY,
    OfOneModel,
    architecture,
    download,
    face,
    half_precision,
    installed,
    lines,
    outputs,
)

DEMO = "noise search/demo"
QUALITY = "CLIP-IQA (quality)"


class CLIPScoreNode(OfOneModel):
    MODELS = CLIP

    @classmethod
    def define_schema(cls):
        return face(
            "NS_CLIPScore",
            "CLIPScore",
            "How well the image fits the prompt, by a CLIP model. Higher is better.",
            installed(
                CLIP,
                "A CLIP with both halves, image and text, in models/clip_vision, text_encoders or noise_search: an "
                "open_clip file or folder, or a transformers folder.",
            ),
            architecture(),
            io.Combo.Input(
                "form",
                options=[*FORMS, QUALITY],
                default=FORMS[0],
                optional=True,
                tooltip="The cosine itself (about 0.1 to 0.4), or Hessel's CLIPScore (about 0.2 to 1): both choose the "
                "same image. CLIP-IQA: more like a good photo than a bad one (0 to 1), whatever the prompt.",
            ),
            half_precision(),
            download(CLIP),
            io.String.Input(
                "texts",
                default="",
                multiline=True,
                optional=True,
                tooltip="What the image should fit instead of the prompt, one text a line; {} in a line stands for the "
                "prompt. Empty: the prompt.",
            ),
            io.Combo.Input(
                "over_texts",
                options=list(OVER_TEXTS),
                default=OVER_TEXTS[0],
                optional=True,
                tooltip="How the scores of several texts combine. Minimum: the image must fit each of them.",
            ),
        )

    @classmethod
    def execute(
        cls,
        model,
        architecture="auto",
        form=FORMS[0],
        half_precision=False,
        download=NO_DOWNLOAD,
        texts="",
        over_texts=OVER_TEXTS[0],
    ) -> io.NodeOutput:
        path = CLIP.path(model, download)
        if form == QUALITY:
            return io.NodeOutput(Verifier.of(CLIPIQA(path, architecture, half_precision)))
        measure = CLIPScore(path, architecture, form, half_precision, lines(texts), over_texts)
        return io.NodeOutput(Verifier.of(measure))


class ImageStatisticsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ImageStatistics",
            display_name="Image Statistics",
            category=CATEGORY,
            description="A plain statistic of the pixels: sharpness, exposure, contrast or colourfulness. "
            "Needs no model and does not read the prompt.",
            inputs=[
                io.Combo.Input(
                    "statistic",
                    options=list(STATISTICS),
                    default="sharpness",
                    optional=True,
                    tooltip="Sharpness: variance of the Laplacian, from 0. Exposure: mean brightness, 0-1. "
                    "Contrast: spread of brightness, 0 to 0.5. Colourfulness: 0 (grey) to about 110.",
                ),
                io.Combo.Input(
                    "better",
                    options=list(BETTER),
                    default=BETTER[0],
                    optional=True,
                    tooltip="Whether a higher number is better, a lower one, or the nearest to the target.",
                ),
                io.Float.Input(
                    "target",
                    default=0.5,
                    min=0.0,
                    max=1e6,
                    step=0.01,
                    optional=True,
                    tooltip='For "nearest to the target": the number wanted, in the statistic\'s own units.',
                ),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, statistic="sharpness", better=BETTER[0], target=0.5) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(ImageStatistic(statistic, better, target)))


class CombineVerifiersNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        verifiers = [
            sockets.Verifier.Input(f"verifier_{i}", optional=i > 1, tooltip="One verifier, or some combined.")
            for i in range(1, 6)
        ]
        weights = [
            io.Float.Input(
                f"weight_{i}",
                default=1.0,
                min=0.0,
                max=100.0,
                step=0.05,
                optional=True,
                tooltip=f"How much verifier_{i} counts. 0: scored and reported, but not searched.",
            )
            for i in range(1, 6)
        ]
        return io.Schema(
            node_id="NS_CombineVerifiers",
            display_name="Combine Verifiers",
            category=CATEGORY,
            description="Up to five verifiers as one. Connect combinations to combine more.",
            inputs=[
                *verifiers,
                io.Combo.Input(
                    "rule",
                    options=list(RULES),
                    default=RULES[0],
                    optional=True,
                    tooltip="Mean rank and z-scores compare candidates with each other and need no common "
                    "scale. Product and minimum use the numbers themselves.",
                ),
                *weights,
                io.Float.Input(
                    "threshold",
                    default=0.25,
                    min=-1e6,
                    max=1e6,
                    step=0.01,
                    optional=True,
                    tooltip='For "first at least the threshold": the least that verifier_1 must give.',
                ),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, rule=RULES[0], threshold=0.25, **inputs) -> io.NodeOutput:
        slots = [i for i in range(1, 6) if inputs.get(f"verifier_{i}") is not None]
        verifiers = [inputs[f"verifier_{i}"] for i in slots]
        return io.NodeOutput(combine(verifiers, rule, [inputs.get(f"weight_{i}", 1.0) for i in slots], threshold))


class WatchVerifierNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_WatchVerifier",
            display_name="Watch Verifier",
            category=CATEGORY,
            description="Search by one verifier and report another beside it: do images really improve?",
            inputs=[
                sockets.Verifier.Input("verifier", tooltip="The verifier to search by."),
                sockets.Verifier.Input("watched", tooltip="Scored and reported, never searched."),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, verifier, watched) -> io.NodeOutput:
        return io.NodeOutput(watch(verifier, watched))


class ShapesVerifierNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ShapesVerifier",
            display_name="Shapes Verifier",
            category=DEMO,
            description="CLIPScore by the small CLIP that was trained on Shapes World. It can be fooled.",
            inputs=[],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(ShapesVerifier()))


class ShapesOracleNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ShapesOracle",
            display_name="Shapes Oracle",
            category=DEMO,
            description="Reads a Shapes World image back and says how much of the prompt is true of it. "
            "It cannot be fooled.",
            inputs=[
                io.Boolean.Input(
                    "all_or_nothing",
                    default=False,
                    optional=True,
                    tooltip="Off: the share of the prompt's facts that hold. On: 1 when all hold, else 0.",
                ),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, all_or_nothing=False) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(ShapesOracle(all_or_nothing)))


NODES = [
    CLIPScoreNode,
    ImageStatisticsNode,
    CombineVerifiersNode,
    WatchVerifierNode,
    ShapesVerifierNode,
    ShapesOracleNode,
]
