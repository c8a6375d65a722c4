"""CLIPScore against the libraries' own pipelines: their preprocessing from a PIL image, their model."""

import gc
import json
import re

import open_clip
import pytest
import torch
import transformers
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from noise_search.harness import small_clips
from noise_search.verifiers import CLIPScore, Verifier, VerifierError, clip_architecture, clip_model

CPU = torch.device("cpu")
# Of transformers' layout, in which it is published; N is a layer.
NAFLEX_KEYS = """
logit_scale logit_bias text_model.embeddings.token_embedding.weight text_model.embeddings.position_embedding.weight
text_model.final_layer_norm.weight text_model.final_layer_norm.bias text_model.head.weight text_model.head.bias
vision_model.embeddings.patch_embedding.weight vision_model.embeddings.patch_embedding.bias
vision_model.embeddings.position_embedding.weight vision_model.post_layernorm.weight vision_model.post_layernorm.bias
vision_model.head.probe vision_model.head.attention.in_proj_weight vision_model.head.attention.in_proj_bias
vision_model.head.attention.out_proj.weight vision_model.head.attention.out_proj.bias
vision_model.head.layernorm.weight vision_model.head.layernorm.bias vision_model.head.mlp.fc1.weight
vision_model.head.mlp.fc1.bias vision_model.head.mlp.fc2.weight vision_model.head.mlp.fc2.bias
{}_model.encoder.layers.N.layer_norm1.weight {}_model.encoder.layers.N.layer_norm1.bias
{}_model.encoder.layers.N.layer_norm2.weight {}_model.encoder.layers.N.layer_norm2.bias
{}_model.encoder.layers.N.mlp.fc1.weight {}_model.encoder.layers.N.mlp.fc1.bias
{}_model.encoder.layers.N.mlp.fc2.weight {}_model.encoder.layers.N.mlp.fc2.bias
{}_model.encoder.layers.N.self_attn.k_proj.weight {}_model.encoder.layers.N.self_attn.k_proj.bias
{}_model.encoder.layers.N.self_attn.q_proj.weight {}_model.encoder.layers.N.self_attn.q_proj.bias
{}_model.encoder.layers.N.self_attn.v_proj.weight {}_model.encoder.layers.N.self_attn.v_proj.bias
{}_model.encoder.layers.N.self_attn.out_proj.weight {}_model.encoder.layers.N.self_attn.out_proj.bias
"""
SIZES = [(small_clips.SIZE, small_clips.SIZE), (70, 101), (33, 40), (256, 192)]


def pil(images):
    return [Image.fromarray((i * 255).round().to(torch.uint8).numpy()) for i in images]


def score(measure, images, prompts):
    return Verifier.of(measure).measure(images, prompts)[:, 0]


def layout(keys):
    """The names of tensors, whatever the number of layers."""
    return {re.sub(r"\.\d+\.", ".N.", key) for key in keys}


def recorded(keys):
    return {key.format(half) for key in keys.split() for half in ("text", "vision")}


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory):
    return small_clips.open_clip_folder(tmp_path_factory.mktemp("clip") / "open")


@pytest.fixture(scope="module")
def transformers_folder(tmp_path_factory):
    return small_clips.transformers_folder(tmp_path_factory.mktemp("clip") / "hf")


