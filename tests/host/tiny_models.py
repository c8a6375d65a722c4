"""Small checkpoints in real formats, with random weights, that ComfyUI's stock loaders read.

Every weight is seeded and filled (ComfyUI's layers start uninitialised), scaled so that what comes out is
finite and varied. Text encoders have fixed sizes in ComfyUI, so `clip_l` is as large as the real one.
"""

import io
import zlib
from dataclasses import dataclass
from functools import cached_property

import torch
from safetensors.torch import save_file

from noise_search.harness import small_clips, small_rewards

# The names that the real-model templates ask for.
SD15_WITH_CLIP = "v1-5-pruned-emaonly-fp16.safetensors"
FLUX, FLUX_VAE = "flux1-dev.safetensors", "ae.safetensors"
CLIP_L, T5 = "clip_l.safetensors", "t5xxl_fp16.safetensors"
WAN, WAN_VAE = "wan2.1_t2v_1.3B_fp16.safetensors", "wan_2.1_vae.safetensors"
UMT5 = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
SDXL = "sd_xl_base_1.0.safetensors"
JUDGE_CLIP, PICKSCORE, REWARD = "clip-vit-large-patch14", "PickScore_v1", "ImageReward"  # folders in noise_search
AESTHETIC = "sac+logos+ava1-l14-linearMSE.pth"
CLIP_SCORE = "CLIP-ViT-B-32-laion2B-s34B-b79K"  # a folder in clip_vision


def write(models):
    """The checkpoints that every test needs, into ComfyUI's `models` folder (60 MB, about a second)."""
    vae4, vae16 = taesd(4), taesd(16)
    save(models / "vae/tiny_4.safetensors", vae4)
    save(models / "vae/tiny_16.safetensors", vae16)
    first_stage = "first_stage_model."
    save(models / "checkpoints" / "tiny_sd3.safetensors", {**sd3(), **prefixed(first_stage, vae16)})
    save(models / "checkpoints" / "tiny_sd15.safetensors", {**sd15(), **prefixed(first_stage, vae4)})
    save(models / "loras/tiny_sd3.safetensors", lora("joint_blocks.0.x_block.attn.proj", 64, 64))
    save(models / "loras/tiny_sd15.safetensors", lora("middle_block.1.proj_in", 320, 320))
    save(models / "diffusion_models/tiny_wan.safetensors", wan())


def write_for_templates(models):
    """What the real-model templates ask for, under the names they ask for (600 MB: two copies of CLIP-L)."""
    text = clip_l()
    save(models / "text_encoders" / CLIP_L, text)
    save(
        models / "checkpoints" / SD15_WITH_CLIP,
        {
            **sd15(),
            **prefixed("first_stage_model.", taesd(4)),
            **prefixed("cond_stage_model.transformer.", text),
        },
    )
    save(models / "diffusion_models" / FLUX, flux())
    save(models / "text_encoders" / T5, t5())
    save(models / "vae" / FLUX_VAE, taesd(16))
    save(models / "diffusion_models" / WAN, half(wan()))
    save(models / "text_encoders" / UMT5, umt5())
    save(models / "vae" / WAN_VAE, wan_vae())
    save(models / "checkpoints" / SDXL, {**sdxl(), **prefixed("first_stage_model.", taesd(4))})
    (models / "clip_vision").mkdir(exist_ok=True)
    small_clips.open_clip_folder(models / "clip_vision" / CLIP_SCORE)
    judges = models / "noise_search"
    judges.mkdir(exist_ok=True)
    small_clips.transformers_folder(judges / JUDGE_CLIP)
    small_clips.transformers_folder(judges / PICKSCORE, seed=1)
    small_clips.aesthetic_head(judges / AESTHETIC, 32)
    small_rewards.folder(judges / REWARD)


def sd3():
    """An SD3-format flow model: one block, 64 wide."""
    from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper

    text = {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 64}}
    model = OpenAISignatureMMDITWrapper(
        in_channels=16, patch_size=2, out_channels=16, depth=1, input_size=None, adm_in_channels=2048,
        context_embedder_config=text, num_patches=256, pos_embed_max_size=16, pos_embed_scaling_factor=None,
        operations=operations(),
    )  # fmt: skip
    return prefixed("model.diffusion_model.", filled(model))


