"""Algorithms that search the initial noise, and the budget of all algorithms."""

from comfy_api.latest import io

from ..search import Budget, SearchError
from ..search.algorithms import (
    AutoSearch,
    CoarseToFineSearch,
    EvolutionarySearch,
    RandomSearch,
    ScreenedSearch,
    SpectralSearch,
    ZeroOrderSearch,
)
from ..search.budget import DEFAULT
from . import sockets
from .algorithm_face import (
    CATEGORY,
    GOES_ON,
    UNREAD,
    chained,
    check_unread,
    closeness,
    face,
    given,
    share,
    weight,
    whole,
)


class RandomSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_RandomSearch",
            "Random Search",
            "Best of N: sample independent noises, keep the best image. The measure of all other searches.",
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None):
        return chained(RandomSearch(**given(candidates)), budget, after)


class ZeroOrderSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_ZeroOrderSearch",
            "Zero-Order Search",
            "Refine a noise: try neighbours of the best so far, move to the best of them, repeat.",
            io.Int.Input(
                "neighbours",
                default=4,
                min=1,
                max=256,
                optional=True,
                tooltip="N: neighbours tried around a pivot before it moves.",
            ),
            io.Int.Input(
                "restart_after",
                default=0,
                min=0,
                max=1000,
                optional=True,
                tooltip="After this many rounds without a better neighbour, go on from a fresh noise. 0: never. The "
                "best seen is kept either way.",
            ),
            after=GOES_ON,
        )

    @classmethod
    def execute(cls, neighbours=4, restart_after=0, candidates=None, budget=None, after=None):
        algorithm = ZeroOrderSearch(neighbours, restart_after=restart_after, **given(candidates))
        return chained(algorithm, budget, after)


class EvolutionarySearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_EvolutionarySearch",
            "Evolutionary Search",
            "Generations of noises: the best so far have mutated children, and a few newcomers join.",
            whole("population", 4, "Candidates of a generation."),
            whole("elites", 1, "The best so far that have children."),
            io.Float.Input(
                "mutation",
                default=0.5,
                min=0.001,
                max=1.0,
                step=0.05,
                round=0.001,
                optional=True,
                tooltip="How far a child is from its parent. 0.3 keeps the composition, 1 keeps nothing.",
            ),
            io.Float.Input(
                "newcomers",
                default=0.25,
                min=0.0,
                max=0.99,
                step=0.05,
                round=0.001,
                optional=True,
                tooltip="Share of a generation that is drawn afresh, by the candidates block.",
            ),
            weight(
                "diversity",
                0.0,
                "With 2 or more elites: how much it counts that their noises differ. 0: the best are the "
                "parents, however alike. 0.3 keeps several families going.",
            ),
            later=(
                io.String.Input(
                    "mid_path",
                    default="",
                    optional=True,
                    tooltip="Shares of the sampling steps, such as 0.3, 0.6, at which half-finished images are mutated "
                    "too, generation by generation. Empty: noises alone, which every sampler can do.",
                ),
            ),
            after=GOES_ON,
        )

    @classmethod
    def execute(cls, mid_path="", candidates=None, budget=None, after=None, **settings):
        settings = settings | {"mid_path": _shares(mid_path)} | given(candidates)
        return chained(EvolutionarySearch(**settings), budget, after)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.replace(",", " ").split()))
    except ValueError as error:
        raise SearchError(
            f"Evolutionary Search: mid_path is {text[:80]!r}; write shares of the sampling steps such as 0.3, 0.6, or "
            "leave it empty."
        ) from error


class SpectralSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_SpectralSearch",
            "Spectral Search",
            "Learns which coarse layouts score well: a Gaussian over the noise's lowest frequencies is fitted to "
            "the best and drawn from again.",
            whole("population", 10, "Candidates of a generation."),
            whole("elites", 5, "The best so far that the Gaussian is fitted to."),
            whole("levels", 4, "The band is what is constant over blocks of 2^levels latent pixels.", most=12),
            share("preview", 0.15, "Steps after which candidates are scored, as a share. The best one is finished."),
            candidates=UNREAD,
            after=GOES_ON,
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None, **settings):
        check_unread(SpectralSearch.name, candidates)
        return chained(SpectralSearch(**settings), budget, after)


class CoarseToFineSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_CoarseToFineSearch",
            "Coarse-to-Fine Search",
            "Settle the layout first: try other noise in the lowest frequencies, keep the best, go on to finer ones.",
            whole("levels", 4, "The lowest band is what is constant over blocks of 2^levels latent pixels.", most=12),
            whole("per_band", 2, "Candidates in each band."),
            closeness("cosine", 0.0, "Nearness of a candidate's band to the best one's. 0 draws it anew."),
            closeness("refine", 0.8, "The same once all bands have had their turn and it begins again."),
            candidates=UNREAD,
            after=GOES_ON,
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None, **settings):
        check_unread(CoarseToFineSearch.name, candidates)
        return chained(CoarseToFineSearch(**settings), budget, after)


class AutoSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_AutoSearch",
            "Auto Search",
            "Say how much to spend, and it finds out how: it measures in the run what pays, new noises judged early or "
            "children of the best, and says in the report what it did and why.",
            io.Boolean.Input(
                "measure",
                default=True,
                optional=True,
                tooltip="Choose by what the run shows. Off: a fixed plan, to compare with.",
            ),
        )

    @classmethod
    def execute(cls, measure=True, candidates=None, budget=None, after=None):
        return chained(AutoSearch(measure=measure, **given(candidates)), budget, after)


class ScreenedSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_ScreenedSearch",
            "Screened Search",
            "Random search that learns, while it runs, to tell from a noise alone whether its image will be good, and "
            "samples those that promise most. Where the noise tells nothing, it is random search and says so.",
            whole("drawn", 16, "Noises drawn for each that is sampled, once screening is on. Drawing is cheap."),
        )

    @classmethod
    def execute(cls, drawn=16, candidates=None, budget=None, after=None):
        return chained(ScreenedSearch(drawn=drawn, **given(candidates)), budget, after)


class SearchBudget(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_SearchBudget",
            display_name="Search Budget",
            category=CATEGORY,
            description="How much a search may spend. The first limit reached ends it; 0 means no limit of that kind.",
            inputs=[
                io.Int.Input(
                    "images",
                    default=DEFAULT.images,
                    min=0,
                    max=1_000_000,
                    optional=True,
                    tooltip="Full samplings of the latent. 1 is the plain image, without a search.",
                ),
                io.Int.Input(
                    "evaluations",
                    default=0,
                    min=0,
                    max=1_000_000_000,
                    optional=True,
                    tooltip="Evaluations of the denoiser, counted for each image of a latent batch: 20 steps of euler "
                    "on a batch of 1 are 20. Exact where `images` is coarse.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=1_000_000.0,
                    step=1.0,
                    optional=True,
                    tooltip="Wall time. May be overrun by the images in flight.",
                ),
                io.Boolean.Input(
                    "use_target", default=False, optional=True, tooltip="Stop as soon as `target_score` is reached."
                ),
                io.Float.Input(
                    "target_score",
                    default=0.0,
                    min=-1e9,
                    max=1e9,
                    step=0.01,
                    round=0.000001,
                    optional=True,
                    tooltip="Score to stop at, where use_target is on. For verifiers whose score does not depend on "
                    "the other candidates.",
                ),
                io.Int.Input(
                    "patience",
                    default=0,
                    min=0,
                    max=1_000_000,
                    optional=True,
                    tooltip="Stop after this many images in a row that brought nothing better.",
                ),
                io.Float.Input(
                    "worth",
                    default=0.0,
                    min=0.0,
                    max=1e9,
                    step=0.001,
                    round=0.000001,
                    optional=True,
                    tooltip="Stop when another image is expected to raise the best score by less than this. For "
                    "verifiers whose score does not depend on the other candidates.",
                ),
            ],
            outputs=[sockets.Budget.Output(display_name="budget")],
        )

    @classmethod
    def execute(cls, images=DEFAULT.images, use_target=False, target_score=0.0, **limits):
        return io.NodeOutput(Budget(images, target=target_score if use_target else None, **limits))


NODES = [
    RandomSearchNode,
    ZeroOrderSearchNode,
    EvolutionarySearchNode,
    SpectralSearchNode,
    CoarseToFineSearchNode,
    AutoSearchNode,
    ScreenedSearchNode,
    SearchBudget,
]
