"""A small ImageReward with seeded random weights, in the layout it is published in."""

import json

import torch

SIZE, PATCH, WIDTH, LAYERS = 48, 8, 128, 2
MED_CONFIG = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "pad_token_id": 0,
    "add_type_embeddings": False,
    "encoder_width": 64,
    "add_cross_attention": True,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle", "left", "of", "blue", "square", "##s", ","]
# Of the published file, N being a layer.
KEYS = """
blip.visual_encoder.cls_token blip.visual_encoder.pos_embed
blip.visual_encoder.patch_embed.proj.weight blip.visual_encoder.patch_embed.proj.bias
blip.visual_encoder.blocks.N.norm1.weight blip.visual_encoder.blocks.N.norm1.bias
blip.visual_encoder.blocks.N.attn.qkv.weight blip.visual_encoder.blocks.N.attn.qkv.bias
blip.visual_encoder.blocks.N.attn.proj.weight blip.visual_encoder.blocks.N.attn.proj.bias
blip.visual_encoder.blocks.N.norm2.weight blip.visual_encoder.blocks.N.norm2.bias
blip.visual_encoder.blocks.N.mlp.fc1.weight blip.visual_encoder.blocks.N.mlp.fc1.bias
blip.visual_encoder.blocks.N.mlp.fc2.weight blip.visual_encoder.blocks.N.mlp.fc2.bias
blip.visual_encoder.norm.weight blip.visual_encoder.norm.bias
blip.text_encoder.embeddings.position_ids blip.text_encoder.embeddings.word_embeddings.weight
blip.text_encoder.embeddings.position_embeddings.weight
blip.text_encoder.embeddings.LayerNorm.weight blip.text_encoder.embeddings.LayerNorm.bias
blip.text_encoder.encoder.layer.N.attention.self.query.weight
blip.text_encoder.encoder.layer.N.attention.self.query.bias
blip.text_encoder.encoder.layer.N.attention.self.key.weight
blip.text_encoder.encoder.layer.N.attention.self.key.bias
blip.text_encoder.encoder.layer.N.attention.self.value.weight
blip.text_encoder.encoder.layer.N.attention.self.value.bias
blip.text_encoder.encoder.layer.N.attention.output.dense.weight
blip.text_encoder.encoder.layer.N.attention.output.dense.bias
blip.text_encoder.encoder.layer.N.attention.output.LayerNorm.weight
blip.text_encoder.encoder.layer.N.attention.output.LayerNorm.bias
blip.text_encoder.encoder.layer.N.crossattention.self.query.weight
blip.text_encoder.encoder.layer.N.crossattention.self.query.bias
blip.text_encoder.encoder.layer.N.crossattention.self.key.weight
blip.text_encoder.encoder.layer.N.crossattention.self.key.bias
blip.text_encoder.encoder.layer.N.crossattention.self.value.weight
blip.text_encoder.encoder.layer.N.crossattention.self.value.bias
blip.text_encoder.encoder.layer.N.crossattention.output.dense.weight
blip.text_encoder.encoder.layer.N.crossattention.output.dense.bias
blip.text_encoder.encoder.layer.N.crossattention.output.LayerNorm.weight
blip.text_encoder.encoder.layer.N.crossattention.output.LayerNorm.bias
blip.text_encoder.encoder.layer.N.intermediate.dense.weight
blip.text_encoder.encoder.layer.N.intermediate.dense.bias
blip.text_encoder.encoder.layer.N.output.dense.weight blip.text_encoder.encoder.layer.N.output.dense.bias
blip.text_encoder.encoder.layer.N.output.LayerNorm.weight blip.text_encoder.encoder.layer.N.output.LayerNorm.bias
blip.vision_proj.weight blip.vision_proj.bias blip.text_proj.weight blip.text_proj.bias
mlp.layers.0.weight mlp.layers.0.bias mlp.layers.2.weight mlp.layers.2.bias mlp.layers.4.weight mlp.layers.4.bias
mlp.layers.6.weight mlp.layers.6.bias mlp.layers.7.weight mlp.layers.7.bias
"""


def shape(key):
    """The shape of one tensor, by its name, at this small size."""
    text, inner = MED_CONFIG["hidden_size"], MED_CONFIG["intermediate_size"]
    special = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, (SIZE // PATCH) ** 2 + 1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "word_embeddings.weight": (len(WORDS) + 2, text),
        "position_embeddings.weight": (MED_CONFIG["max_position_embeddings"], text),
    }
    read_give = {
        "attn.qkv": (WIDTH, 3 * WIDTH),
        "mlp.fc1": (WIDTH, 4 * WIDTH),
        "mlp.fc2": (4 * WIDTH, WIDTH),
        "crossattention.self.key": (WIDTH, text),
        "crossattention.self.value": (WIDTH, text),
        "intermediate.dense": (text, inner),
        "N.output.dense": (inner, text),
        "vision_proj": (WIDTH, 32),
        "text_proj": (text, 32),
        "layers.0": (text, 1024),
        "layers.2": (1024, 128),
        "layers.4": (128, 64),
        "layers.6": (64, 16),
        "layers.7": (16, 1),
    }
    for end, found in special.items():
        if key.endswith(end):
            return found
    width = WIDTH if "visual" in key else text
    read, give = next((v for k, v in read_give.items() if key.rpartition(".")[0].endswith(k)), (width, width))
    return (give, read) if key.endswith("weight") and "norm" not in key.lower() else (give,)


def state_dict(seed=0):
    """Random tensors under the published names; norms stay near one, so that signals pass."""
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for key in KEYS.split():
        for layer in range(LAYERS) if "N" in key.split(".") else [0]:
            name = key.replace(".N.", f".{layer}.")
            if key.endswith("position_ids"):
                state[name] = torch.arange(MED_CONFIG["max_position_embeddings"])[None]
                continue
            drawn = torch.randn(shape(key), generator=draw)
            if "norm" in key.lower() and key.endswith("weight"):
                state[name] = 1 + 0.1 * drawn
            else:
                state[name] = drawn * (0.1 if drawn.ndim < 2 else drawn[0].numel() ** -0.5)
    return state


def folder(path, seed=0):
    """ImageReward.pt, med_config.json and vocab.txt."""
    path.mkdir()
    torch.save(state_dict(seed), path / "ImageReward.pt")
    config = {**MED_CONFIG, "vocab_size": len(WORDS) + 2}
    (path / "med_config.json").write_text(json.dumps(config))
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return path
