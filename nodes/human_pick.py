"""A person as a verifier."""

from comfy_api.latest import io

from ..verifiers import HumanPick, Verifier
from ..verifiers.human_pick import PICK, UNANSWERED, WAYS
from . import sockets
from .host.asking import asker
from .verifier_face import CATEGORY, outputs


class HumanPickNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_HumanPick",
            display_name="Human Pick",
            category=CATEGORY,
            description="You choose: the page shows the candidates side by side, and your choice is the score.",
            inputs=[
                io.Combo.Input(
                    "way",
                    options=list(WAYS),
                    default=PICK,
                    optional=True,
                    tooltip="Pick or rank the candidates of each round beside the best so far, or rate each of them. "
                    "In a loop, and for a latent batch, rate.",
                ),
                io.Int.Input(
                    "shown",
                    default=8,
                    min=2,
                    max=64,
                    optional=True,
                    tooltip="Candidates shown together at most, beside the best so far. Without a screen, what is more "
                    "is shown next.",
                ),
                io.Float.Input(
                    "time_limit",
                    default=600.0,
                    min=0.0,
                    max=86400.0,
                    step=1.0,
                    optional=True,
                    tooltip="Seconds that each question waits, also when no page is open any more. 0: without end.",
                ),
                io.Combo.Input(
                    "no_answer",
                    options=list(UNANSWERED),
                    default=UNANSWERED[0],
                    optional=True,
                    tooltip="When time is up, or nobody listens: none of the candidates is better than the best so "
                    "far, or they have no score, and the search block's on_nan says what then.",
                ),
                io.String.Input(
                    "question",
                    default="",
                    optional=True,
                    tooltip="What you are asked, shown above the candidates. Another question is another search.",
                ),
                sockets.Verifier.Input(
                    "screen",
                    optional=True,
                    tooltip="A verifier that looks first: of each round only the best few, as many as shown says, come "
                    "before you.",
                ),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, way=PICK, shown=8, time_limit=600.0, no_answer=UNANSWERED[0], question="", screen=None):
        return io.NodeOutput(Verifier.of(HumanPick(asker(time_limit), way, question, shown, screen, no_answer)))


NODES = [HumanPickNode]
