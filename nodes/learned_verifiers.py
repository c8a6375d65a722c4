"""Verifier blocks for models that learned what people prefer. What they measure is in `verifiers/`."""

from comfy_api.latest import io

from ..verifiers import Aesthetic, ClassProbability, HPSv2, ImageReward, PickScore, Verifier, ZeroShotClass
from ..verifiers.class_probability import FORMS
from ..verifiers.zero_shot_class import TEMPLATES
from .host.model_files import (
    AESTHETIC_HEAD,
    CLASSIFIER,
    CLIP,
    HPS,
    IMAGE_REWARD,
    NO_DOWNLOAD,
    PICKSCORE,
    is_classifier,
)
from .host.published import CLIP_L14, LAION_V2
from .verifier_face import OfOneModel, architecture, download, face, half_precision, installed, lines

USUAL_TEMPLATES = "\n".join(TEMPLATES)
READ_BY = {LAION_V2.name: CLIP_L14.name}
"""What a downloaded head reads."""


class PickScoreNode(OfOneModel):
    MODELS = PICKSCORE

    @classmethod
    def define_schema(cls):
        return face(
            "NS_PickScore",
            "PickScore",
            "Which image people would pick for the prompt, by a CLIP-H trained on their picks. Higher is better.",
            installed(PICKSCORE, "A folder whose name has PickScore in it, in models/clip_vision or noise_search."),
            half_precision(),
            download(PICKSCORE),
        )

    @classmethod
    def execute(cls, model, half_precision=False, download=NO_DOWNLOAD) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(PickScore(PICKSCORE.path(model, download), half_precision)))


class HPSv2Node(OfOneModel):
    MODELS = HPS

    @classmethod
    def define_schema(cls):
        return face(
            "NS_HPSv2",
            "HPSv2",
            "Human Preference Score v2 or v2.1: which image people prefer for the prompt. Higher is better.",
            installed(
                HPS,
                "HPS_v2_compressed.pt or HPS_v2.1_compressed.pt, in models/clip_vision or noise_search. Their numbers "
                "cannot be compared.",
            ),
            half_precision(),
            download(HPS),
        )

    @classmethod
    def execute(cls, model, half_precision=False, download=NO_DOWNLOAD) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(HPSv2(HPS.path(model, download), half_precision)))


class ImageRewardNode(OfOneModel):
    MODELS = IMAGE_REWARD

    @classmethod
    def define_schema(cls):
        return face(
            "NS_ImageReward",
            "ImageReward",
            "How people would rate the image for the prompt, by a BLIP trained on their rankings: about -2 to 2. "
            "Higher is better.",
            installed(
                IMAGE_REWARD,
                "A folder with ImageReward.pt, med_config.json and BERT's vocab.txt, in models/clip_vision or "
                "noise_search.",
            ),
            half_precision(),
            download(IMAGE_REWARD),
        )

    @classmethod
    def execute(cls, model, half_precision=False, download=NO_DOWNLOAD) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(ImageReward(IMAGE_REWARD.path(model, download), half_precision)))


class AestheticNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_Aesthetic",
            "Aesthetic",
            "How much people like the look of the image, about 1 to 10. Does not read the prompt. Higher is better.",
            installed(
                AESTHETIC_HEAD,
                "LAION's v2 head (sac+logos+ava1-l14-linearMSE) or the v2.5 head, in models/clip_vision or "
                "noise_search. Their numbers cannot be compared.",
                name="head",
            ),
            installed(
                CLIP,
                "What the head reads: OpenAI's CLIP ViT-L/14 for v2, SigLIP so400m/14 384 for v2.5. Loaded once for "
                "all blocks that use it.",
            ),
            architecture(),
            half_precision(),
            download(AESTHETIC_HEAD, f" With it comes what it reads, {CLIP_L14.name} ({CLIP_L14.size})."),
        )

    @classmethod
    def validate_inputs(cls, head=None, model=None, download=NO_DOWNLOAD):
        missing = AESTHETIC_HEAD.check(head, download)
        return CLIP.check(model, READ_BY.get(download, download)) if missing is True else missing

    @classmethod
    def fingerprint_inputs(cls, head=None, model=None, download=NO_DOWNLOAD, **others):
        read_by = READ_BY.get(download, download)
        return AESTHETIC_HEAD.fingerprint(head, download), CLIP.fingerprint(model, read_by)

    @classmethod
    def execute(cls, head, model, architecture="auto", half_precision=False, download=NO_DOWNLOAD) -> io.NodeOutput:
        paths = CLIP.path(model, READ_BY.get(download, download)), AESTHETIC_HEAD.path(head, download)
        return io.NodeOutput(Verifier.of(Aesthetic(*paths, architecture, half_precision)))


class ClassProbabilityNode(OfOneModel):
    MODELS = CLASSIFIER

    @classmethod
    def define_schema(cls):
        return face(
            "NS_ClassProbability",
            "Class Probability",
            "How sure an image classifier, or a CLIP given the classes, is that the image shows one class. Higher is "
            "better.",
            installed(
                CLASSIFIER,
                "A transformers folder of an image classifier (DINOv2 with a linear head, ViT ...), or a CLIP, in "
                "models/clip_vision or noise_search.",
            ),
            io.String.Input(
                "target",
                default="",
                optional=True,
                tooltip="The class wanted: its label or its number. Empty: the prompt names it.",
            ),
            io.Combo.Input(
                "form",
                options=list(FORMS),
                default=FORMS[0],
                optional=True,
                tooltip="Probability: 0 to 1 over all classes. Logit: still tells images apart that are all near 1, "
                "and does not mind what else is in the picture.",
            ),
            io.String.Input(
                "others",
                default="",
                multiline=True,
                optional=True,
                tooltip="For a CLIP: the classes that the target is told from, one a line. A classifier knows its own.",
            ),
            io.String.Input(
                "templates",
                default=USUAL_TEMPLATES,
                multiline=True,
                optional=True,
                tooltip="For a CLIP: texts around the class's name {}, one a line; the class is their mean.",
            ),
            architecture(),
            half_precision(),
            download(CLASSIFIER),
        )

    @classmethod
    def execute(
        cls,
        model,
        target="",
        form=FORMS[0],
        others="",
        templates=USUAL_TEMPLATES,
        architecture="auto",
        half_precision=False,
        download=NO_DOWNLOAD,
    ) -> io.NodeOutput:
        path = CLASSIFIER.path(model, download)
        if is_classifier(path):
            return io.NodeOutput(Verifier.of(ClassProbability(path, target, form, half_precision)))
        texts = lines(others), lines(templates)
        return io.NodeOutput(Verifier.of(ZeroShotClass(path, target, *texts, form, architecture, half_precision)))


NODES = [PickScoreNode, HPSv2Node, ImageRewardNode, AestheticNode, ClassProbabilityNode]
