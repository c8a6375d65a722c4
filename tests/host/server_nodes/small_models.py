"""A custom node file for the tests: lets ComfyUI load FLUX, Wan and SDXL models smaller than the real ones.

ComfyUI reads depth from a FLUX file but takes its width, the sizes of T5 and UMT5, and the width of Wan's VAE to
be the published ones. Here they are read from the file as well; for a file of the published size nothing changes.
An SDXL is known by its depths: one with a single transformer block is added. It adds no nodes.
"""

import comfy.ldm.wan.vae
import comfy.model_detection
import comfy.sd
import comfy.sdxl_clip
import comfy.supported_models

NODE_CLASS_MAPPINGS = {}

detect_unet_config = comfy.model_detection.detect_unet_config
load_text_encoder_state_dicts = comfy.sd.load_text_encoder_state_dicts
WanVAE, load_vae = comfy.ldm.wan.vae.WanVAE, comfy.sd.VAE.__init__


def detect_with_width(state_dict, key_prefix, *args, **kwargs):
    config = detect_unet_config(state_dict, key_prefix, *args, **kwargs)
    if config and config.get("image_model") == "flux":
        width, text_width = state_dict[f"{key_prefix}txt_in.weight"].shape
        config.update(hidden_size=width, num_heads=width // 128, context_in_dim=text_width)
    return config


def load_with_sizes(state_dicts=(), *args, model_options=None, **kwargs):
    options = dict(model_options or {})
    for state in state_dicts:
        if "encoder.final_layer_norm.weight" in state:
            options["t5xxl_model_config"] = options["umt5xxl_model_config"] = t5_sizes(state)
    return load_text_encoder_state_dicts(state_dicts, *args, model_options=options, **kwargs)


def t5_sizes(state):
    block = "encoder.block.{}.layer."
    heads = state[block.format(0) + "0.SelfAttention.relative_attention_bias.weight"].shape[1]
    vocabulary, width = state["shared.weight"].shape
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_ff": state[block.format(0) + "1.DenseReluDense.wi_0.weight"].shape[0],
        "d_kv": state[block.format(0) + "0.SelfAttention.q.weight"].shape[0] // heads,
        "num_heads": heads,
        "num_layers": sum(block.format(k) + "0.layer_norm.weight" in state for k in range(24)),
    }


def load_vae_with_width(self, sd=None, *args, **kwargs):
    width = sd and sd.get("encoder.conv1.weight")
    if width is not None and width.ndim == 5:
        comfy.ldm.wan.vae.WanVAE = lambda **config: WanVAE(**{**config, "dim": len(width)})
    load_vae(self, sd, *args, **kwargs)


class SmallSDXL(comfy.supported_models.SDXL):
    """One level, one transformer block, and three layers in each text encoder."""

    unet_config = {**comfy.supported_models.SDXL.unet_config, "transformer_depth": [1]}

    def clip_target(self, state_dict=None):
        target = super().clip_target(state_dict or {})
        target.clip = three_layers
        return target


def three_layers(model_options=None, **settings):
    few = {f"clip_{size}_model_config": {"num_hidden_layers": 3} for size in "lg"}
    return comfy.sdxl_clip.SDXLClipModel(model_options={**(model_options or {}), **few}, **settings)


comfy.supported_models.models.append(SmallSDXL)
comfy.model_detection.detect_unet_config = detect_with_width
comfy.sd.load_text_encoder_state_dicts = load_with_sizes
comfy.sd.VAE.__init__ = load_vae_with_width
