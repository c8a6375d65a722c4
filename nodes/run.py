"""Controllers: where a search meets a sampler."""

import copy

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io

from ..search import Block, Budget, Search
from ..search.algorithms import Replay
from . import sockets
from .host.controller import EVERY_CALL, FIRST_CALL, Settings, attach
from .host.score_images import Scores, score_images, table
from .host.scorer import MEAN, MIN

CATEGORY = "noise search/run"


def verifier_inputs() -> list[io.Input]:
    """What both controllers ask for besides the sampling itself."""
    return [
        sockets.Search.Input("search", tooltip="What to try next: an algorithm, or a chain of them."),
        sockets.Verifier.Input("verifier", tooltip="What is better."),
        io.Vae.Input(
            "vae",
            optional=True,
            tooltip="Decodes candidates for the verifier. A tiny one (TAESD) makes scoring cheap: the winner's latent "
            "goes on to your own VAE Decode all the same.",
        ),
        io.String.Input(
            "prompt",
            default="",
            multiline=True,
            optional=True,
            tooltip="What the verifier compares images with. Empty: the text behind the sampler's positive input. "
            "For a latent batch, one prompt for each row may be given, with lines of --- between them.",
        ),
        io.Int.Input(
            "keep", default=8, min=1, max=256, optional=True, tooltip="Best latents kept, for galleries and top k."
        ),
        io.Combo.Input(
            "on_nan",
            options=["stop", "exclude"],
            default="stop",
            optional=True,
            tooltip="When a verifier gives no number: stop with an error, or leave that candidate out and say so.",
        ),
        io.Int.Input(
            "batch",
            default=0,
            min=0,
            max=64,
            optional=True,
            tooltip="Candidates sampled together. 0: as many as fit with the model fully loaded.",
        ),
        io.Int.Input(
            "frames", default=8, min=1, max=1024, optional=True, tooltip="Video: evenly spaced frames scored."
        ),
        io.Combo.Input(
            "over_frames",
            options=[MEAN, MIN],
            default=MEAN,
            optional=True,
            tooltip="Video: how frames' scores combine.",
        ),
    ]


def early_inputs() -> list[io.Input]:
    """The cheaper look at images that are not finished: at the end, so that saved workflows keep their sockets."""
    return [
        sockets.Verifier.Input(
            "early_verifier",
            optional=True,
            tooltip="A cheap verifier for images that are not finished yet: it chooses which go on, and the verifier "
            "above scores those that are finished. Unconnected: the same verifier scores both.",
        ),
        io.Vae.Input(
            "early_vae",
            optional=True,
            tooltip="A small decoder (TAESD) for images that are not finished yet. Unconnected: the VAE above decodes "
            "both.",
        ),
    ]


class SearchWithKSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SearchWithKSampler",
            display_name="Search with KSampler",
            category=CATEGORY,
            description="Any sampler that uses this MODEL now searches for a better noise. Remove the block, or set a "
            "budget of one image, and the plain image is back.",
            inputs=[
                io.Model.Input("model", tooltip="The model to sample with. It is not changed."),
                *verifier_inputs(),
                io.Combo.Input(
                    "calls",
                    options=[EVERY_CALL, FIRST_CALL],
                    default=EVERY_CALL,
                    optional=True,
                    tooltip="Samplers that call the model many times (tiles, detailers): which calls are searched. "
                    "Each searched call costs the whole budget.",
                ),
                *early_inputs(),
            ],
            outputs=[io.Model.Output(display_name="model"), sockets.Run.Output(display_name="run")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, search, verifier, vae=None, **options):
        settings = Settings(search, verifier, vae, **options, node=cls.hidden and cls.hidden.unique_id)
        settings.check()
        searched = model.clone()
        attach(settings, searched.model_options)
        return io.NodeOutput(searched, settings.handle)


class SearchSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SearchSampler",
            display_name="Search Sampler",
            category=CATEGORY,
            description="SamplerCustomAdvanced with a search inside: gives the best latent, the best few, and the "
            "noise that made it.",
            inputs=[
                io.Noise.Input("noise", tooltip="Candidate 0: a budget of one image samples exactly this."),
                io.Guider.Input("guider", tooltip="Model, prompts and guidance."),
                io.Sampler.Input("sampler", tooltip="The sampler that draws each candidate."),
                io.Sigmas.Input("sigmas", tooltip="The noise schedule."),
                io.Latent.Input("latent_image", tooltip="The latent to sample into; its mask and batch are respected."),
                *verifier_inputs(),
                *early_inputs(),
            ],
            outputs=[
                io.Latent.Output(display_name="output"),
                io.Latent.Output(display_name="denoised_output"),
                io.Latent.Output(display_name="top"),
                io.Noise.Output(display_name="noise"),
                sockets.Run.Output(display_name="run"),
            ],
        )

    @classmethod
    def execute(cls, noise, guider, sampler, sigmas, latent_image, search, verifier, vae=None, **options):
        settings = Settings(search, verifier, vae, **options, needs_after=False)
        settings.check()
        latent = latent_image.copy()
        samples = comfy.sample.fix_empty_latent_channels(guider.model_patcher, latent["samples"])
        latent["samples"] = samples
        searching = copy.copy(guider)
        searching.model_options = comfy.model_patcher.create_model_options_clone(guider.model_options)
        if getattr(noise, "moves", False):  # found on the path: only its recipe brings it back
            replayed = Replay(noise.recipes, noise.lineage)
            settings.search = Search((Block(replayed, Budget(images=1_000_000)),))
        attach(settings, searching.model_options)
        last = {}
        callback = latent_preview.prepare_callback(guider.model_patcher, sigmas.shape[-1] - 1, last)
        out = searching.sample(
            noise.generate_noise(latent),
            samples,
            sampler,
            sigmas,
            denoise_mask=latent.get("noise_mask"),
            callback=callback,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=noise.seed,
        )
        out = out.to(comfy.model_management.intermediate_device())
        model = guider.model_patcher.model
        denoised = model.process_latent_out(last["x0"].cpu()) if "x0" in last else out
        return io.NodeOutput(
            latent | {"samples": out}, latent | {"samples": denoised}, *cls._found(settings.handle, latent, out, noise)
        )

    @classmethod
    def _found(cls, handle, latent, out, noise):
        """The best few latents, the winner's noise, the run."""
        if not handle.runs:
            return latent | {"samples": out}, noise, handle
        run = handle.choose(None)
        lanes = range(len(run.account.lanes))
        top = torch.cat([run.latent(lane, line) for lane in lanes for line in run.kept(lane)])
        return {"samples": top}, run.winner(), handle


class ScoreImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ScoreImages",
            display_name="Score Images",
            category=CATEGORY,
            description="Scores a batch of images with any verifier, and picks the best.",
            inputs=[
                io.Image.Input(
                    "images", tooltip="The images to compare; a verifier of ranks compares them with each other."
                ),
                sockets.Verifier.Input("verifier", tooltip="What is better."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="What the verifier compares images with.",
                ),
            ],
            outputs=[
                io.Float.Output(display_name="score"),
                io.Image.Output(display_name="best"),
                io.Int.Output(display_name="best_index"),
                io.String.Output(display_name="table"),
                sockets.Scores.Output(
                    display_name="scores", tooltip="Of each image: to Search Loop End, where the loop has a batch."
                ),
            ],
        )

    @classmethod
    def execute(cls, images, verifier, prompt=""):
        rows, values = score_images(images, verifier, prompt)
        best = int(values.nan_to_num(-torch.inf).argmax())
        picked, lines = images[best : best + 1], table(verifier, rows, values)
        return io.NodeOutput(float(values.mean()), picked, best, lines, Scores.of(verifier, values))


NODES = [SearchWithKSampler, SearchSampler, ScoreImages]
