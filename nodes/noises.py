"""Noises: the one that won, kept in a file, and loaded again."""

from comfy_api.latest import io, ui

from ..search import SearchError
from .host import noise_files
from .host.folder import inside, write
from .host.noise import RecipeNoise
from .results import CATEGORY, chosen, run_inputs

KEEP_BOTH, REPLACE = "keep both", "replace"


class WinnerNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_WinnerNoise",
            display_name="Winner Noise",
            category=CATEGORY,
            description="The noise that won, for SamplerCustomAdvanced, Search Sampler or Save Noise.",
            inputs=run_inputs(row="Which image of the latent batch the seed is of, counted from 0."),
            outputs=[
                io.Noise.Output(display_name="noise"),
                io.Int.Output(
                    display_name="seed",
                    tooltip="For a plain KSampler, where the winner was drawn by a seed: the report says so.",
                ),
            ],
        )

    @classmethod
    def execute(cls, run, after=None, which=0, row=0):
        run = chosen(run, after, which, row)
        noise = run.winner()
        return io.NodeOutput(noise, int(noise.recipes[row].seed), ui=ui.PreviewText(described(noise, row)))


def described(noise: RecipeNoise, row: int) -> str:
    """What can be done with a winner's noise."""
    recipe = noise.recipes[row]
    if recipe.moves:
        return "The winner lies on a path that this noise only begins: Search Sampler replays it, no other sampler can."
    if recipe.draw == "seed":
        return f"Seed {recipe.seed}: a plain KSampler with this seed gives the same image."
    return "No seed alone draws this noise: give it to SamplerCustomAdvanced, or keep it with Save Noise."


class SaveNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SaveNoise",
            display_name="Save Noise",
            category=CATEGORY,
            description="Keeps a winner's noise with its recipe as a .safetensors in the output folder's noise/.",
            inputs=[
                io.Noise.Input("noise", tooltip="From Winner Noise, Search Sampler or Load Noise."),
                io.String.Input(
                    "name",
                    default="winner",
                    optional=True,
                    tooltip="The file's name below output/noise/; / makes a folder in it.",
                ),
                io.Combo.Input(
                    "if_exists",
                    options=[KEEP_BOTH, REPLACE],
                    default=KEEP_BOTH,
                    optional=True,
                    tooltip="Where the name is taken: number the new file, or replace the old one.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, noise, name="winner", if_exists=KEEP_BOTH):
        if not isinstance(noise, RecipeNoise):
            raise SearchError(
                "Save Noise: this NOISE carries no recipe; connect the noise of Winner Noise, Search Sampler or Load "
                "Noise."
            )
        path = inside(noise_files.saved(), name, ".safetensors")
        written = write(path, noise_files.to_bytes(noise), replace=if_exists == REPLACE)
        return io.NodeOutput(ui=ui.PreviewText(f"Saved as {written}"))


class LoadNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_LoadNoise",
            display_name="Load Noise",
            category=CATEGORY,
            description="A noise kept by Save Noise, or drawn again from the recipe in a PNG saved after a search.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=noise_files.loadable(),
                    tooltip="Saved noises of output/noise/ and of the input folder, and the input folder's PNGs that "
                    "carry a recipe.",
                )
            ],
            outputs=[io.Noise.Output(display_name="noise"), io.Int.Output(display_name="seed")],
        )

    @classmethod
    def validate_inputs(cls, name):
        try:
            if name is not None:  # None where another node gives the name
                noise_files.place(name)
        except SearchError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, name):
        stat = noise_files.place(name).stat()
        return f"{name} {stat.st_mtime_ns} {stat.st_size}"

    @classmethod
    def execute(cls, name):
        noise = noise_files.read(noise_files.place(name))
        return io.NodeOutput(noise, noise.seed, ui=ui.PreviewText(described(noise, 0)))


NODES = [WinnerNoise, SaveNoise, LoadNoise]
