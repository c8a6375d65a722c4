"""Verifier blocks that ask a vision-language model. What they ask is in `verifiers/`."""

import comfy.model_management
from comfy_api.latest import io

from ..verifiers import Endpoint, LocalModel, PromptChecklist, Verifier, VLMJudge
from ..verifiers.prompt_checklist import HOW
from ..verifiers.vlm_judge import FORMS
from .host.model_files import JUDGE, NO_DOWNLOAD
from .host.scoring import precision
from .verifier_face import download, face, installed

SERVER, LOCAL = BACKENDS = ("server", "local model")


class Judge(io.ComfyNode):
    """What both blocks share: who is asked is known, and there, before anything is drawn."""

    @classmethod
    def validate_inputs(cls, backend=SERVER, local_model=None, download=NO_DOWNLOAD):
        if backend not in (None, *BACKENDS):
            return f"backend is {backend!r}: choose one of {', '.join(BACKENDS)}."
        return backend != LOCAL or JUDGE.check(local_model, download)

    @classmethod
    def fingerprint_inputs(cls, backend=SERVER, local_model=None, download=NO_DOWNLOAD, **others):
        return JUDGE.fingerprint(local_model, download) if backend == LOCAL else backend


def server_inputs() -> list:
    return [
        io.String.Input(
            "base_url",
            default="http://127.0.0.1:11434/v1",
            tooltip="An OpenAI-compatible server, up to /v1: Ollama, llama.cpp, vLLM, LM Studio ... Empty: the one "
            "that NOISE_SEARCH_API_URL names in ComfyUI's environment, with the key in NOISE_SEARCH_API_KEY.",
        ),
        io.String.Input("model", default="qwen2.5vl:7b", tooltip="The model's name, as the server lists it."),
    ]


def request_inputs() -> list:
    return [
        io.Float.Input(
            "seconds",
            default=60.0,
            min=1.0,
            max=3600.0,
            step=1.0,
            optional=True,
            tooltip="Server: a request that takes longer counts as failed.",
        ),
        io.Int.Input(
            "retries",
            default=4,
            min=0,
            max=20,
            optional=True,
            tooltip="Server: how often a failed request is tried again, waiting twice as long each time. After the "
            "last, the search stops with the reason.",
        ),
        io.Int.Input(
            "in_flight",
            default=4,
            min=1,
            max=64,
            optional=True,
            tooltip="Requests under way at once; of a local model, questions answered together.",
        ),
        io.Int.Input(
            "image_size",
            default=768,
            min=64,
            max=4096,
            step=32,
            optional=True,
            tooltip="Longer side of the images shown, in pixels; smaller ones are shown as they are.",
        ),
    ]


def local_inputs() -> list:
    return [
        io.Combo.Input(
            "backend",
            options=list(BACKENDS),
            default=SERVER,
            optional=True,
            tooltip="Who answers: a server, to which the images are sent, or a model in this ComfyUI, which shares the "
            "GPU with the model that draws.",
        ),
        installed(
            JUDGE,
            "Local model: a transformers folder of an instruction-tuned model that reads images (SmolVLM, Qwen-VL, "
            "LLaVA ...), in models/noise_search, clip_vision or text_encoders.",
            name="local_model",
            optional=True,
        ),
        io.Boolean.Input(
            "half_precision",
            default=True,
            optional=True,
            tooltip="Local model: load it in 16 bit on a GPU, which halves its memory. The scores are computed in 32.",
        ),
        download(JUDGE, " A server's models are the server's to fetch."),
    ]


def asked(
    base_url,
    model,
    seconds=60.0,
    retries=4,
    in_flight=4,
    image_size=768,
    backend=SERVER,
    local_model=JUDGE.none,
    half_precision=True,
    download=NO_DOWNLOAD,
) -> Endpoint | LocalModel:
    """Whoever is to answer, there and ready."""
    cancel = comfy.model_management.throw_exception_if_processing_interrupted
    if backend == LOCAL:
        path = JUDGE.path(local_model, download)
        return LocalModel(path, precision(half_precision), image_size, in_flight, cancel)
    found = Endpoint(base_url, model, seconds, retries, in_flight, image_size, cancel)
    found.check()
    return found


class VLMJudgeNode(Judge):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_VLMJudge",
            "VLM Judge",
            "A vision-language model judges the image: whether it shows the prompt, or one aspect of a rubric. It "
            "runs on a server, to which the images are sent, or here. Higher is better.",
            *server_inputs(),
            io.Combo.Input(
                "form",
                options=list(FORMS),
                default=FORMS[0],
                optional=True,
                tooltip="Shows the prompt: the probability of yes, 0 to 1. The others: that aspect of a rubric, 0 to "
                "10 in whole numbers, which tie often.",
            ),
            *request_inputs(),
            *local_inputs(),
        )

    @classmethod
    def execute(cls, base_url, model, form=FORMS[0], **who) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(VLMJudge(asked(base_url, model, **who), form)))


class PromptChecklistNode(Judge):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_PromptChecklist",
            "Prompt Checklist",
            "Yes/no questions about the image, answered by a vision-language model: the mean or the least probability "
            "of yes. It runs on a server, to which the images are sent, or here. Higher is better.",
            io.String.Input(
                "questions",
                default="",
                multiline=True,
                tooltip="One yes/no question a line. Indent a question below another that it depends on: it counts 0 "
                "where the other was answered no. {prompt} stands for the prompt; without it no prompt is needed.",
            ),
            *server_inputs(),
            io.Combo.Input(
                "how",
                options=list(HOW),
                default=HOW[0],
                optional=True,
                tooltip="Mean: how much of the list holds. Minimum: how sure the weakest answer is.",
            ),
            *request_inputs(),
            *local_inputs(),
        )

    @classmethod
    def execute(cls, questions, base_url, model, how=HOW[0], **who) -> io.NodeOutput:
        return io.NodeOutput(Verifier.of(PromptChecklist(asked(base_url, model, **who), questions, how)))


NODES = [VLMJudgeNode, PromptChecklistNode]
