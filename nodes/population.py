"""Verifier block for scores of whole sets of images. What it measures is in `verifiers/population_oracle.py`."""

from comfy_api.latest import io

from ..verifiers import FrechetDistance, InceptionScore, VerifierError, population_model, population_oracle
from ..verifiers.reference_statistics import read
from .host.model_files import NO_DOWNLOAD, POPULATION, STATISTICS
from .verifier_face import download, face, half_precision, installed

FRECHET, INCEPTION = SCORES = ("Fréchet distance", "Inception Score")


class PopulationOracleNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_PopulationOracle",
            "Population Oracle",
            "Scores of a set of images: the Fréchet distance from a reference (FID), or the Inception Score. Orders "
            "candidates by a greedy choice: which one the set gains most by. Does not read the prompt.",
            io.Combo.Input(
                "score",
                options=list(SCORES),
                default=FRECHET,
                optional=True,
                tooltip="Fréchet distance: how far the set is from reference images; lower is better. Inception Score: "
                "how sure and how varied the classes are; higher is better.",
            ),
            installed(
                POPULATION,
                "Whose features: an Inception v3 file (FID's, or torchvision's) or a DINOv2 folder, in "
                "models/noise_search or clip_vision. For the Inception Score: Inception, or an image classifier.",
            ),
            installed(
                STATISTICS,
                "For the Fréchet distance: mean and covariance of the reference images' features, an .npz in "
                "models/noise_search. `python run.py statistics` makes one of a folder.",
                name="statistics",
                optional=True,
            ),
            io.Image.Input(
                "chosen",
                optional=True,
                tooltip="Images already chosen, which the new one joins. Without it, candidates are judged alone, and "
                "then by how well they go together.",
            ),
            half_precision(),
            download(POPULATION),
        )

    @classmethod
    def validate_inputs(cls, score=FRECHET, model=None, statistics=None, download=NO_DOWNLOAD):
        missing = POPULATION.check(model, download)
        return STATISTICS.check(statistics) if missing is True and score == FRECHET else missing

    @classmethod
    def fingerprint_inputs(cls, score=FRECHET, model=None, statistics=None, download=NO_DOWNLOAD, **others):
        return POPULATION.fingerprint(model, download), STATISTICS.fingerprint(statistics) if score == FRECHET else None

    @classmethod
    def execute(
        cls, model, score=FRECHET, statistics="", chosen=None, half_precision=False, download=NO_DOWNLOAD
    ) -> io.NodeOutput:
        if score not in SCORES:
            raise VerifierError(f"Population Oracle's score is {score!r}: choose one of {', '.join(SCORES)}.")
        network = population_model(POPULATION.path(model, download), classify=score == INCEPTION)
        if score == INCEPTION:
            return io.NodeOutput(population_oracle(InceptionScore(network, chosen, half_precision)))
        reference = read(STATISTICS.path(statistics))
        return io.NodeOutput(population_oracle(FrechetDistance(network, reference, chosen, half_precision)))


NODES = [PopulationOracleNode]
