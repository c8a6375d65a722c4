"""Shapes World without ComfyUI: prompts in, images out.

>>> world = load_world()
>>> noise = torch.randn(4, 3, 32, 32)
>>> images = world.decode(world.sample(noise, world.encode(["a red circle left of a blue square"])))
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

from . import model, pixels, scenes

WEIGHTS = Path(__file__).parent / "weights"
STEPS = 12  # recommended: Euler, this many steps of the "simple" schedule …
CFG = 3.0  # … with this guidance; 1.0 halves the price and follows the prompt less closely
LATENT = (3, scenes.SIZE, scenes.SIZE)


class World:
    """The trained networks with the few functions that sampling needs. Everything is batched."""

    def __init__(self, text, unet):
        self.text = text.eval().requires_grad_(False)
        self.unet = unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def encode(self, prompts):
        """[B,20,128] context of B prompts (str or scenes.Prompt); "" is the null condition."""
        parsed = [scenes.parse(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
        return self.text(model.tokenize(parsed).to(self.text.positions.device))

    def denoise(self, x, sigma, cond, cfg=1.0):
        """x0 [B,3,32,32] that the model sees in x at noise level sigma (float or [B]); cond [B or 1,20,128].

        With cfg ≠ 1 every row costs two evaluations, the second with the null condition.
        """
        rows = len(x)
        sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(rows)
        cond = cond.expand(rows, -1, -1)
        if cfg == 1.0:
            velocity = self.unet(x, sigma, cond)
        else:
            both = torch.cat([cond, self.encode([""]).expand_as(cond)])
            with_prompt, without = self.unet(x.repeat(2, 1, 1, 1), sigma.repeat(2), both).chunk(2)
            velocity = without + cfg * (with_prompt - without)
        return x - sigma[:, None, None, None] * velocity

    def schedule(self, steps=STEPS):
        """[steps+1] falling sigmas from 1 to 0, equal to ComfyUI's "simple" scheduler at shift 1."""
        return torch.tensor([(1000 - int(i * (1000 / steps))) / 1000 for i in range(steps)] + [0.0])

    def signal(self, sigma):
        """The image's share at a noise level: x_σ = (1 − σ)·x0 + σ·ε."""
        return 1 - sigma

    def sample(self, noise, cond, steps=STEPS, cfg=CFG):
        """x0 [B,3,32,32] from noise of that shape by Euler steps, as ComfyUI's "euler" sampler takes them."""
        x, sigmas = noise, self.schedule(steps)
        for sigma, lower in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - self.denoise(x, sigma, cond, cfg)) / sigma
            x = x + slope * (lower - sigma)
        return x

    def decode(self, x0):
        """Latents [B,3,32,32] → images [B,256,256,3] in 0–1."""
        return ((pixels.enlarge(x0) + 1) / 2).movedim(1, -1)

    def encode_image(self, images):
        """Images [B,256,256,3] in 0–1 → latents [B,3,32,32]."""
        return pixels.shrink(images.movedim(-1, 1) * 2 - 1)


def load_networks(folder=WEIGHTS):
    """(TextEncoder, UNet) in fp32 from `world.safetensors`, whose keys start with "text." and "unet."."""
    state = {name: tensor.float() for name, tensor in load_file(folder / "world.safetensors").items()}
    networks = model.TextEncoder(), model.UNet()
    for prefix, network in zip(("text.", "unet."), networks, strict=True):
        network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return networks


def load_world(folder=WEIGHTS):
    """The World with the committed weights, on the CPU in fp32."""
    return World(*load_networks(folder))
