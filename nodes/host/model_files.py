"""Which verifier models are installed, and where: ComfyUI's model folders and one of our own.

`folder_paths` does the looking, so extra_model_paths.yaml counts. A name is the folder's, a slash, and the
path inside it ("clip_vision/my-clip"), and only names that are listed can be opened.
"""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ...verifiers import VerifierError
from ...verifiers.clip_model import TRANSFORMERS_TYPES
from ...verifiers.image_model import FEATURE_TYPES, classifies
from ...verifiers.image_reward import SOURCE as IMAGE_REWARD_SOURCE
from ...verifiers.local_model import answers_about_images
from ...verifiers.reference_statistics import holds_statistics
from ...verifiers.weights import fingerprint, shapes
from . import published
from .download import fetch
from .published import Published

OWN = "noise_search"
FOLDERS = (OWN, "clip_vision", "text_encoders")
NO_DOWNLOAD = "no"


@dataclass(frozen=True)
class Models:
    """The installed models of one sort, as a node lists and opens them.

    what     a model of this sort in words: "CLIP model"
    put      what to put where, for the error; {where} is models/clip_vision, {own} models/noise_search
    fits     whether a file or a folder is one, told without loading it
    sign     what its name must contain, where nothing else tells it from another model
    offered  those that can be downloaded
    """

    what: str
    put: str
    fits: Callable[[Path], bool]
    sign: str = ""
    offered: tuple[Published, ...] = ()

    @property
    def none(self) -> str:
        return f"no {self.what} installed"

    def names(self) -> list[str]:
        """For a combo: never empty."""
        return list(self.installed()) or [self.none]

    @property
    def downloads(self) -> list[str]:
        """For a combo: not to download, then what can be."""
        return [NO_DOWNLOAD, *(model.name for model in self.offered)]

    def path(self, name: str, download: str = NO_DOWNLOAD) -> Path:
        """Where the model of this name is, or the one to download, which is fetched unless it is there.

        Raises VerifierError, saying what goes where, for any other name, and when a download fails.
        """
        if download != NO_DOWNLOAD:
            wanted = self._wanted(download)
            return self._there(wanted) or fetch(wanted, Path(folder_paths.get_folder_paths(OWN)[0]))
        found = self.installed()
        if name in found:
            return found[name]
        cause = f"No {self.what} is installed"
        if name != self.none:
            cause = f"The {self.what} {name!r} is not installed, or is not a whole one"
        where, own = (os.path.join(folder_paths.models_dir, folder) for folder in ("clip_vision", OWN))
        put = self.put.format(where=where, own=own)
        choose = ", or choose it in this block's download input" if self.offered else ""
        raise VerifierError(f"{cause}: put {put} and press R{choose}.")

    def check(self, name: str | None, download: str | None = NO_DOWNLOAD) -> bool | str:
        """For validate_inputs: whether the name can be opened, or why not. What is linked is not known yet, and
        nothing is downloaded to find out."""
        try:
            if download not in (None, NO_DOWNLOAD):
                return bool(self._wanted(download))
            return name is None or download is None or bool(self.path(name))
        except VerifierError as cause:
            return str(cause)

    def fingerprint(self, name: str | None, download: str | None = NO_DOWNLOAD) -> str | None:
        """For fingerprint_inputs: a file replaced under the same name is another model."""
        try:
            if download not in (None, NO_DOWNLOAD):
                there = self._there(self._wanted(download))
                return fingerprint(there) if there else f"{download}, to be downloaded"
            return None if name is None else fingerprint(self.path(name))
        except VerifierError as cause:
            return str(cause)

    def _wanted(self, download: str) -> Published:
        for model in self.offered:
            if model.name == download:
                return model
        raise VerifierError(f"download is {download!r}: choose one of {', '.join(self.downloads)}.")

    def _there(self, wanted: Published) -> Path | None:
        """Where it is installed under its published name, whoever put it there."""
        return next((path for name, path in self.installed().items() if name.split("/")[-1] == wanted.name), None)

    def installed(self) -> dict[str, Path]:
        """Name to path of every model of this sort: single files and whole folders."""
        found = {}
        for category in FOLDERS:
            for relative in folder_paths.get_filename_list(category):
                file = folder_paths.get_full_path(category, relative)
                if file is None:
                    continue
                file, inside = Path(file), Path(relative)
                if inside.parts[0].startswith("."):  # a download on its way
                    continue
                if len(inside.parts) > 1 and self.fits(file.parent):
                    file, inside = file.parent, inside.parent
                elif not self.fits(file):
                    continue
                if self.sign in inside.as_posix().lower():
                    found.setdefault(f"{category}/{inside.as_posix()}", file)
        return dict(sorted(found.items()))


def register_own_folder() -> None:
    """Make models/noise_search known to ComfyUI, beside any that extra_model_paths.yaml names."""
    folder_paths.add_model_folder_path(OWN, os.path.join(folder_paths.models_dir, OWN))
    paths, extensions = folder_paths.folder_names_and_paths[OWN]
    folder_paths.folder_names_and_paths[OWN] = (paths, extensions | folder_paths.supported_pt_extensions | {".npz"})


