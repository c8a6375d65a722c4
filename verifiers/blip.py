"""ImageReward's network: BLIP's image encoder, BLIP's text encoder that looks at the image, and a linear head.

The modules are transformers' own; only the names in the published file are BLIP's and timm's.
"""

from __future__ import annotations

import re

import torch

from .linear_chain import linear_chain

IMAGE, TEXT, HEAD = "blip.visual_encoder.", "blip.text_encoder.", "mlp.layers."
_TO_TRANSFORMERS = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^norm\.", "post_layernorm."),
    (r"^blocks\.(\d+)\.norm([12])\.", r"encoder.layers.\1.layer_norm\2."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.projection."),
    (r"^blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
)
_HEAD_WIDTH = 64
"""Of each attention head in BLIP's image encoders, small and large."""


class RewardNetwork(torch.nn.Module):
    """image: transformers' BlipVisionModel; text: its BlipTextModel; head: linear layers down to one number."""

    def __init__(self, image: torch.nn.Module, text: torch.nn.Module, head: torch.nn.Sequential):
        super().__init__()
        self.image, self.text, self.head = image, text, head

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Raw rewards [n] of images [n, 3, size, size] with one tokenised text each."""
        patches = self.image(pixel_values=pixels).last_hidden_state
        seen = torch.ones(patches.shape[:2], dtype=torch.long, device=patches.device)
        out = self.text(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=patches,
            encoder_attention_mask=seen,
            is_decoder=False,
        )
        first = out.last_hidden_state[:, 0].float()
        with torch.autocast(first.device.type, enabled=False):
            return self.head(first).squeeze(1)


def reward_network(state: dict[str, torch.Tensor], text_config: dict) -> RewardNetwork:
    """The network of a published file's tensors and its med_config.json.

    Raises RuntimeError, naming them, when tensors are missing or do not fit; what the reward does not need
    (BLIP's projections for its own training) is left out.
    """
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    image_state = {_renamed(key): t for key, t in _under(IMAGE, state).items()}
    text_state = _under(TEXT, state)
    head = linear_chain(_under(HEAD, state))
    width, _, patch, _ = image_state["embeddings.patch_embedding.weight"].shape
    grid = round((image_state["embeddings.position_embedding"].shape[1] - 1) ** 0.5)
    image = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=width,
            intermediate_size=image_state["encoder.layers.0.mlp.fc1.weight"].shape[0],
            num_hidden_layers=1 + max(int(key.split(".")[2]) for key in image_state if ".layers." in key),
            num_attention_heads=width // _HEAD_WIDTH,
            image_size=grid * patch,
            patch_size=patch,
            layer_norm_eps=1e-6,
        )
    )
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    kept += ("max_position_embeddings", "hidden_act", "layer_norm_eps")
    config = {name: text_config[name] for name in kept if name in text_config}
    text = BlipTextModel(BlipTextConfig(**config, encoder_hidden_size=width, is_decoder=True), add_pooling_layer=False)
    image.load_state_dict(image_state)
    # Some versions of transformers keep the positions' numbers with the weights, some do not.
    text_state.pop("embeddings.position_ids", None)
    lacking = text.load_state_dict(text_state, strict=False)
    wrong = [key for key in lacking.missing_keys if key != "embeddings.position_ids"] + lacking.unexpected_keys
    if wrong:
        raise RuntimeError(f"the text encoder's tensors do not fit: {', '.join(wrong[:3])}")
    return RewardNetwork(image, text, head).float()


def _under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with the prefix, without it."""
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}


def _renamed(key: str) -> str:
    for pattern, name in _TO_TRANSFORMERS:
        key = re.sub(pattern, name, key)
    return key