def sd15():
    """An SD 1.5-format ε model: one level of 320 channels."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    model = UNetModel(
        image_size=32, in_channels=4, out_channels=4, model_channels=320, channel_mult=[1],
        num_res_blocks=[1], transformer_depth=[1], transformer_depth_middle=1,
        transformer_depth_output=[1, 1], context_dim=768, num_heads=8,
        use_spatial_transformer=True, legacy=False, operations=operations(),
    )  # fmt: skip
    return prefixed("model.diffusion_model.", half(filled(model)))


def sdxl():
    """An SDXL-format ε model with both text encoders, read by way of `server_nodes/small_models.py`."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.sdxl_clip import SDXLClipModel

    model = UNetModel(
        image_size=32, in_channels=4, out_channels=4, model_channels=320, channel_mult=[1], num_res_blocks=[1],
        transformer_depth=[1], transformer_depth_middle=1, transformer_depth_output=[1, 1], context_dim=2048,
        num_head_channels=64, use_spatial_transformer=True, use_linear_in_transformer=True, num_classes="sequential",
        adm_in_channels=2816, legacy=False, operations=operations(),
    )  # fmt: skip
    few = {f"clip_{size}_model_config": {"num_hidden_layers": 3} for size in "lg"}
    text = half(filled(SDXLClipModel(device="cpu", dtype=torch.float32, model_options=few)))
    places = {"clip_l.": "conditioner.embedders.0.", "clip_g.": "conditioner.embedders.1.model."}
    named = {place + k.removeprefix(of): v for of, place in places.items() for k, v in text.items() if k.startswith(of)}
    return {**prefixed("model.diffusion_model.", half(filled(model))), **named}


def flux():
    """A FLUX-format flow model, 128 wide; `server_nodes/small_models.py` lets the stock loader read it."""
    from comfy.ldm.flux.model import Flux

    model = Flux(
        in_channels=16, out_channels=16, vec_in_dim=768, context_in_dim=64, hidden_size=128, mlp_ratio=4.0,
        num_heads=1, depth=1, depth_single_blocks=1, axes_dim=[16, 56, 56], theta=10000, patch_size=2,
        qkv_bias=True, guidance_embed=True, operations=operations(),
    )  # fmt: skip
    return half(filled(model))


def wan():
    """A Wan 2.1-format text-to-video flow model (5-D latents), one block, 128 wide."""
    from comfy.ldm.wan.model import WanModel

    model = WanModel(dim=128, ffn_dim=128, num_heads=1, num_layers=1, operations=operations())
    return filled(model)


def clip_l():
    """The CLIP-L text encoder that SD 1.5 and FLUX use, at its real size, in fp16."""
    from comfy.clip_model import CLIPTextModel

    config = {
        "num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072,
        "hidden_act": "quick_gelu", "eos_token_id": 49407, "vocab_size": 49408, "max_position_embeddings": 77,
        "projection_dim": 768,
    }  # fmt: skip
    return half(filled(CLIPTextModel(config, torch.float32, "cpu", operations())))


def t5():
    """A T5-format text encoder 64 wide, read by way of `server_nodes/small_models.py`."""
    from comfy.text_encoders.t5 import T5

    config = {
        "d_ff": 64, "d_kv": 64, "d_model": 64, "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True,
        "model_type": "t5", "num_heads": 1, "num_layers": 1, "vocab_size": 32128,
    }  # fmt: skip
    return half(filled(T5(config, torch.float32, "cpu", operations())))


def umt5():
    """A UMT5-format text encoder with its vocabulary, read by way of `server_nodes/small_models.py`.

    As wide and as deep as the real one, by which ComfyUI knows it and Wan takes it; everything else is small.
    """
    from comfy.text_encoders.t5 import T5

    vocabulary = word_pieces("a black cat jumps onto a wooden table and knocks over a red cup")
    config = {
        "d_ff": 8, "d_kv": 8, "d_model": 4096, "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True,
        "model_type": "umt5", "num_heads": 1, "num_layers": 24, "vocab_size": 64,
    }  # fmt: skip
    return {**half(filled(T5(config, torch.float32, "cpu", operations()))), "spiece_model": vocabulary}


def word_pieces(text):
    """A SentencePiece vocabulary of single letters, as the bytes that ComfyUI's text encoder files hold."""
    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text]), model_writer=trained, model_type="char", vocab_size=64, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    return torch.frombuffer(bytearray(trained.getvalue()), dtype=torch.uint8)


