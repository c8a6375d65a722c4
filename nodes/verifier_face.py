"""What the faces of the verifier blocks share."""

from comfy_api.latest import io

from ..verifiers.clip_architecture import COMMON
from . import sockets
from .host.model_files import NO_DOWNLOAD, Models

CATEGORY = "noise search/verifiers"
OUTPUT = "What is better: connect it to a search, to Score Images, or to another verifier block."


def outputs() -> list:
    return [sockets.Verifier.Output(display_name="verifier", tooltip=OUTPUT)]


def face(node_id: str, name: str, description: str, *inputs: io.Input) -> io.Schema:
    return io.Schema(
        node_id=node_id,
        display_name=name,
        category=CATEGORY,
        description=description,
        inputs=list(inputs),
        outputs=outputs(),
    )


class OfOneModel(io.ComfyNode):
    """A block whose `model` is one of `MODELS`: says what is missing before anything runs, and sees a file replaced."""

    MODELS: Models

    @classmethod
    def validate_inputs(cls, model=None, download=NO_DOWNLOAD):
        return cls.MODELS.check(model, download)

    @classmethod
    def fingerprint_inputs(cls, model=None, download=NO_DOWNLOAD, **others):
        return cls.MODELS.fingerprint(model, download)


def installed(models: Models, tooltip: str, name: str = "model", **more) -> io.Input:
    names = models.names()
    return io.Combo.Input(name, options=names, default=names[0], tooltip=tooltip, **more)


def download(models: Models, more: str = "") -> io.Input:
    offered = "; ".join(f"{model.name} ({model.size}; licence: {model.licences})" for model in models.offered)
    return io.Combo.Input(
        "download",
        options=models.downloads,
        default=NO_DOWNLOAD,
        optional=True,
        tooltip="No: nothing is fetched. Otherwise this one is used instead of the one chosen above, and is fetched "
        f"once if it is not there, at a fixed commit, from huggingface.co into models/noise_search: {offered}.{more}",
    )


def half_precision() -> io.Input:
    return io.Boolean.Input(
        "half_precision",
        default=False,
        optional=True,
        tooltip="Read images in float16 on a GPU: faster; scores change in the fourth digit.",
    )


def architecture() -> io.Input:
    return io.Combo.Input(
        "architecture",
        options=["auto", *COMMON],
        default="auto",
        optional=True,
        tooltip="For a single file: what it is. Auto tells it from the file. OpenAI, MetaCLIP and DFN weights "
        "need a quickgelu one, which only the file's name can give away.",
    )


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
