"""Shapes World as ComfyUI's MODEL, CLIP and VAE."""

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.pixel_space_convert
import comfy.sd
import comfy.supported_models_base
import torch
from comfy.latent_formats import LatentFormat

from ...demo import model, pixels, scenes
from ...demo.world import load_networks


def load():
    """(MODEL, CLIP, VAE) with the committed weights, ready for ComfyUI's own nodes."""
    text, unet = load_networks()
    return shapes_model(unet.state_dict()), shapes_clip(text.state_dict()), ShapesVAE()


class ShapesLatent(LatentFormat):
    """Latents are the picture itself, eight times smaller, in −1…1."""

    latent_channels = 3
    latent_rgb_factors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


class ShapesConfig(comfy.supported_models_base.BASE):
    """What BaseModel asks of a model's description."""

    latent_format = ShapesLatent
    sampling_settings = {"shift": 1.0}
    memory_usage_factor = 0.02  # about 3 MB for one 32×32 latent


class ShapesUNet(model.UNet):
    """The U-Net behind the call that BaseModel makes; `context` may be of any length."""

    dtype = torch.float32

    def forward(self, x, sigma, context=None, **_):
        if x.shape[-1] % 4 or x.shape[-2] % 4:
            raise ValueError(
                "Shapes World draws images whose width and height are multiples of 32; "
                "set the empty latent to 256 × 256."
            )
        return super().forward(x, sigma, context)


class ShapesModel(comfy.model_base.BaseModel):
    """Flow matching in 32×32×3; the network takes σ itself, whatever scale a ModelSampling node sets."""

    def __init__(self, device):
        config = ShapesConfig({"disable_unet_model_creation": True})
        super().__init__(config, comfy.model_base.ModelType.FLOW, device=device)
        self.diffusion_model = ShapesUNet().eval().requires_grad_(False)
        self.diffusion_model.to(device, memory_format=torch.channels_last)

    def process_timestep(self, timestep, **_):
        return timestep / getattr(self.model_sampling, "multiplier", 1.0)


def shapes_model(weights):
    """A ModelPatcher around the U-Net with these weights (UNet's state dict)."""
    offload = comfy.model_management.unet_offload_device()
    shapes = ShapesModel(offload)
    shapes.diffusion_model.load_state_dict(weights)
    return comfy.model_patcher.ModelPatcher(shapes, comfy.model_management.get_torch_device(), offload)


class ShapesTokenizer:
    """Text → tokens as ComfyUI passes them on; an unknown word raises the parser's sentence."""

    def __init__(self, embedding_directory=None, tokenizer_data=None):
        pass

    def tokenize_with_weights(self, text, return_word_ids=False, **_):
        ids = model.tokenize([scenes.parse(text)])[0].tolist()
        return {"shapes": [[(i, 1.0, 0) if return_word_ids else (i, 1.0) for i in ids]]}

    def state_dict(self):
        return {}


class ShapesText(torch.nn.Module):
    """The text encoder behind the calls that comfy.sd.CLIP makes."""

    def __init__(self, dtype, device, model_options):
        super().__init__()
        self.dtypes = {dtype}
        self.encoder = model.TextEncoder().eval().requires_grad_(False).to(device, dtype)

    def encode_token_weights(self, tokens):
        ids = torch.tensor([[token[0] for token in row] for row in tokens["shapes"]])
        context = self.encoder(ids.to(self.encoder.positions.device))
        return context.float().to(comfy.model_management.intermediate_device()), None

    def set_clip_options(self, options):
        """Nothing to set: there is one output."""

    def reset_clip_options(self):
        """Nothing was set."""

    def load_sd(self, weights):
        return self.encoder.load_state_dict(weights)


def shapes_clip(weights):
    """A CLIP around the text encoder with these weights (TextEncoder's state dict), in fp32."""
    target = comfy.supported_models_base.ClipTarget(ShapesTokenizer, ShapesText)
    size = sum(tensor.numel() for tensor in weights.values())
    clip = comfy.sd.CLIP(target, parameters=size, model_options={"dtype": torch.float32})
    clip.load_sd(weights)
    return clip


class Pixels(comfy.pixel_space_convert.PixelspaceConversionVAE):
    """Latents and images differ in size only."""

    def encode(self, images, *_, **__):
        return pixels.shrink(images)

    def decode(self, latents, *_, **__):
        return pixels.enlarge(latents)


class ShapesVAE(comfy.sd.VAE):
    """ComfyUI's pixel-space VAE with the change of size put in."""

    def __init__(self):
        super().__init__(sd={"pixel_space_vae": torch.tensor(1.0)}, dtype=torch.float32)
        self.first_stage_model = Pixels().eval().requires_grad_(False)
        self.patcher = comfy.model_patcher.ModelPatcher(
            self.first_stage_model, self.device, comfy.model_management.vae_offload_device()
        )
        self.downscale_ratio = self.upscale_ratio = pixels.SCALE
        # A few copies of the image in fp32, for the shape that each of the two is handed.
        self.memory_used_encode = lambda shape, dtype: 4 * 3 * 8 * shape[2] * shape[3]
        self.memory_used_decode = lambda shape, dtype: 4 * 3 * 8 * shape[2] * shape[3] * pixels.SCALE**2
