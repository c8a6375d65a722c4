"""The verifier is an open_clip model like any other."""

import numpy as np
import pytest
import torch
from PIL import Image

from noise_search.demo import pixels, scenes, spoil
from noise_search.demo.world import WEIGHTS

open_clip = pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def verifier():
    name = f"local-dir:{WEIGHTS / 'verifier'}"
    clip, preprocess = open_clip.create_model_from_pretrained(name)
    return clip.eval(), preprocess, open_clip.get_tokenizer(name)


def test_it_tells_the_true_prompt_from_an_almost_true_one(verifier):
    clip, preprocess, tokenizer = verifier
    rng = np.random.default_rng(123)
    prompts = scenes.training_prompts(64, rng)
    drawn = scenes.scenes_of(prompts, rng)
    wrong = [spoil.spoil(prompt, scene, rng) for prompt, scene in zip(prompts, drawn, strict=True)]
    images = (pixels.enlarge(scenes.render(drawn).movedim(-1, 1) * 2 - 1) + 1) / 2
    ready = [preprocess(Image.fromarray((image * 255).byte().numpy())) for image in images.movedim(1, -1)]
    with torch.no_grad():
        seen = clip.encode_image(torch.stack(ready), normalize=True)
        true, false = (clip.encode_text(tokenizer([p.text() for p in said]), normalize=True)
                       for said in (prompts, wrong))
    assert ((seen * true).sum(1) > (seen * false).sum(1)).float().mean() > 0.75
