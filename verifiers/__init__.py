"""Which image is better: verifiers, without ComfyUI and without a search. The contract is `verifier.py`."""

from .aesthetic import Aesthetic
from .class_probability import ClassProbability
from .clip_iqa import CLIPIQA
from .clip_score import CLIPScore
from .combine import CONSTRAINT, MEAN_RANK, MINIMUM, PRODUCT, RULES, Z_SUM, combine
from .endpoint import Endpoint
from .hps import HPSv2
from .human_pick import HumanPick
from .image_reward import ImageReward
from .image_statistics import STATISTICS, ImageStatistic
from .local_model import LocalModel
from .pick_score import PickScore
from .population_oracle import FrechetDistance, InceptionScore, population_model, population_oracle
from .prompt_checklist import PromptChecklist
from .reference_match import ColourMatch, ReferenceMatch
from .region import Box, region
from .self_consistency import SelfConsistency
from .verifier import Measure, Rule, Verifier, VerifierError
from .vlm_judge import VLMJudge
from .watch import watch
from .zero_shot_class import ZeroShotClass

__all__ = [
    "CONSTRAINT", "MEAN_RANK", "MINIMUM", "PRODUCT", "RULES", "STATISTICS", "Z_SUM",
    "Aesthetic", "CLIPIQA", "CLIPScore", "ClassProbability", "ColourMatch", "FrechetDistance", "HPSv2", "HumanPick",
    "ImageReward", "ImageStatistic", "InceptionScore", "PickScore", "PromptChecklist", "ReferenceMatch",
    "SelfConsistency", "VLMJudge", "ZeroShotClass",
    "Box", "Endpoint", "LocalModel", "Measure", "Rule", "Verifier", "VerifierError", "combine",
    "population_model", "population_oracle", "region", "watch",
]  # fmt: skip
