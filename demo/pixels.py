"""Between the world's 32×32 latents and images of a size that a person can look at; nothing is learned."""

from torch.nn import functional

SCALE = 8  # pixels of the image for one of the latent, on a side
STEEPNESS = 6.0  # how much sharper an edge gets than bicubic makes it


def enlarge(latents, scale=SCALE):
    """Latents [B,3,h,w] in −1…1 → images [B,3,8h,8w] in −1…1: bicubic, then each edge steepened.

    Between the smallest and largest neighbour of every pixel the values are pulled to the nearer end, so that
    edges get crisp, while what lies beside them and the area they enclose stay: `shrink` gives the latents
    back, but for a few thousandths.
    """
    smooth = functional.interpolate(latents, scale_factor=scale, mode="bicubic")
    high, low = functional.max_pool2d(latents, 3, 1, 1), -functional.max_pool2d(-latents, 3, 1, 1)
    high, low = (functional.interpolate(t, scale_factor=scale, mode="bilinear") for t in (high, low))
    middle, half = (high + low) / 2, (high - low) / 2
    position = (smooth - middle) / half.clamp_min(1e-3)
    return (middle + half * (position * STEEPNESS / 2).clamp(-1, 1)).clamp(-1, 1)


def shrink(images, scale=SCALE):
    """Images [B,3,8h,8w] in −1…1 → latents [B,3,h,w], by area average."""
    return functional.avg_pool2d(images, scale)
