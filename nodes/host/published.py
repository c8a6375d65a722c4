"""Models that a block's `download` input can fetch: from where, at which commit, under which licence.

Only what is pinned to a commit is here: a branch such as main is no pin, since what it names can change. Anything
else is put into the model folders by hand. The commits are the ones that public projects pin or have cached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Source:
    """Files of one repository.

    revision  the commit, 40 hex digits
    files     their names, or patterns of them (`*.json`)
    sha256    of a file, where it is known; of the others the hub's own word is taken
    """

    repo: str
    revision: str
    files: tuple[str, ...]
    licence: str
    sha256: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if not re.fullmatch("[0-9a-f]{40}", self.revision):
            raise ValueError(f"{self.repo}: {self.revision!r} is no commit")

    @property
    def url(self) -> str:
        return f"{HUB}/{self.repo}/tree/{self.revision}"


@dataclass(frozen=True)
class Published:
    """One model: a folder called `name` with the files of all sources, or, where `name` is a file's, that file."""

    name: str
    gigabytes: float
    sources: tuple[Source, ...]

    @property
    def is_file(self) -> bool:
        return self.name.endswith((".pt", ".pth", ".safetensors"))

    @property
    def licences(self) -> str:
        return ", ".join(dict.fromkeys(source.licence for source in self.sources))

    @property
    def size(self) -> str:
        return f"{self.gigabytes:g} GB" if self.gigabytes >= 0.1 else f"{1000 * self.gigabytes:.0f} MB"


CODE_ONLY = "MIT for the code, none named for the weights"
CONFIGS = ("*.json", "merges.txt")
WEIGHTS = "model.safetensors"

CLIP_B32 = Published(
    "CLIP-ViT-B-32-laion2B-s34B-b79K",
    0.6,
    (
        Source(
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            "1a25a446712ba5ee05982a381eed697ef9b435cf",
            ("open_clip_config.json", "open_clip_model.safetensors"),
            "MIT",
            {"open_clip_model.safetensors": "ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6"},
        ),
    ),
)
CLIP_L14 = Published(
    "clip-vit-large-patch14",
    1.7,
    (
        Source(
            "openai/clip-vit-large-patch14",
            "32bd64288804d66eefd0ccbe215aa642df71cc41",
            (*CONFIGS, WEIGHTS),
            CODE_ONLY,
            {WEIGHTS: "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb"},
        ),
    ),
)
PICKSCORE_V1 = Published(
    "PickScore_v1",
    3.9,
    (
        Source(
            "yuvalkirstain/PickScore_v1",
            "a4e4367c6dfa7288a00c550414478f865b875800",
            (*CONFIGS, WEIGHTS),
            CODE_ONLY,
        ),
    ),
)
HPS_V21, HPS_V2 = (
    Published(name, 2.0, (Source("xswu/HPSv2", "697403c78157020a1ae59d23f111aa58ced35b0a", (name,), "Apache-2.0"),))
    for name in ("HPS_v2.1_compressed.pt", "HPS_v2_compressed.pt")
)
IMAGE_REWARD_V1 = Published(
    "ImageReward",
    1.8,
    (
        Source(
            "zai-org/ImageReward",
            "5736be03b2652728fb87788c9797b0570450ab72",
            ("ImageReward.pt", "med_config.json"),
            "Apache-2.0",
        ),
        Source(
            "google-bert/bert-base-uncased",
            "86b5e0934494bd15c9632b12f734a8a67f723594",
            ("vocab.txt",),
            "Apache-2.0",
        ),
    ),
)
LAION_V2 = Published(
    "sac+logos+ava1-l14-linearMSE.pth",
    0.0037,
    (
        Source(
            "trl-lib/ddpo-aesthetic-predictor",
            "cf4bd10345610935a80a5d3be9a3133c50f121e4",
            ("aesthetic-model.pth",),
            "Apache-2.0",
            {"aesthetic-model.pth": "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"},
        ),
    ),
)
_DINOV2_FILES = ("config.json", "preprocessor_config.json", WEIGHTS)
DINOV2_CLASSIFIER = Published(
    "dinov2-base-imagenet1k-1-layer",
    0.35,
    (
        Source(
            "facebook/dinov2-base-imagenet1k-1-layer",
            "e9c8455b1927ccb9d5ff7f272de31f230fac233f",  # not on main, which has no .safetensors
            _DINOV2_FILES,
            "Apache-2.0",
        ),
    ),
)
DINOV2 = Published(
    "dinov2-base",
    0.35,
    (Source("facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", _DINOV2_FILES, "Apache-2.0"),),
)
_JUDGE_FILES = (*CONFIGS, "*.jinja", "model*.safetensors")
JUDGES = tuple(
    Published(repo.split("/")[1], gigabytes, (Source(repo, revision, _JUDGE_FILES, "Apache-2.0"),))
    for repo, revision, gigabytes in (
        ("HuggingFaceTB/SmolVLM-Instruct", "81cd9a775a4d644f2faf4e7becff4559b46b14c7", 4.5),
        ("Qwen/Qwen2-VL-2B-Instruct", "895c3a49bc3fa70a340399125c650a463535e71c", 4.4),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "cc594898137f460bfe9f0759e9844b3ce807cfb5", 16.6),
    )
)
