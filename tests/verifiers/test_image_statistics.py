"""Each statistic against its formula written out in numpy, pixel by pixel where that is the definition."""

import numpy as np
import pytest
import torch

from noise_search.harness.small_clips import images
from noise_search.verifiers import ImageStatistic, Verifier, VerifierError
from noise_search.verifiers.image_statistics import NEAREST, STATISTICS


def grey(image):
    return 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]


def sharpness(image):
    y = 255 * grey(image)
    height, width = y.shape
    mirror = lambda i, n: -i if i < 0 else 2 * (n - 1) - i if i >= n else i  # noqa: E731
    laplacian = np.empty_like(y)
    for r in range(height):
        for c in range(width):
            around = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
            laplacian[r, c] = sum(y[mirror(i, height), mirror(j, width)] for i, j in around) - 4 * y[r, c]
    return ((laplacian - laplacian.mean()) ** 2).mean()


def colourfulness(image):
    r, g, b = 255 * image[..., 0], 255 * image[..., 1], 255 * image[..., 2]
    rg, yb = r - g, 0.5 * (r + g) - b
    return np.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)


FORMULAE = {
    "sharpness": sharpness,
    "exposure": lambda image: grey(image).mean(),
    "contrast": lambda image: np.sqrt(((grey(image) - grey(image).mean()) ** 2).mean()),
    "colourfulness": colourfulness,
}


@pytest.mark.parametrize("name", STATISTICS)
def test_formula(name):
    batch = images(17, 23, n=4)
    truth = [FORMULAE[name](image.double().numpy()) for image in batch]
    rows = Verifier.of(ImageStatistic(name)).measure(batch, [""] * 4)
    np.testing.assert_allclose(rows[:, 0].numpy(), truth, rtol=1e-6)


def test_what_the_numbers_mean():
    flat = torch.full((1, 8, 8, 3), 0.5)
    half = torch.zeros(1, 8, 8, 3)
    half[:, :, 4:] = 1
    value = lambda name, image: Verifier.of(ImageStatistic(name)).measure(image, [""]).item()  # noqa: E731
    assert value("sharpness", flat) == pytest.approx(0, abs=1e-9)
    assert value("exposure", half) == pytest.approx(0.5)
    assert value("contrast", half) == pytest.approx(0.5)
    assert value("colourfulness", half) == pytest.approx(0, abs=1e-9)


def test_better_gives_the_order():
    dark, middle, bright = (torch.full((1, 4, 4, 3), v) for v in (0.1, 0.45, 0.9))
    batch = torch.cat([dark, middle, bright])
    best = {"higher": 2, "lower": 0, NEAREST: 1}
    for better, index in best.items():
        verifier = Verifier.of(ImageStatistic("exposure", better, target=0.5))
        assert verifier.rule(verifier.measure(batch, [""] * 3)).argmax() == index
    off = Verifier.of(ImageStatistic("exposure", NEAREST, 0.5)).measure(middle, [""])
    assert off.item() == pytest.approx(0.05)


def test_settings_make_the_key():
    settings = [("contrast",), ("contrast", "lower"), ("contrast", NEAREST, 0.2), ("exposure",)]
    assert len({ImageStatistic(*s).key for s in settings}) == 4


def test_unknown_names_are_refused():
    with pytest.raises(VerifierError, match="choose one of sharpness"):
        ImageStatistic("beauty")
    with pytest.raises(VerifierError, match="choose one of higher"):
        ImageStatistic("contrast", "best")
