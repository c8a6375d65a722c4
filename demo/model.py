"""The two networks of Shapes World: a text encoder and a flow-matching U-Net. Pure torch.

Latents are [B,3,32,32], pixels scaled to −1…1. A noised latent is x_σ = (1−σ)·x0 + σ·ε with σ in 0–1; the
U-Net gives the velocity v = ε − x0, so x0 = x_σ − σ·v and an Euler step is x += (σ_next − σ)·v.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from .scenes import SHAPES, WORDS

TOKENS = 20  # length of every encoded prompt
CONTEXT = 128  # width of an encoded word
PAD = 0
_FIRST_SHAPE = WORDS.index(SHAPES[0]) + 1


def tokenize(prompts):
    """[B,20] token ids of Prompts; a Prompt without groups is the null condition, all padding."""
    ids = torch.full((len(prompts), TOKENS), PAD, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        words = [WORDS.index(word) + 1 for word in prompt.words()]
        ids[row, : len(words)] = torch.tensor(words, dtype=torch.long)
    return ids


class TextEncoder(nn.Module):
    """Token ids [B,20] → context [B,20,128]: word embeddings, mixed within each phrase, then a transformer.

    A phrase ends with its shape ("left one blue square"). Mixing it first spares the transformer the discovery
    that neighbouring words describe one object, which takes it longer than all the rest of the training.
    """

    def __init__(self, width=CONTEXT, layers=2, heads=4):
        super().__init__()
        self.words = nn.Embedding(len(WORDS) + 1, width)
        self.positions = nn.Parameter(0.3 * torch.randn(TOKENS, width))
        self.phrase = nn.Linear(width, width)
        self.layers = nn.ModuleList(TextLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        words = self.words(ids)
        x = words + self.positions + self.phrase(phrases(ids).to(words.dtype) @ words)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def phrases(ids):
    """[B,20,20] bool: whether two tokens are words of the same phrase."""
    ends = (ids >= _FIRST_SHAPE) & (ids < _FIRST_SHAPE + len(SHAPES))
    index = (ends.cumsum(1) - ends.long()).masked_fill(ids == PAD, -1)
    return (index[:, :, None] == index[:, None, :]) & (index[:, None, :] >= 0)


class TextLayer(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron."""

    def __init__(self, width, heads):
        super().__init__()
        self.attend = Attention(width, width, heads)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = self.attend(x, x)
        return x + self.mlp(self.norm(x))


class Attention(nn.Module):
    """x [B,N,width] looks at context [B,M,context]; residual."""

    def __init__(self, width, context, heads):
        super().__init__()
        self.heads = heads
        self.norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(context)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, context):
        q = self.query(self.norm(x))
        k, v = self.key_value(self.context_norm(context)).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Two 3×3 convolutions with the time added between them; residual."""

    def __init__(self, channels_in, channels, time):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels_in), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(time, channels)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(functional.silu(self.norm1(x))) + self.time(time)[..., None, None]
        return self.skip(x) + self.conv2(functional.silu(self.norm2(h)))


class Look(nn.Module):
    """Self-attention over the positions of a feature map, then cross-attention to the prompt."""

    def __init__(self, channels, heads=4):
        super().__init__()
        self.itself = Attention(channels, channels, heads)
        self.prompt = Attention(channels, CONTEXT, heads)

    def forward(self, x, context):
        tokens = x.flatten(2).transpose(1, 2)
        tokens = self.prompt(self.itself(tokens, tokens), context)
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """Velocity [B,3,32,32] from a noised latent [B,3,32,32], its σ [B] and a context [B,20,128]."""

    def __init__(self, widths=(32, 64, 160), time=128):
        super().__init__()
        a, b, c = widths
        self.time = nn.Sequential(nn.Linear(64, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.enter = nn.Conv2d(3, a, 3, padding=1)
        self.down1, self.shrink1 = Block(a, a, time), nn.Conv2d(a, b, 2, stride=2)
        self.down2, self.shrink2 = Block(b, b, time), nn.Conv2d(b, c, 2, stride=2)
        self.deep1, self.look1 = Block(c, c, time), Look(c)
        self.deep2, self.look2 = Block(c, c, time), Look(c)
        self.deep3 = Block(c, c, time)
        self.grow2, self.up2 = nn.ConvTranspose2d(c, b, 2, stride=2), Block(2 * b, b, time)
        self.grow1, self.up1 = nn.ConvTranspose2d(b, a, 2, stride=2), Block(2 * a, a, time)
        self.leave = nn.Sequential(nn.GroupNorm(8, a), nn.SiLU(), nn.Conv2d(a, 3, 3, padding=1))
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, x, sigma, context):
        x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster on CPUs
        time = self.time(waves(sigma).to(x.dtype))
        top = self.down1(self.enter(x), time)
        middle = self.down2(self.shrink1(top), time)
        h = self.look1(self.deep1(self.shrink2(middle), time), context)
        h = self.deep3(self.look2(self.deep2(h, time), context), time)
        h = self.up2(torch.cat([self.grow2(h), middle], dim=1), time)
        h = self.up1(torch.cat([self.grow1(h), top], dim=1), time)
        return self.leave(h).contiguous()


def waves(sigma, dimensions=64):
    """Sines and cosines of σ [B] at geometric frequencies: [B,64]."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000.0), dimensions // 2, device=sigma.device))
    angles = sigma.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
