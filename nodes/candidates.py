"""Candidate generators: how new noises are drawn."""

from comfy_api.latest import io

from ..search.candidates import Gaussian, LowFrequency, Masked, Mix, Neighbour, SeedList
from . import sockets

CATEGORY = "noise search/candidates"


class GaussianCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_GaussianCandidates",
            display_name="Gaussian Candidates",
            category=CATEGORY,
            description="Fresh noise each time: candidate i is KSampler's own noise for seed + i, so that a winner is "
            "a seed you can type into a plain KSampler.",
            outputs=[sockets.Candidates.Output(display_name="candidates")],
        )

    @classmethod
    def execute(cls):
        return io.NodeOutput(Gaussian())


class NeighbourCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_NeighbourCandidates",
            display_name="Neighbour Candidates",
            category=CATEGORY,
            description="Noises near a pivot: in Zero-Order Search around its best so far, elsewhere around the "
            "sampler's own noise.",
            inputs=[
                io.Float.Input(
                    "cosine",
                    default=0.95,
                    min=0.0,
                    max=0.9999,
                    step=0.01,
                    round=0.0001,
                    optional=True,
                    tooltip="Cosine between a neighbour and its pivot. Larger is closer: 0.95 keeps the composition, "
                    "0 is an independent noise.",
                )
            ],
            outputs=[sockets.Candidates.Output(display_name="candidates")],
        )

    @classmethod
    def execute(cls, cosine=0.95):
        return io.NodeOutput(Neighbour(cosine))


class SeedListCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SeedListCandidates",
            display_name="Seed List",
            category=CATEGORY,
            description="KSampler's noises for the seeds you write, tried in order after the sampler's own.",
            inputs=[
                io.String.Input(
                    "seeds",
                    default="1, 2, 3, 100-115",
                    multiline=True,
                    optional=True,
                    tooltip="Seeds separated by commas, spaces or lines; 100-115 is a range.",
                )
            ],
            outputs=[sockets.Candidates.Output(display_name="candidates")],
        )

    @classmethod
    def execute(cls, seeds):
        return io.NodeOutput(SeedList.parse(seeds))


def closeness(what: str) -> io.Input:
    return io.Float.Input(
        "cosine",
        default=0.0,
        min=0.0,
        max=0.9999,
        step=0.01,
        round=0.0001,
        optional=True,
        tooltip=f"Cosine between {what} and what was there. 0 draws it anew, 0.95 draws near it.",
    )


class LowFrequencyCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_LowFrequencyCandidates",
            display_name="Low-Frequency Candidates",
            category=CATEGORY,
            description="Another layout, the same texture: new noise in the lowest band of a Haar wavelet, the "
            "starting noise in all finer ones.",
            inputs=[
                io.Int.Input(
                    "levels",
                    default=4,
                    min=1,
                    max=12,
                    optional=True,
                    tooltip="The band is what is constant over blocks of 2^levels latent pixels: 4 changes the "
                    "coarsest layout alone, 1 nearly everything.",
                ),
                closeness("the new band"),
            ],
            outputs=[sockets.Candidates.Output(display_name="candidates")],
        )

    @classmethod
    def execute(cls, levels=4, cosine=0.0):
        return io.NodeOutput(LowFrequency(levels, cosine))


class MaskedCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_MaskedCandidates",
            display_name="Masked Candidates",
            category=CATEGORY,
            description="Search a part of the picture: new noise inside the mask (or outside it), the starting noise "
            "elsewhere.",
            inputs=[
                io.Mask.Input(
                    "mask", tooltip="Where new noise goes. Of any size; the latent's rows take one mask each."
                ),
                io.Combo.Input(
                    "where",
                    options=["inside", "outside"],
                    default="inside",
                    optional=True,
                    tooltip="New noise where the mask is painted, or everywhere else.",
                ),
                closeness("new noise"),
            ],
            outputs=[sockets.Candidates.Output(display_name="candidates")],
        )

    @classmethod
    def execute(cls, mask, where="inside", cosine=0.0):
        return io.NodeOutput(Masked(mask.reshape(-1, *mask.shape[-2:]), where == "inside", cosine))


class MixCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_MixCandidates",
            display_name="Mix Candidates",
            category=CATEGORY,
            description="Two generators in turn: some bold candidates, some near ones.",
            inputs=[
                sockets.Candidates.Input("first", tooltip="Draws `share` of the candidates."),
                sockets.Candidates.Input("second", tooltip="Draws the rest."),
                io.Float.Input(
                    "share",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.001,
                    optional=True,
                    tooltip="Share of the first, evenly spread over the candidates.",
                ),
            ],
            outputs=[sockets.Candidates.Output(display_name="candidates")],
        )

    @classmethod
    def execute(cls, first, second, share=0.5):
        return io.NodeOutput(Mix(first, second, share))


NODES = [
    GaussianCandidates,
    NeighbourCandidates,
    SeedListCandidates,
    LowFrequencyCandidates,
    MaskedCandidates,
    MixCandidates,
]
