"""Shapes World's verifiers: the exact one on exact scenes, the trained one against open_clip."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from noise_search.demo import scenes
from noise_search.demo.verifiers import WEIGHTS, ShapesOracle, ShapesVerifier
from noise_search.verifiers import Verifier, VerifierError

PROMPTS = ["a red circle left of a blue square", "two green triangles", "a big yellow ring above a small cross"]


@pytest.fixture(scope="module")
def drawn():
    """One exact image for each prompt."""
    made = scenes.scenes_of([scenes.parse(p) for p in PROMPTS], np.random.default_rng(0))
    return scenes.render(made).float()


def column(measure, images, prompts):
    return Verifier.of(measure).measure(images, prompts)[:, 0]


def test_the_oracle_reads_what_was_drawn(drawn):
    assert column(ShapesOracle(), drawn, PROMPTS).tolist() == [1, 1, 1]
    others = PROMPTS[1:] + PROMPTS[:1]
    assert (column(ShapesOracle(), drawn, others) < 1).all()
    assert column(ShapesOracle(strict=True), drawn, others).tolist() == [0, 0, 0]
    assert ShapesOracle().key != ShapesOracle(strict=True).key


def test_the_oracle_refuses_what_is_not_of_its_world(drawn):
    with pytest.raises(VerifierError, match="cannot read the prompt"):
        column(ShapesOracle(), drawn[:1], ["a red"])
    with pytest.raises(VerifierError, match="multiple of 32"):
        column(ShapesOracle(), torch.rand(1, 40, 32, 3), PROMPTS[:1])


def test_the_trained_verifier_is_an_open_clip_model(drawn):
    name = f"local-dir:{WEIGHTS}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    images = (drawn * 255).round() / 255
    pil = [Image.fromarray((i * 255).round().to(torch.uint8).numpy()) for i in images]
    with torch.no_grad():
        image = model.eval().encode_image(torch.stack([preprocess(i) for i in pil]), normalize=True)
        text = model.encode_text(open_clip.get_tokenizer(name)(PROMPTS), normalize=True)
    truth = image @ text.T
    torch.testing.assert_close(column(ShapesVerifier(), images, PROMPTS), truth.diag(), atol=1e-5, rtol=0)
    assert (truth.argmax(1) == torch.arange(3)).all()  # each image fits its own prompt best
