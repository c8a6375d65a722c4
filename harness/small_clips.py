"""Real CLIP architectures, small, with seeded random weights, saved in the layouts they are published in."""

import json

import torch

SIZE = 48
OPEN_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
# Not the usual ones, so that a loader that ignores them is found out.
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
SENTENCES = ["a red circle left of a blue square", "Two  DOGS, and a cat's hat!", ""]


def images(height, width, n=3, seed=0):
    """8-bit images [n, H, W, 3] in 0-1, smooth and noisy at once."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 5, 5, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noisy = smooth + 0.2 * torch.randn(smooth.shape, generator=draw)
    return (noisy.clamp(0, 1) * 255).round().movedim(1, -1) / 255


def open_clip_model(seed=0):
    import open_clip

    torch.manual_seed(seed)
    return open_clip.CLIP(**OPEN_CLIP).eval()


def open_clip_folder(path, seed=0):
    """The layout of open_clip's `push_to_hf_hub`, which it reads back as `local-dir:`."""
    from safetensors.torch import save_file

    path.mkdir()
    config = {"model_cfg": OPEN_CLIP, "preprocess_cfg": PREPROCESS}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    save_file(open_clip_model(seed).state_dict(), path / "open_clip_model.safetensors")
    return path


def transformers_folder(path, seed=0):
    """The layout of `save_pretrained`: model, tokenizer, image processor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    torch.manual_seed(seed)
    common = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    text = {**common, **ids, "vocab_size": 49408}
    vision = {**common, "image_size": SIZE, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32))
    model.save_pretrained(path)
    sizes = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}
    colours = {"image_mean": PREPROCESS["mean"], "image_std": PREPROCESS["std"]}
    CLIPImageProcessor(**sizes, **colours).save_pretrained(path)
    write_vocabulary(path)
    CLIPTokenizer.from_pretrained(str(path)).save_pretrained(path)
    return path


def siglip_folder(path, seed=0):
    """As `transformers_folder`, for SigLIP; its tokenizer knows single letters only."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(seed)
    common = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**common, "vocab_size": 40, "max_position_embeddings": 16, "projection_size": 64}
    vision = {**common, "image_size": SIZE, "patch_size": 16}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(path)
    sizes = {"size": {"height": SIZE, "width": SIZE}}
    SiglipImageProcessor(**sizes).save_pretrained(path)
    _save_letters(path)
    return path


def naflex_folder(path, seed=0):
    """As `siglip_folder`, for SigLIP 2 NaFlex (`google/siglip2-base-patch16-naflex`)."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model

    torch.manual_seed(seed)
    common = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**common, "vocab_size": 40, "max_position_embeddings": 16, "projection_size": 64}
    vision = {**common, "patch_size": 16, "num_patches": 16}
    Siglip2Model(Siglip2Config(text_config=text, vision_config=vision)).save_pretrained(path)
    Siglip2ImageProcessor(patch_size=16, max_num_patches=12).save_pretrained(path)
    _save_letters(path)
    return path


def _save_letters(path):
    """A tokenizer of single small letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = Tokenizer(models.WordLevel({c: i for i, c in enumerate("?abcdefghijklmnopqrstuvwxyz")}, "?"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="?", unk_token="?").save_pretrained(path)


LABELS = ["tench, Tinca tinca", "goldfish, Carassius auratus", "crane", "crane", "red fox"]


def dinov2_classifier_folder(path, seed=0):
    """The layout of `facebook/dinov2-*-imagenet1k-1-layer`."""
    from transformers import BitImageProcessor, Dinov2Config, Dinov2ForImageClassification

    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIZE, "patch_size": 8}
    config = Dinov2Config(**sizes, id2label=dict(enumerate(LABELS)), label2id={"x": 0})
    model = Dinov2ForImageClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(path)
    shape = {"size": {"shortest_edge": SIZE + 6}, "crop_size": {"height": SIZE, "width": SIZE}}
    BitImageProcessor(do_center_crop=True, do_normalize=True, **shape).save_pretrained(path)
    return path


def aesthetic_head(file, width, layers="layers", numbers=(0, 2, 4, 6, 7), seed=0):
    """The layout of LAION's v2 head; v2.5's is "scoring_head" and (0, 2, 4, 6, 8)."""
    torch.manual_seed(seed)
    sizes = [width, 1024, 128, 64, 16, 1]
    state = {}
    for i, read, give in zip(numbers, sizes, sizes[1:], strict=False):
        state[f"{layers}.{i}.weight"] = torch.randn(give, read) / read**0.5
        state[f"{layers}.{i}.bias"] = torch.randn(give)
    torch.save(state, file)
    return file


def write_vocabulary(path):
    """CLIP's own vocabulary, which open_clip carries, under transformers' file names."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): i for token, i in tokenizer.encoder.items()}
    merges = "\n".join(" ".join(pair) for pair in tokenizer.bpe_ranks)
    (path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
