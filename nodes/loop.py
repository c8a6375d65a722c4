"""A search around any part of a graph, and any noise for samplers that only take a seed."""

from comfy_api.latest import io

from . import sockets
from .host import loop as host
from .host.loop_noise import apply_noise
from .host.loop_search import HIGHER, LOWER, Settings

CATEGORY = "noise search/run"


class SearchLoopStart(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SearchLoopStart",
            display_name="Search Loop Start",
            category=CATEGORY,
            description="Begins a search around any nodes: hands out a noise and a seed, others for each candidate. "
            "What depends on them, up to Search Loop End, runs once for each.",
            inputs=[
                sockets.Search.Input("search", tooltip="What to try next: an algorithm, or a chain of them."),
                io.Latent.Input(
                    "latent", tooltip="The latent that the loop's sampler begins with; its size is the noise's."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Candidate 0, the plain image. Keep it fixed, so that a second run goes on where the first "
                    "ended.",
                ),
                io.Int.Input(
                    "batch",
                    default=1,
                    min=1,
                    max=64,
                    optional=True,
                    tooltip="Candidates that go through the loop together, as the rows of one latent batch. Connect "
                    "noise, not seed, and the scores of Score Images.",
                ),
            ],
            outputs=[
                sockets.Loop.Output(display_name="loop", tooltip="To Search Loop End."),
                io.Noise.Output(display_name="noise", tooltip="To SamplerCustomAdvanced, or to Apply Noise."),
                io.Int.Output(display_name="seed", tooltip="To a sampler that only takes a seed. Not with a batch."),
                io.Latent.Output(display_name="latent", tooltip="The latent as it came; of a batch a row a candidate."),
                io.Int.Output(display_name="index", tooltip="Which candidate this is, from 0: the first of a batch."),
            ],
        )

    @classmethod
    def execute(cls, search=None, latent=None, seed=0, batch=1, loop=None):
        return io.NodeOutput(*host.start(search, latent, seed, batch, loop))


class SearchLoopEnd(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SearchLoopEnd",
            display_name="Search Loop End",
            category=CATEGORY,
            description="Ends a search around any nodes: takes the score of a candidate, has the nodes run again for "
            "the next, and gives the best when the algorithm or the budget says stop.",
            inputs=[
                sockets.Loop.Input("loop", tooltip="From Search Loop Start, directly."),
                io.MultiType.Input(
                    "score",
                    [io.Float, io.Int, sockets.Scores],
                    lazy=True,
                    tooltip="How good this candidate is: the score of Score Images, or a number of any node. Of a "
                    "batch: the scores of Score Images, or a list with a number for each candidate.",
                ),
                io.AnyType.Input(
                    "value",
                    optional=True,
                    lazy=True,
                    tooltip="What you want of the best candidate: an IMAGE, a LATENT, anything that the loop makes.",
                ),
                io.Combo.Input(
                    "better",
                    options=[HIGHER, LOWER],
                    default=HIGHER,
                    optional=True,
                    tooltip="Whether higher or lower scores are better.",
                ),
                io.Int.Input(
                    "keep",
                    default=8,
                    min=1,
                    max=256,
                    optional=True,
                    tooltip="Values kept, of the best candidates, for the gallery and Top Candidates.",
                ),
                io.Combo.Input(
                    "on_nan",
                    options=["stop", "exclude"],
                    default="stop",
                    optional=True,
                    tooltip="When a score is no number: stop with an error, or leave that candidate out and say so.",
                ),
            ],
            outputs=[
                io.AnyType.Output(display_name="value", tooltip="The best candidate's."),
                io.Noise.Output(display_name="noise", tooltip="The noise that won."),
                io.Int.Output(display_name="seed", tooltip="Its seed, where a seed draws it: the report says so."),
                sockets.Run.Output(display_name="run", tooltip="To Search Report and the other results."),
            ],
            enable_expand=True,
        )

    @classmethod
    def check_lazy_status(cls, loop, score=None, value=None, **settings):
        return host.lacking(loop, Settings(**settings))

    @classmethod
    def execute(cls, loop, score=None, value=None, **settings):
        outputs, graph = host.turn(loop, score, value, Settings(**settings))
        return io.NodeOutput(*outputs, expand=graph)


class ApplyNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ApplyNoise",
            display_name="Apply Noise",
            category=CATEGORY,
            description="Samplers that use this MODEL begin from this NOISE instead of their own seed's: any noise in "
            "a KSampler.",
            inputs=[
                io.Model.Input("model", tooltip="The model to sample with. It is not changed."),
                io.Noise.Input(
                    "noise",
                    tooltip="The noise to begin from; its seed also takes the place of the sampler's. From Search Loop "
                    "Start, Winner Noise, Load Noise, or any other NOISE.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model")],
        )

    @classmethod
    def execute(cls, model, noise):
        return io.NodeOutput(apply_noise(model, noise))


NODES = [SearchLoopStart, SearchLoopEnd, ApplyNoise]