def wan_vae():
    """A Wan 2.1-format video VAE 16 wide, scaled as `taesd` is."""
    from comfy.ldm.wan.vae import WanVAE

    vae = WanVAE(dim=16, z_dim=16, temperal_downsample=[False, True, True])
    vae.load_state_dict(filled(vae))
    last = vae.decoder.head[-1]
    with torch.no_grad():
        last.bias.zero_()
        pixels = vae.decode(torch.randn(1, 16, 2, 4, 4, generator=generator()))
        last.weight.mul_(0.3 / pixels.std())
        last.bias.copy_(-pixels.mean((0, 2, 3, 4)) * 0.3 / pixels.std())
    return vae.state_dict()


def taesd(channels):
    """A TAESD-format VAE, its last layer scaled so that pictures are neither flat nor clipped."""
    from comfy.taesd.taesd import TAESD

    vae = TAESD(latent_channels=channels)
    vae.load_state_dict(filled(vae))
    torch.nn.init.ones_(vae.vae_scale)
    torch.nn.init.zeros_(vae.vae_shift)
    last = vae.taesd_decoder[-1]
    with torch.no_grad():
        last.bias.zero_()
        pixels = vae.taesd_decoder(torch.randn(1, channels, 16, 16, generator=generator()))
        last.weight.mul_(0.15 / pixels.std())
        last.bias.copy_(0.5 - pixels.mean((0, 2, 3)) * 0.15 / pixels.std())
    return vae.state_dict()


def lora(layer, width_in, width_out, rank=2):
    """A LoRA of one layer, strong enough to be seen."""
    draw = generator()
    return {
        f"diffusion_model.{layer}.lora_down.weight": torch.randn(rank, width_in, generator=draw) * 0.2,
        f"diffusion_model.{layer}.lora_up.weight": torch.randn(width_out, rank, generator=draw) * 0.2,
    }


def operations():
    import comfy.ops

    return comfy.ops.manual_cast


def filled(module, seed=0):
    """The module's state with every floating weight drawn: 1/√fan-in, biases small, norms near one."""
    draw, state = generator(seed), module.state_dict()
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=draw)
        if value.dim() > 1:
            state[name] = noise / value[0].numel() ** 0.5
        elif name.endswith(("weight", "scale")):
            state[name] = 1 + 0.1 * noise
        else:
            state[name] = 0.1 * noise
    return state


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def half(state):
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


def prefixed(prefix, state):
    return {prefix + k: v for k, v in state.items()}


def save(path, state):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in state.items()}, str(path))


@dataclass
class Tiny:
    """One of the tiny models, in process: what a test needs to sample with it."""

    comfy: object  # in_process.Host
    name: str  # sd3 (flow), sd15 (ε) or wan (flow, video)
    channels: int
    text_width: int
    pooled: int

    @property
    def checkpoint(self):
        return f"tiny_{self.name}.safetensors"

    @property
    def lora(self):
        return f"tiny_{self.name}.safetensors"

    @cached_property
    def model(self):
        """MODEL, through the stock loader."""
        if self.name == "wan":
            return self.comfy.call("UNETLoader", unet_name=self.checkpoint)[0]
        return self.comfy.call("CheckpointLoaderSimple", ckpt_name=self.checkpoint)[0]

    @cached_property
    def vae(self):
        """A TAESD-format VAE for this model's latents (images only)."""
        return self.comfy.call("VAELoader", vae_name=f"tiny_{self.channels}.safetensors")[0]

    @property
    def clip(self):
        return Words(self.text_width, self.pooled)

    def encode(self, text):
        """CONDITIONING, through the stock node."""
        return self.comfy.call("CLIPTextEncode", clip=self.clip, text=text)[0]

    def latent(self, batch=1, size=8, frames=3):
        """An empty LATENT of size × size (and frames, for video)."""
        shape = (batch, self.channels, frames, size, size) if self.name == "wan" else None
        return {"samples": torch.zeros(shape or (batch, self.channels, size, size))}


def tiny(comfy, name):
    widths = {"sd3": (16, 4096, 2048), "sd15": (4, 768, 768), "wan": (16, 4096, 768)}
    return Tiny(comfy, name, *widths[name])


class Words:
    """A text encoder in as much as CLIPTextEncode needs one: each text gets its own random embedding."""

    def __init__(self, width, pooled):
        self.width, self.pooled = width, pooled

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, text):
        draw = generator(zlib.crc32(text.encode()))
        tokens = torch.randn(1, 8, self.width, generator=draw)
        return [[tokens, {"pooled_output": torch.randn(1, self.pooled, generator=draw)}]]