@pytest.fixture
def small_architecture(tmp_path, monkeypatch):
    """open_clip and the guess both know a small architecture by name, and its QuickGELU twin."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "ViT-small.json").write_text(json.dumps(small_clips.OPEN_CLIP))
    quick = {**small_clips.OPEN_CLIP, "quick_gelu": True}
    (folder / "ViT-small-quickgelu.json").write_text(json.dumps(quick))
    open_clip.add_model_config(folder)
    monkeypatch.setattr(clip_architecture, "configs", lambda: folder)
    monkeypatch.setattr(clip_architecture, "COMMON", ["ViT-small", "ViT-small-quickgelu"])


def open_clip_cosine(name, weights, images, prompts):
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=weights)
    with torch.no_grad():
        image = model.eval().encode_image(torch.stack([preprocess(i) for i in pil(images)]), normalize=True)
        text = model.encode_text(open_clip.get_tokenizer(name)(prompts), normalize=True)
    return (image * text).sum(1)


def pil_processor(folder):
    five = int(transformers.__version__.split(".")[0]) >= 5
    chosen = {"backend": "pil"} if five else {"use_fast": False}
    return transformers.AutoImageProcessor.from_pretrained(folder, **chosen)


@pytest.mark.parametrize("size", SIZES)
def test_open_clip_folder_equals_open_clip(open_clip_folder, size):
    images, prompts = small_clips.images(*size), small_clips.SENTENCES
    truth = open_clip_cosine(f"local-dir:{open_clip_folder}", None, images, prompts)
    torch.testing.assert_close(score(CLIPScore(open_clip_folder), images, prompts), truth, atol=1e-5, rtol=0)
    assert truth.std() > 1e-3  # the images are told apart, so equality means something


@pytest.mark.parametrize("size", SIZES)
def test_transformers_folder_equals_transformers(transformers_folder, size):
    images, prompts = small_clips.images(*size), small_clips.SENTENCES
    model = transformers.CLIPModel.from_pretrained(transformers_folder)
    processor = pil_processor(transformers_folder)
    tokens = transformers.CLIPTokenizer.from_pretrained(transformers_folder)(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**processor(images=pil(images), return_tensors="pt"), **tokens)
    truth = (out.image_embeds * out.text_embeds).sum(1)
    measured = score(CLIPScore(transformers_folder), images, prompts)
    torch.testing.assert_close(measured, truth, atol=1e-5, rtol=0)


def test_siglip_folder_equals_transformers(tmp_path):
    folder = small_clips.siglip_folder(tmp_path / "siglip")
    images, prompts = small_clips.images(70, 101), ["abc", "a long one that is cut", ""]
    model = transformers.SiglipModel.from_pretrained(folder)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        pixels = pil_processor(folder)(images=pil(images), return_tensors="pt")["pixel_values"]
        out = model(pixel_values=pixels, input_ids=tokens["input_ids"])
    truth = (out.image_embeds * out.text_embeds).sum(1)
    torch.testing.assert_close(score(CLIPScore(folder), images, prompts), truth, atol=1e-5, rtol=0)


def test_naflex_folder_equals_transformers(tmp_path):
    folder = small_clips.naflex_folder(tmp_path / "siglip2-naflex")
    prompts = ["abc", "a long one that is cut", ""]
    model = transformers.Siglip2Model.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    )
    shapes = set()
    for size in ((70, 101), (160, 40)):  # each keeps its own proportions
        images = small_clips.images(*size)
        pixels = pil_processor(folder)(images=pil(images), return_tensors="pt")
        shapes.add(tuple(pixels["spatial_shapes"][0].tolist()))
        with torch.no_grad():
            out = model(**pixels, input_ids=tokens["input_ids"])
        truth = (out.image_embeds * out.text_embeds).sum(1)
        torch.testing.assert_close(score(CLIPScore(folder), images, prompts), truth, atol=1e-5, rtol=0)
        assert truth.std() > 1e-3
    assert len(shapes) == 2


def test_naflex_has_the_published_names(tmp_path):
    folder = small_clips.naflex_folder(tmp_path / "siglip2-naflex")
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert layout(file.keys()) == recorded(NAFLEX_KEYS)


def test_several_texts_are_combined(transformers_folder):
    images, prompts = small_clips.images(48, 48), ["red", "blue", "green"]
    texts = ["a photo of {}", "{} and {}", "a cat"]

    def alone(given):
        return score(CLIPScore(transformers_folder), images, given)

    each = torch.stack([alone([f"a photo of {p}" for p in prompts]), alone([f"{p} and {p}" for p in prompts]),
                        alone(["a cat"] * 3)])  # fmt: skip
    for over, truth in {"mean": each.mean(0), "minimum": each.amin(0), "maximum": each.amax(0)}.items():
        measure = CLIPScore(transformers_folder, texts=texts, over_texts=over)
        torch.testing.assert_close(score(measure, images, prompts), truth, atol=1e-6, rtol=0)
    hessel = CLIPScore(transformers_folder, form="2.5 · max(cosine, 0)", texts=texts, over_texts="minimum")
    torch.testing.assert_close(score(hessel, images, prompts), 2.5 * each.clamp(min=0).amin(0), atol=1e-6, rtol=0)
    assert each.std(0).min() > 1e-4


def test_texts_say_whether_a_prompt_is_needed(transformers_folder):
    needs = [CLIPScore(transformers_folder, texts=texts).needs_prompt for texts in ((), ("a {}", "b"), ("a", "b"))]
    assert needs == [True, True, False]
    keys = {CLIPScore(transformers_folder, texts=t, over_texts=o).key
            for t in (("a", "b"), ("a b",), ()) for o in ("mean", "maximum")}  # fmt: skip
    assert len(keys) == 5  # without texts there is nothing to combine
    with pytest.raises(VerifierError, match="over_texts is 'median': choose one of mean, minimum, maximum"):
        CLIPScore(transformers_folder, texts=["a"], over_texts="median")


def test_siglip_reads_lower_case_even_where_its_tokenizer_does_not(tmp_path):
    measure = CLIPScore(small_clips.siglip_folder(tmp_path / "siglip2"))
    images = small_clips.images(48, 48, n=1)
    upper, lower, other = (score(measure, images, [text]) for text in ("ABC", "abc", "xyz"))
    assert upper == lower != other


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_single_file_is_recognised_and_equals_open_clip(tmp_path, small_architecture, suffix):
    state = small_clips.open_clip_model().state_dict()
    file = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, file)
    else:
        save_file(state, file)
    images, prompts = small_clips.images(70, 101), small_clips.SENTENCES
    measure = CLIPScore(file)
    truth = open_clip_cosine("ViT-small", str(file), images, prompts)
    torch.testing.assert_close(score(measure, images, prompts), truth, atol=1e-5, rtol=0)
    assert "choose ViT-small-quickgelu" in measure.notes[0]


def test_quickgelu_is_taken_from_the_file_name_or_the_choice(tmp_path, small_architecture):
    file = tmp_path / "small-openai.safetensors"
    save_file(small_clips.open_clip_model().state_dict(), file)
    assert CLIPScore(file).clip.architecture == "ViT-small-quickgelu"
    assert CLIPScore(file).notes == []
    images, prompts = small_clips.images(48, 48), small_clips.SENTENCES
    plain, quick = (CLIPScore(file, name) for name in ("ViT-small", "ViT-small-quickgelu"))
    assert plain.key != quick.key
    assert (score(plain, images, prompts) - score(quick, images, prompts)).abs().max() > 1e-5


def test_every_common_architecture_has_the_shapes_expected_of_it():
    for name in clip_architecture.COMMON:
        with torch.device("meta"):
            model = open_clip.create_model(name, load_weights=False, device="meta")
        found = {k: tuple(v.shape) for k, v in model.state_dict().items()}
        assert clip_architecture._signature(found) == clip_architecture._expected(name), name


def test_hessel_form(open_clip_folder):
    images, prompts = small_clips.images(48, 48, n=3), small_clips.SENTENCES
    raw = score(CLIPScore(open_clip_folder), images, prompts)
    hessel = score(CLIPScore(open_clip_folder, form="2.5 · max(cosine, 0)"), images, prompts)
    torch.testing.assert_close(hessel, 2.5 * raw.clamp(min=0))


def test_long_prompt_is_cut_with_a_note(open_clip_folder, transformers_folder):
    images = small_clips.images(48, 48, n=1)
    for folder in (open_clip_folder, transformers_folder):
        measure = CLIPScore(folder)
        words = "cat " * 75  # and the two ends: exactly 77
        score(measure, images, [words])
        assert measure.notes == []
        cut = score(measure, images, [words + "dog dog"])
        torch.testing.assert_close(cut, score(measure, images, [words]))
        score(measure, images, [words + "dog dog"])
        assert len(measure.notes) == 1 and "the last 2 of the prompt" in measure.notes[0]


def test_texts_are_encoded_once(open_clip_folder, monkeypatch):
    measure = CLIPScore(open_clip_folder)
    asked = []
    tokens = measure.clip.parts.tokens
    counting = lambda texts: asked.append(list(texts)) or tokens(texts)  # noqa: E731
    monkeypatch.setitem(measure.clip.parts.__dict__, "tokens", counting)
    measure.clip._texts.clear()
    images = small_clips.images(48, 48, n=3)
    score(measure, images, ["a", "b", "a"])
    score(measure, images, ["b", "c", "a"])
    assert asked == [["a", "b"], ["c"]]


def test_two_measures_share_one_model_while_anyone_holds_it(open_clip_folder):
    first = CLIPScore(open_clip_folder)
    assert CLIPScore(open_clip_folder, half=True).modules()[0] is first.modules()[0]
    del first
    gc.collect()
    assert (open_clip_folder.resolve(), clip_model.Clip(open_clip_folder).key) not in clip_model._open


def test_verifiers_that_share_a_model_encode_a_batch_once(open_clip_folder, monkeypatch):
    first, second = CLIPScore(open_clip_folder), CLIPScore(open_clip_folder, form="2.5 · max(cosine, 0)")
    encoded = []
    image = first.clip.parts.image
    counting = lambda pixels: encoded.append(len(pixels)) or image(pixels)  # noqa: E731
    monkeypatch.setitem(first.clip.parts.__dict__, "image", counting)
    images, prompts = small_clips.images(48, 48, n=3, seed=5), ["a", "b", "c"]
    for measure in (first, second, first):
        score(measure, images, prompts)
    assert encoded == [3]
    score(second, images.flip(0), prompts)
    assert encoded == [3, 3]


def test_nothing_is_loaded_before_it_is_needed(open_clip_folder):
    measure = CLIPScore(open_clip_folder)
    gc.collect()
    assert "parts" not in vars(measure.clip)


def test_batch_of_one_and_of_many_agree(open_clip_folder):
    images, prompts = small_clips.images(70, 101, n=5), list("abcde")
    measure = CLIPScore(open_clip_folder)
    one_by_one = torch.cat([score(measure, images[i : i + 1], prompts[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(score(measure, images, prompts), one_by_one, atol=1e-6, rtol=0)


def test_key_follows_the_weights(tmp_path):
    folder = small_clips.open_clip_folder(tmp_path / "clip", seed=0)
    before = CLIPScore(folder).key
    save_file(small_clips.open_clip_model(1).state_dict(), folder / "open_clip_model.safetensors")
    assert CLIPScore(folder).key != before


def spoil(path, **changes):
    for name, text in changes.items():
        file = path / name.replace("__", ".")
        if text is None:
            file.unlink()
        else:
            file.write_text(text)


BAD_FOLDERS = {
    "has no weights": ("open", {"open_clip_model__safetensors": None}),
    "is no CLIP model": ("open", {"open_clip_config__json": None}),
    "open/open_clip_config.json is not JSON": ("open", {"open_clip_config__json": "{"}),
    "is not a whole .safetensors file": ("open", {"open_clip_model__safetensors": "nonsense"}),
    "lacks its preprocessor_config.json": ("hf", {"preprocessor_config__json": None}),
    "lacks .safetensors weights": ("hf", {"model__safetensors": None}),
}


@pytest.mark.parametrize("message", BAD_FOLDERS)
def test_bad_folder_is_one_clear_sentence_before_anything_is_loaded(tmp_path, message):
    kind, changes = BAD_FOLDERS[message]
    make = {"open": small_clips.open_clip_folder, "hf": small_clips.transformers_folder}[kind]
    spoil(make(tmp_path / kind), **changes)
    with pytest.raises(VerifierError, match=message):
        CLIPScore(tmp_path / kind)


def test_bad_files(tmp_path, small_architecture):
    state = small_clips.open_clip_model().state_dict()
    image_half = {k: v for k, v in state.items() if k.startswith("visual.")}
    save_file(image_half, tmp_path / "image.safetensors")
    save_file({k: v for k, v in state.items() if k not in image_half}, tmp_path / "text.safetensors")
    save_file({**state, "visual.proj": torch.zeros(64, 40)}, tmp_path / "odd.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "code.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for file, message in {
        "missing.safetensors": "is not there",
        "image.safetensors": "only the image half",
        "text.safetensors": "only the text half",
        "odd.safetensors": "fits none of",
        "other.safetensors": "holds no CLIP",
        "code.pt": "cannot be read as plain weights",
    }.items():
        with pytest.raises(VerifierError, match=message):
            CLIPScore(tmp_path / file)
    with pytest.raises(VerifierError, match="does not fit architecture ViT-small"):
        CLIPScore(tmp_path / "odd.safetensors", "ViT-small")


def test_missing_package_names_the_command(open_clip_folder, transformers_folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VerifierError, match="pip install open_clip_torch"):
        CLIPScore(open_clip_folder)
    with pytest.raises(VerifierError, match="pip install transformers"):
        CLIPScore(transformers_folder)
