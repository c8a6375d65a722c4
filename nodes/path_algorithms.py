"""Algorithms that search along the denoising path: they branch, drop and resume half-finished images."""

from comfy_api.latest import io

from ..search.algorithms import (
    BacktrackingSearch,
    ParticleSearch,
    RolloverSearch,
    SearchOverPaths,
    SuccessiveHalving,
    TreeSearch,
)
from ..search.algorithms.particles import CHOICES, PRESETS
from ..search.algorithms.rollover import CONVERSIONS
from .algorithm_face import GOES_ON, chained, closeness, face, given, share, weight, whole


class SearchOverPathsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_SearchOverPaths",
            "Search over Paths",
            "Branch half-finished images: re-noise a little, denoise further, keep the best branches, until done.",
            io.Int.Input("paths", default=2, min=1, max=64, optional=True, tooltip="N: states kept at every stop."),
            io.Int.Input(
                "branches", default=4, min=1, max=64, optional=True, tooltip="M: re-noised copies of each state."
            ),
            share("first_stop", 0.45, "Steps before the first branching, as a share of the sampling steps."),
            share("forward", 0.09, "Steps that a state is re-noised by, as a share of the sampling steps."),
            share("backward", 0.27, "Steps that it is then denoised by, as a share; more than forward."),
            later=(
                whole("rounds", 1, "Rounds of branches at every stop. 2 or more: later ones are drawn near the best."),
                weight(
                    "explore",
                    0.4,
                    "With 2 or more rounds: share of the later branches whose noise is drawn afresh. At the "
                    "first and the last stop all are.",
                ),
                closeness("cosine", 0.95, "Nearness of the others' noise to that of the best branch so far."),
            ),
            after=GOES_ON,
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None, **settings):
        algorithm = SearchOverPaths(**settings, **given(candidates))
        return chained(algorithm, budget, after)


class SuccessiveHalvingNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_SuccessiveHalving",
            "Successive Halving",
            "Begin many images, judge them early, finish only the best. It pays where early scores can be trusted.",
            whole("width", 16, "Candidates begun in one round."),
            share("keep", 0.25, "Share of the candidates that passes each cut."),
            whole("cuts", 2, "How many cuts there are.", most=16),
            share("first_stop", 0.125, "Steps before the first cut, as a share of the sampling steps."),
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None, **settings):
        return chained(SuccessiveHalving(**settings, **given(candidates)), budget, after)


class ParticleSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def choice(name: str, default: str, options, tooltip: str) -> io.Input:
            return io.Combo.Input(name, options=list(options), default=default, optional=True, tooltip=tooltip)

        return face(
            "NS_ParticleSearch",
            "Particle Search",
            "Several images go down together; at every stop the good ones have children and the poor ones have none.",
            choice(
                "preset",
                "custom",
                ("custom", *PRESETS),
                "A published method. It sets the inputs from tempering to funnel that are its own; custom sets none.",
            ),
            whole("particles", 8, "Images that go down together, at the first stop."),
            whole("stops", 4, "How often they are scored and resampled, at equal shares of the steps.", most=64),
            choice(
                "tempering",
                "increasing",
                CHOICES["tempering"],
                "How sharply scores choose: always alike, more as the noise falls, or all children to the best.",
            ),
            choice(
                "score",
                "current",
                CHOICES["score"],
                "The score at this stop, how much it rose since the last, or the highest so far.",
            ),
            choice("resampler", "ssp", CHOICES["resampler"], "How numbers of children are drawn. ssp is the evenest."),
            io.Float.Input(
                "strength",
                default=10.0,
                min=0.01,
                max=1000.0,
                step=0.5,
                round=0.001,
                optional=True,
                tooltip="How sharply scores choose: a score one standard deviation higher makes exp(strength) times "
                "the children.",
            ),
            io.Float.Input(
                "resample_below",
                default=1.0,
                min=0.01,
                max=1.0,
                step=0.05,
                round=0.001,
                optional=True,
                tooltip="Resample only where the effective number of particles fell to this share. 1: at every stop.",
            ),
            io.Float.Input(
                "funnel",
                default=1.0,
                min=0.01,
                max=1.0,
                step=0.05,
                round=0.001,
                optional=True,
                tooltip="Particles at the last stop, as a share of those at the first. Below 1: many early, few late.",
            ),
            share("renoise", 0.05, "Steps by which children are noised again so that they differ, as a share."),
            later=(
                weight(
                    "diversity",
                    0.0,
                    "How much it counts that images differ. 0: all may descend from one noise, however alike. "
                    "0.5: at most half of them. 1: each has a noise of its own.",
                ),
            ),
        )

    @classmethod
    def execute(cls, preset="custom", candidates=None, budget=None, after=None, **settings):
        settings = settings | PRESETS.get(preset, {}) | given(candidates)
        return chained(ParticleSearch(**settings), budget, after)


class RolloverSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_RolloverSearch",
            "Rollover Search",
            "Begin with the best of many noises, then improve it leg by leg: the first child that is better is "
            "taken at once.",
            whole("noises", 25, "Fresh noises that are judged after one step."),
            whole("legs", 5, "In how many legs the way down is cut.", most=64),
            whole("quota", 4, "Children of a leg. What a leg does not use, the next may."),
            share("renoise", 0.05, "Steps by which children are noised again so that they differ, as a share."),
            later=(
                io.Combo.Input(
                    "conversion",
                    options=list(CONVERSIONS),
                    default=RolloverSearch.conversion,
                    optional=True,
                    tooltip="How far children are noised again. none: by renoise. The others: as far as the published "
                    "variance-preserving SDE goes, or a stronger one; legs are then equal in its time.",
                ),
            ),
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None, **settings):
        return chained(RolloverSearch(**settings, **given(candidates)), budget, after)


class BacktrackingSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_BacktrackingSearch",
            "Backtracking Search",
            "Denoise one image at a time; where it does not look good enough half-way, noise it again and try "
            "another way.",
            whole("stops", 3, "How often the image is judged on its way, at equal shares of the steps.", most=64),
            whole("tries", 8, "Ways down to a stop at most, before the best of them goes on."),
            share("back", 0.1, "Steps that it goes back by, as a share."),
            weight(
                "quantile",
                0.75,
                "Good enough is what is better than this share of all seen at the same stop.",
            ),
            io.Boolean.Input(
                "use_threshold", default=False, optional=True, tooltip="Good enough is `threshold` instead."
            ),
            io.Float.Input(
                "threshold",
                default=0.0,
                min=-1e9,
                max=1e9,
                step=0.01,
                round=0.000001,
                optional=True,
                tooltip="Score that is good enough at every stop, where use_threshold is on.",
            ),
        )

    @classmethod
    def execute(cls, use_threshold=False, threshold=0.0, candidates=None, budget=None, after=None, **settings):
        settings["threshold"] = threshold if use_threshold else None
        return chained(BacktrackingSearch(**settings, **given(candidates)), budget, after)


class TreeSearchNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return face(
            "NS_TreeSearch",
            "Tree Search",
            "Grows a tree of half-finished images and finishes branches of the promising ones; only finished "
            "images are scored.",
            whole("stops", 3, "Depths at which branches may part, at equal shares of the steps.", most=64),
            io.Float.Input(
                "widening",
                default=0.5,
                min=0.01,
                max=1.0,
                step=0.05,
                round=0.001,
                optional=True,
                tooltip="How fast branches multiply with visits. Larger: wider, smaller: deeper.",
            ),
            io.Float.Input(
                "strength",
                default=5.0,
                min=0.01,
                max=1000.0,
                step=0.5,
                round=0.001,
                optional=True,
                tooltip="How much of a branch's value is its best image: large, the best; small, the average.",
            ),
            io.Float.Input(
                "exploration",
                default=0.3,
                min=0.0,
                max=100.0,
                step=0.1,
                round=0.001,
                optional=True,
                tooltip="Bonus of branches that were seldom visited.",
            ),
            whole("rollouts", 4, "Images finished together, before their scores are known."),
            share("renoise", 0.05, "Steps by which a branch is noised again so that it differs, as a share."),
        )

    @classmethod
    def execute(cls, candidates=None, budget=None, after=None, **settings):
        return chained(TreeSearch(**settings, **given(candidates)), budget, after)


NODES = [
    SearchOverPathsNode,
    SuccessiveHalvingNode,
    ParticleSearchNode,
    RolloverSearchNode,
    BacktrackingSearchNode,
    TreeSearchNode,
]
