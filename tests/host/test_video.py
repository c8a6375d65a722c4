"""Video latents: frames, masks, and every algorithm on five dimensions."""

import pytest
import torch

from .searching import ALGORITHMS, Level, Searching, account, close, counted


@pytest.fixture(scope="module")
def lab(comfy, wan):
    return Searching(comfy, wan)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_image_is_the_plain_video(lab, algorithm):
    model, _ = lab.searched(lab.search(algorithm, {"images": 1}), Level().verifier)
    assert torch.equal(lab.ksampler(model), lab.ksampler())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_videos_are_searched(lab, algorithm):
    base, count = counted(lab.tiny.model)
    level = Level("images")
    search = lab.search(algorithm, {"images": 7})
    model, run = lab.searched(search, level.verifier, base, vae=lab.tiny.vae, frames=2)
    best = lab.ksampler(model)
    found = account(run)
    assert best.shape == (1, 16, 3, 4, 4) and found.spent == count.evaluations <= found.estimate
    assert len(level.seen) == 2 * len(found.lanes[0])
    if algorithm == "random":
        assert close(best, lab.ksampler(seed=int(found.best().recipe.seed)))


@pytest.mark.parametrize(("frames", "read"), [(1, 1), (2, 2), (3, 3), (8, 5)])
def test_so_many_frames_are_scored(lab, frames, read):
    level = Level("images")
    model, _ = lab.searched(lab.search("random", {"images": 2}), level.verifier, vae=lab.tiny.vae, frames=frames)
    lab.ksampler(model, lab.tiny.latent(frames=5))
    assert len(level.seen) == 2 * read


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("over_frames", ["mean", "minimum"])
def test_frames_are_combined(lab, over_frames, sign):
    given, level = [], Level("images")
    level.sign = sign
    level.numbers = lambda images: given.extend(images.flatten(1).mean(1).tolist()) or images.flatten(1).mean(1)
    model, run = lab.searched(
        lab.search("random", {"images": 2}), level.verifier, vae=lab.tiny.vae, over_frames=over_frames, batch=1
    )
    lab.ksampler(model)
    numbers = torch.tensor(given).reshape(2, 3)
    worst = numbers.min(1) if sign == 1 else numbers.max(1)
    expected = numbers.mean(1) if over_frames == "mean" else worst.values
    assert close(expected, torch.tensor([line.row[0] for line in account(run).lanes[0]]), 1e-6)


def test_a_mask_with_one_layer_a_frame(lab):
    latent = lab.tiny.latent()
    latent["samples"] += torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(1))
    mask = torch.stack([torch.full((8, 8), level) for level in (0.0, 1.0, 0.0)])
    (masked,) = lab.call("SetLatentNoiseMask", samples=latent, mask=mask)
    second_frame = Level(part=slice(64, 128))
    model, run = lab.searched(lab.search("random", {"images": 8}), second_frame.verifier, batch=8)
    best = lab.ksampler(model, masked, seed=21)
    seed = int(account(run).best().recipe.seed)
    assert seed != 21 and close(best, lab.ksampler(latent=masked, seed=seed))
    kept = latent["samples"][:, :, [0, 2]]
    assert close(best[:, :, [0, 2]], kept) and not close(best[:, :, 1], latent["samples"][:, :, 1])


def test_a_long_video_is_decoded_in_pieces(lab):
    """Where a video VAE says that a whole clip does not fit, it is decoded in temporal tiles, to the same frames."""
    import comfy.model_management

    from noise_search.nodes.host import scorer

    class VideoVAE:
        """The image VAE as one that reads clips; asks for too much memory where it is told to."""

        latent_dim, vae_dtype, device = 3, torch.float32, torch.device("cpu")
        fits, tiled = True, 0

        def memory_used_decode(self, shape, dtype):
            return 0 if self.fits else comfy.model_management.get_free_memory(self.device) * 2

        def decode(self, latents):
            return torch.stack([lab.tiny.vae.decode(video.movedim(1, 0)) for video in latents])

        def decode_tiled(self, latents, tile_t, overlap_t):
            self.tiled += 1
            return self.decode(latents)

    vae, latents = VideoVAE(), torch.randn(2, 16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = scorer.decode(vae, latents)
        vae.fits = False
        pieces = scorer.decode(vae, latents)
    assert whole.shape == (2, 3, 64, 64, 3) and torch.equal(whole, pieces) and vae.tiled == 2
