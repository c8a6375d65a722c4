"""Real vision-language architectures, small, with seeded random weights, saved in the layouts they are published in."""

import json

import torch

from ..verifiers.vlm_judge import ASPECTS, RUBRIC

CORPUS = [
    *("yes", "no", "Yes", "No", "yes no Yes No yes no"),
    'Does this figure show "a cat"? Please answer yes or no.',
    "Is there a dog? Yes, yes. Is the dog brown? No, no.",
    "Your last answer could not be used: it does not begin with yes or no. Answer again, exactly as asked.",
    RUBRIC,
    json.dumps(dict.fromkeys(ASPECTS, 5)),
]
QWEN_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
QWEN_SPECIALS += ["<|video_pad|>"]
LLAVA_SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "<image>"]
SMOL_SPECIALS = ["<|im_start|>", "<end_of_utterance>", "<unk>", "<pad>", "<image>", "<fake_token_around_image>"]
SMOL_SPECIALS += ["<global-img>", *(f"<row_{r}_col_{c}>" for r in range(1, 3) for c in range(1, 3))]


def qwen2_vl_folder(path, seed=0):
    """The layout of `Qwen/Qwen2-VL-*-Instruct`: images of any shape, positions in three dimensions."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor

    vocabulary = _tokenizer(path, QWEN_SPECIALS, {"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>",
                                                  "eos_token": "<|im_end|>", "unk_token": None})  # fmt: skip
    ids = {name: vocabulary[f"<|{name}|>"] for name in ("vision_start", "vision_end", "image_pad", "video_pad")}
    text = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": len(vocabulary), "max_position_embeddings": 512,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "bos_token_id": None,
        "eos_token_id": vocabulary["<|im_end|>"],
    }  # fmt: skip
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 64, "mlp_ratio": 2, "patch_size": 14}
    config = Qwen2VLConfig(
        **text, vision_config=vision, vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"],
        image_token_id=ids["image_pad"], video_token_id=ids["video_pad"], tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    _save(Qwen2VLForConditionalGeneration(config), path, vocabulary, vocabulary["<|im_end|>"])
    Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 84).save_pretrained(path)
    _merge(path / "preprocessor_config.json", {"processor_class": "Qwen2VLProcessor"})
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    _write_template(path, "<|im_start|>user\n", image, "<|im_end|>\n", "<|im_start|>assistant\n")
    return path


def llava_folder(path, seed=0):
    """The layout of `llava-hf/llava-1.5-*-hf`: a CLIP's patches between the words."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers import LlavaForConditionalGeneration as Llava

    vocabulary = _tokenizer(path, LLAVA_SPECIALS, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                                                   "eos_token": "</s>", "unk_token": "<unk>"})  # fmt: skip
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = LlamaConfig(**sizes, vocab_size=len(vocabulary), max_position_embeddings=512)
    vision = CLIPVisionConfig(**sizes, image_size=48, patch_size=16)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=vocabulary["<image>"], vision_feature_layer=-1
    )
    torch.manual_seed(seed)
    _save(Llava(config), path, vocabulary, vocabulary["</s>"])
    shape = {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}}
    CLIPImageProcessor(**shape).save_pretrained(path)
    _merge(path / "preprocessor_config.json", {"processor_class": "LlavaProcessor"})
    kept = {"patch_size": 16, "vision_feature_select_strategy": "default", "image_token": "<image>"}
    kept |= {"processor_class": "LlavaProcessor", "num_additional_image_tokens": 1}
    (path / "processor_config.json").write_text(json.dumps(kept))
    _write_template(path, "<s>USER: ", "<image>\n", "", " ASSISTANT:")
    return path


def smolvlm_folder(path, seed=0):
    """The layout of `HuggingFaceTB/SmolVLM-Instruct`, an Idefics 3: images cut into tiles."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessor, LlamaConfig

    vocabulary = _tokenizer(path, SMOL_SPECIALS, {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>",
                                                  "eos_token": "<end_of_utterance>", "unk_token": "<unk>"})  # fmt: skip
    end = vocabulary["<end_of_utterance>"]
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = LlamaConfig(**sizes, vocab_size=len(vocabulary), max_position_embeddings=1024, eos_token_id=end)
    config = Idefics3Config(
        text_config=text, vision_config={**sizes, "image_size": 48, "patch_size": 12}, scale_factor=2,
        image_token_id=vocabulary["<image>"], pad_token_id=vocabulary["<pad>"],
    )  # fmt: skip
    torch.manual_seed(seed)
    _save(Idefics3ForConditionalGeneration(config), path, vocabulary, end)
    Idefics3ImageProcessor(size={"longest_edge": 96}, max_image_size={"longest_edge": 48}).save_pretrained(path)
    _merge(path / "preprocessor_config.json", {"processor_class": "Idefics3Processor"})
    (path / "processor_config.json").write_text(
        json.dumps({"image_seq_len": 4, "processor_class": "Idefics3Processor"})
    )
    _write_template(path, "<|im_start|>User:", "<image>", "<end_of_utterance>\n", "Assistant:")
    return path


FOLDERS = {"Qwen2-VL": qwen2_vl_folder, "LLaVA": llava_folder, "SmolVLM": smolvlm_folder}


def _tokenizer(path, specials, config):
    """A byte-level tokenizer that knows the words of CORPUS; its vocabulary."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer

    path.mkdir()
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(CORPUS * 2, vocab_size=600, min_frequency=1, show_progress=False)
    tokenizer.save_model(str(path))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.save(str(path / "tokenizer.json"))
    vocabulary = tokenizer.get_vocab()
    added = {str(vocabulary[s]): {"content": s, "special": True, "lstrip": False, "rstrip": False,
                                  "normalized": False, "single_word": False} for s in specials}  # fmt: skip
    kept = {**config, "added_tokens_decoder": added, "model_input_names": ["input_ids", "attention_mask"]}
    (path / "tokenizer_config.json").write_text(json.dumps(kept))
    return vocabulary


def _save(model, path, vocabulary, end):
    """With yes and no among the likeliest words."""
    weight = model.get_output_embeddings().weight.data
    torch.nn.init.normal_(weight, std=0.03)
    for spelling in ("yes", "Yes", "Ġyes", "ĠYes"):
        yes, no = vocabulary[spelling], vocabulary[spelling.replace("yes", "no").replace("Yes", "No")]
        weight[yes] *= 7
        weight[no] = -weight[yes]  # so that one of them is
    model.generation_config.eos_token_id = end
    model.generation_config.update(do_sample=True, temperature=0.7, repetition_penalty=1.3)  # not for a judge
    model.save_pretrained(path)
    _merge(path / "config.json", {"architectures": [type(model).__name__]})  # some versions put it elsewhere


def _merge(file, more):
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


def _write_template(path, begin, image, end, answer):
    """A chat template: what stands before a turn, for an image, after a turn, and before the answer."""
    written = (
        f"{{% for turn in messages %}}{begin}{{% for part in turn['content'] %}}{{% if part['type'] == 'image' %}}"
        f"{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}{{% endfor %}}{end}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{answer}{{% endif %}}"
    )
    (path / "chat_template.json").write_text(json.dumps({"chat_template": written}))
