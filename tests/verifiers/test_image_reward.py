"""ImageReward against its network written out, with timm's image encoder, from the tensors of the file alone."""

import re

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional
from torchvision import transforms

from noise_search.harness import small_clips, small_rewards
from noise_search.verifiers import ImageReward, Verifier, VerifierError

from .test_clip_score import pil

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PROMPTS = ["a red circle left of a blue square", "Red squares, a GOLD circle", ""]
WORDS = {word: i for i, word in enumerate(small_rewards.WORDS)}
IDS = [
    "[CLS] a red circle left of a blue square [SEP]",
    "[CLS] red square ##s , a [UNK] circle [SEP]",
    "[CLS] [SEP]",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_rewards.folder(tmp_path_factory.mktemp("models") / "ImageReward")


def image_tokens(state, pixels):
    """BLIP's image encoder is timm's."""
    sizes = {"img_size": small_rewards.SIZE, "patch_size": small_rewards.PATCH, "embed_dim": small_rewards.WIDTH}
    encoder = VisionTransformer(**sizes, depth=small_rewards.LAYERS, num_heads=2, num_classes=0).eval()
    prefix = "blip.visual_encoder."
    encoder.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return encoder.forward_features(pixels)


class Bert:
    """BLIP's text encoder in image-grounded mode, written out."""

    def __init__(self, state):
        self.state = {k.removeprefix("blip.text_encoder."): v for k, v in state.items()}
        self.heads = small_rewards.MED_CONFIG["num_attention_heads"]

    def linear(self, name, x):
        return functional.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name, x):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], weight, bias, 1e-12)

    def attend(self, name, x, context, mask):
        q, k, v = (
            self.linear(f"{name}.self.{part}", given).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part, given in (("query", x), ("key", context), ("value", context))
        )
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).flatten(-2)
        return self.norm(f"{name}.output.LayerNorm", self.linear(f"{name}.output.dense", mixed) + x)

    def __call__(self, ids, mask, context):
        embeddings = self.state["embeddings.word_embeddings.weight"][ids]
        embeddings = embeddings + self.state["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self.norm("embeddings.LayerNorm", embeddings)
        hidden = (1.0 - mask[:, None, None, :]) * -10000.0
        for n in range(small_rewards.LAYERS):
            layer = f"encoder.layer.{n}"
            x = self.attend(f"{layer}.attention", x, x, hidden)
            x = self.attend(f"{layer}.crossattention", x, context, 0.0)
            inner = functional.gelu(self.linear(f"{layer}.intermediate.dense", x))
            x = self.norm(f"{layer}.output.LayerNorm", self.linear(f"{layer}.output.dense", inner) + x)
        return x


def written_out(state, images, texts):
    ids = torch.zeros(len(texts), 35, dtype=torch.long)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text.split())] = torch.tensor([WORDS[word] for word in text.split()])
    size = small_rewards.SIZE
    steps = [transforms.Resize(size, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(size)]
    preprocess = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    with torch.no_grad():
        patches = image_tokens(state, torch.stack([preprocess(image) for image in pil(images)]))
        x = Bert(state)(ids, (ids != 0).float(), patches)[:, 0]
        for n in (0, 2, 4, 6, 7):
            x = functional.linear(x, state[f"mlp.layers.{n}.weight"], state[f"mlp.layers.{n}.bias"])
    return (x[:, 0] - 0.16717362830052426) / 1.0333394966054072


def score(measure, images, prompts):
    return Verifier.of(measure).measure(images, prompts)[:, 0]


@pytest.mark.parametrize("size", [(70, 101), (48, 48)])
def test_equals_the_network_written_out(folder, size):
    images = small_clips.images(*size)
    state = torch.load(folder / "ImageReward.pt", weights_only=True)
    truth = written_out(state, images, IDS)
    torch.testing.assert_close(score(ImageReward(folder), images, PROMPTS), truth, atol=1e-4, rtol=0)
    same_text = written_out(state, images, IDS[:1] * 3)
    assert truth.std() > 1e-2 and same_text.std() > 1e-3  # both the texts and the images are told apart


def test_the_file_has_the_published_names(folder):
    names = {re.sub(r"(blocks|layer)\.\d+\.", r"\1.N.", key) for key in torch.load(folder / "ImageReward.pt")}
    assert names == set(small_rewards.KEYS.split())


def test_text_is_cut_to_35_tokens_with_a_note(folder):
    measure, images = ImageReward(folder), small_clips.images(48, 48, n=1)
    words = "red " * 33
    full = score(measure, images, [words])
    assert measure.notes == []
    torch.testing.assert_close(score(measure, images, [words + "blue blue"]), full)
    assert len(measure.notes) == 1 and "reads 35 tokens: the last 2 of the prompt" in measure.notes[0]


def test_batch_of_one_and_of_many_agree_and_one_model_is_held(folder):
    measure, images = ImageReward(folder), small_clips.images(70, 101)
    one_by_one = torch.cat([score(measure, images[i : i + 1], [PROMPTS[i]]) for i in range(3)])
    torch.testing.assert_close(score(measure, images, PROMPTS), one_by_one, atol=1e-5, rtol=0)
    assert ImageReward(folder, half=True).modules()[0] is measure.modules()[0]


def test_missing_or_wrong_files_are_one_clear_sentence(tmp_path, monkeypatch):
    path = small_rewards.folder(tmp_path / "reward")
    (path / "vocab.txt").unlink()
    with pytest.raises(VerifierError, match="reward lacks vocab.txt: put there .*zai-org/ImageReward .Apache-2.0"):
        ImageReward(path)
    (path / "vocab.txt").write_text("[PAD]\n")
    state = small_rewards.state_dict()
    lost = "blip.text_encoder.encoder.layer.1.crossattention.self.key.weight"
    torch.save({k: v for k, v in state.items() if k != lost}, path / "ImageReward.pt")
    with pytest.raises(VerifierError, match="could not be loaded as ImageReward: .*layer.1.crossattention.self.key"):
        ImageReward(path).modules()
    torch.save({"x": torch.zeros(1)}, path / "ImageReward.pt")
    with pytest.raises(VerifierError, match="holds no ImageReward"):
        ImageReward(path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VerifierError, match="pip install transformers"):
        ImageReward(path)
