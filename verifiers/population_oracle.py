"""Population oracles: scores of a whole set of images, and which image the set gains most by.

    verifier = population_oracle(FrechetDistance(model, statistics))

Inception Score and Fréchet distance mean nothing of a single image. So an image is measured by the score of the
set it would make with the images chosen before; and among the candidates of a search the rule orders by a greedy
choice: first the one that makes the best set, then the one that goes best with it, and so on. The features that
this takes are kept in the raw rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from .clip_model import to_bytes
from .image_model import ImageModel, image_model
from .inception import Inception, inception
from .reference_statistics import Statistics
from .verifier import Verifier, VerifierError

PICKS, AMONG = 16, 64
"""The greedy choice takes the first 16, from the 64 that are best on their own; the rest stay in their own order."""
CHUNK = 64  # sets whose distance is computed together


class Oracle:
    """A measure of images: the score of `chosen` and the image, and behind it the image's features.

    InceptionScore and FrechetDistance say what the features are (`read`, `tail`) and what sets score (`sets`).

    model   Inception, or a DINOv2 or classifier as `image_model` opens it
    chosen  images [k, H, W, 3] in 0-1 that the new one joins, or None
    half    run in float16 on a GPU
    """

    reads = "images"

    def __init__(self, model: Inception | ImageModel, chosen: torch.Tensor | None = None, half: bool = False):
        self.model, self.half = model, half
        self.chosen = None if chosen is None else chosen[..., :3].cpu()
        digest = "" if chosen is None else hashlib.sha256(to_bytes(self.chosen).tobytes()).hexdigest()[:16]
        self.key = f"{self.name}|{model.key}|{digest}|{'half' if half else 'float'}"
        self.notes: list[str] = []
        self._chosen: torch.Tensor | None = None

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.model.module]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        features = self.read(images, device)
        sets, members, candidates = self._sets(features)
        return torch.cat([sets.scores(members, candidates)[:, None], features], dim=1)

    def rule(self, rows: torch.Tensor) -> torch.Tensor:
        """Values [n] of raw rows [n, 1 + tail]: minus the place in the greedy choice. Rows without features
        (images that are not finished) stand where their own number puts them; without any, the number counts."""
        own = rows[:, 0] * self.sign
        if rows.shape[1] == 1:
            return own
        order = own.argsort(descending=True, stable=True)
        finished = rows[order, 1:].isfinite().all(1).nonzero()[:, 0]
        best = order[finished[:AMONG]]
        order[finished[:AMONG]] = best[self.greedy(rows[best, 1:])]
        values = torch.empty(len(rows), dtype=torch.double)
        values[order] = -torch.arange(1.0, len(rows) + 1, dtype=torch.double)
        return values

    def greedy(self, features: torch.Tensor) -> list[int]:
        """The order in which a greedy choice takes candidates [n, tail] that come in order of their own number."""
        sets, members, left = self._sets(features)
        taken: list[int] = []
        while left and len(taken) < PICKS:
            best = 0  # the first is best on its own
            if taken:
                best = int((sets.scores(members + taken, left) * self.sign).argmax())
            taken.append(left.pop(best))
        return [place - len(members) for place in taken + left]

    def _sets(self, features: torch.Tensor) -> tuple:
        """What knows the scores of sets of the chosen and of these, and which are which."""
        chosen = self._features_of_chosen() if self.chosen is not None else features[:0]
        together = torch.cat([chosen.double(), features.double()])
        return self.sets(together), list(range(len(chosen))), list(range(len(chosen), len(together)))

    def _features_of_chosen(self) -> torch.Tensor:
        """Read once, where the network now is: a search that is only recalled never places it."""
        if self._chosen is None:
            device = next(self.model.module.parameters()).device
            with torch.no_grad():
                batches = [self.read(images, device) for images in self.chosen.split(16)]
            self._chosen = torch.cat(batches)
        return self._chosen


class InceptionScore(Oracle):
    """exp(mean KL(p(y|x) ‖ p(y))) over the set, 1 to the number of classes. Higher is better.

    An image alone is measured as if all classes were as frequent: by how sure its class is.
    Source: Salimans et al. 2016, "Improved Techniques for Training GANs".
    """

    name, sign = "Inception Score", 1

    @property
    def tail(self) -> int:
        return self.model.classes

    def read(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        return self.model.probabilities(images, device, self.half)

    def sets(self, probabilities: torch.Tensor) -> InceptionSets:
        return InceptionSets(probabilities)


class FrechetDistance(Oracle):
    """Fréchet distance of the set's features from the reference's, from 0. Lower is better.

    statistics  of the reference, made with the same model
    Raises VerifierError where they are of other features.
    Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule" (FID); Stein et al. 2023 (DINOv2).
    """

    name, sign = "Fréchet distance", -1

    def __init__(self, model, statistics: Statistics, chosen: torch.Tensor | None = None, half: bool = False):
        super().__init__(model, chosen, half)
        if len(statistics.mean) != model.size or statistics.kind not in ("", model.kind):
            raise VerifierError(
                f"{self.name}'s statistics are of {statistics.kind or 'features'} ({len(statistics.mean)} numbers), "
                f"and the model gives {model.kind} ({model.size}): choose the model that made them, or make others."
            )
        self.statistics = statistics
        digest = hashlib.sha256(statistics.mean.numpy().tobytes() + statistics.covariance.numpy().tobytes())
        self.key += f"|{digest.hexdigest()[:16]}"

    @property
    def tail(self) -> int:
        return self.model.size

    def read(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        return self.model.features(images, device, self.half)

    def sets(self, features: torch.Tensor) -> FrechetSets:
        return FrechetSets(features, self.statistics)


class InceptionSets:
    """Inception Scores of sets among n images with class probabilities [n, classes]."""

    def __init__(self, probabilities: torch.Tensor):
        self.p, self.entropies = probabilities, _entropy(probabilities)

    def scores(self, members: Sequence[int], candidates: Sequence[int]) -> torch.Tensor:
        """[c] of the members together with each candidate. log IS = H(mean p) − mean H(p)."""
        p, entropies = self.p[candidates], self.entropies[candidates]
        if not members:
            return torch.exp(torch.tensor(p.shape[1]).log() - entropies)
        k = len(members) + 1
        mean = (self.p[members].sum(0) + p) / k
        return torch.exp(_entropy(mean) - (self.entropies[members].sum() + entropies) / k)


def _entropy(p: torch.Tensor) -> torch.Tensor:
    return -torch.special.xlogy(p, p).sum(-1)


class FrechetSets:
    """Fréchet distances of sets among n images with features [n, d].

    |μ − μ_r|² + tr Σ + tr Σ_r − 2 tr (Σ Σ_r)^½. With A the k centred features over √(k − 1), Σ = AᵀA, and Σ Σ_r has
    the eigenvalues of A Σ_r Aᵀ (and zeros): so two products of each pair of images are all that is needed, and
    nothing larger than the set is decomposed.
    """

    def __init__(self, features: torch.Tensor, reference: Statistics):
        x = features - reference.mean
        self.plain = x @ x.T
        self.weighted = x @ reference.covariance @ x.T
        self.trace = reference.covariance.trace()

    def scores(self, members: Sequence[int], candidates: Sequence[int]) -> torch.Tensor:
        """[c] of the members together with each candidate."""
        sets = torch.tensor([[*members, candidate] for candidate in candidates], dtype=torch.long)
        return torch.cat([self._distances(chunk) for chunk in sets.split(CHUNK)])

    def _distances(self, sets: torch.Tensor) -> torch.Tensor:
        """[c] for the places [c, k] of the images in each set. One image has no covariance."""
        k = sets.shape[1]
        plain, weighted = (gram[sets[:, :, None], sets[:, None, :]] for gram in (self.plain, self.weighted))
        mean = plain.mean((1, 2))
        if k == 1:
            return mean + self.trace
        spread = (plain.diagonal(dim1=1, dim2=2).sum(1) - k * mean) / (k - 1)
        centre = torch.eye(k, dtype=torch.double) - 1 / k
        eigen = torch.linalg.eigvalsh(centre @ weighted @ centre / (k - 1))
        eigen = torch.where(eigen > 1e-13 * eigen[:, -1:], eigen, 0)  # the roots of what is only rounding would add up
        return mean + spread + self.trace - 2 * eigen.sqrt().sum(1)


def population_model(path: Path | str, classify: bool) -> Inception | ImageModel:
    """An Inception v3 file, or a folder of DINOv2 (of an image classifier, to `classify`)."""
    return image_model(path, classify) if Path(path).is_dir() else inception(path)


def population_oracle(measure: Oracle) -> Verifier:
    """The verifier whose rule is the greedy choice."""
    return Verifier((measure,), measure.rule, (True,), True, measure.key)