def _is_clip(path: Path) -> bool:
    """A folder by its config; a file by its tensors, but pickles are not opened to be listed."""
    if path.is_dir():
        return (path / "open_clip_config.json").is_file() or _config_of(path).get("model_type") in TRANSFORMERS_TYPES
    if path.suffix == ".safetensors":
        return {"visual.proj", "token_embedding.weight"} <= _tensors(path, path.stat().st_mtime_ns)
    return path.suffix in (".pt", ".pth") and not _is_other(path)


def _is_other(path: Path) -> bool:
    """A pickle whose name says that it is another verifier's."""
    return _is_aesthetic_head(path) or _is_inception(path) or path.stem == "ImageReward"


def _is_inception(path: Path) -> bool:
    """A file by its tensors, a pickle by its name."""
    if path.suffix == ".safetensors":
        return {"fc.weight", "Mixed_7c.branch_pool.conv.weight"} <= _tensors(path, path.stat().st_mtime_ns)
    return path.suffix in (".pt", ".pth") and "inception" in path.name.lower()


def is_classifier(path: Path) -> bool:
    return classifies(_config_of(path))


def _is_aesthetic_head(path: Path) -> bool:
    if path.is_dir():
        return False
    if path.suffix == ".safetensors":
        first = {"layers.0.weight", "scoring_head.0.weight"}
        return not first.isdisjoint(_tensors(path, path.stat().st_mtime_ns))
    named = any(word in path.name.lower() for word in ("aesthetic", "linearmse"))
    return path.suffix in (".pt", ".pth") and named


def _config_of(folder: Path) -> dict:
    config = folder / "config.json"
    return _config(config, config.stat().st_mtime_ns) if config.is_file() else {}


@functools.lru_cache(maxsize=256)
def _config(file: Path, changed: int) -> dict:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@functools.lru_cache(maxsize=1024)
def _tensors(file: Path, changed: int) -> frozenset[str]:
    """Names of the tensors in a .safetensors file."""
    try:
        return frozenset(shapes(file))
    except VerifierError:
        return frozenset()


CLIP = Models(
    "CLIP model",
    "an open_clip .safetensors file with both halves, or a CLIP folder (config, weights, tokenizer), in {where}",
    _is_clip,
    offered=(published.CLIP_B32, published.CLIP_L14),
)
PICKSCORE = Models(
    "PickScore model",
    "model.safetensors, the .json files and merges.txt of huggingface.co/yuvalkirstain/PickScore_v1 (MIT for the "
    "code, no licence named for the weights) in a folder {where}/PickScore_v1",
    _is_clip,
    sign="pickscore",
    offered=(published.PICKSCORE_V1,),
)
HPS = Models(
    "HPSv2 model",
    "HPS_v2.1_compressed.pt or HPS_v2_compressed.pt from huggingface.co/xswu/HPSv2 (Apache-2.0) in {where}",
    lambda path: path.is_file() and _is_clip(path),
    sign="hps",
    offered=(published.HPS_V21, published.HPS_V2),
)
CLASSIFIER = Models(
    "image classifier or CLIP model",
    "a transformers folder of an image classifier, such as huggingface.co/facebook/dinov2-base-imagenet1k-1-layer "
    "(Apache-2.0), or a CLIP model in {where}",
    lambda path: is_classifier(path) or _is_clip(path),
    offered=(published.DINOV2_CLASSIFIER, published.CLIP_B32),
)
FEATURES = Models(
    "CLIP or DINOv2 model",
    "a CLIP model, or a transformers folder such as huggingface.co/facebook/dinov2-base (Apache-2.0), in {where}",
    lambda path: _config_of(path).get("model_type") in FEATURE_TYPES or _is_clip(path),
    offered=(published.DINOV2, published.CLIP_B32),
)
POPULATION = Models(
    "Inception or DINOv2 model",
    "pt_inception-2015-12-05-6726825d.pth from github.com/mseitzer/pytorch-fid (Apache-2.0), or a transformers folder "
    "such as huggingface.co/facebook/dinov2-base (Apache-2.0), in {where}",
    lambda path: _is_inception(path) or _config_of(path).get("model_type") in FEATURE_TYPES or is_classifier(path),
    offered=(published.DINOV2, published.DINOV2_CLASSIFIER),
)
STATISTICS = Models(
    "statistics file",
    "an .npz with mu and sigma of your reference images (`python run.py statistics` makes one) in {own}",
    lambda path: path.is_file() and holds_statistics(path),
)
AESTHETIC_HEAD = Models(
    "aesthetic head",
    "sac+logos+ava1-l14-linearMSE.pth from github.com/christophschuhmann/improved-aesthetic-predictor (Apache-2.0), "
    "or aesthetic_predictor_v2_5.pth from github.com/discus0434/aesthetic-predictor-v2-5 (AGPL-3.0), in {where}",
    _is_aesthetic_head,
    offered=(published.LAION_V2,),
)
IMAGE_REWARD = Models(
    "ImageReward model",
    f"{IMAGE_REWARD_SOURCE} in a folder {{where}}/ImageReward",
    lambda path: path.is_dir() and (path / "med_config.json").is_file(),
    offered=(published.IMAGE_REWARD_V1,),
)
JUDGE = Models(
    "vision-language model",
    "the files of an instruction-tuned image-text-to-text model, such as huggingface.co/HuggingFaceTB/SmolVLM-Instruct "
    "(Apache-2.0), in a folder of their own in {own}",
    lambda path: answers_about_images(_config_of(path)),
    offered=published.JUDGES,
)

register_own_folder()
