"""Any verifier on a box: what is cut, what stays, what is refused."""

import pytest
import torch

from noise_search.harness import small_clips
from noise_search.verifiers import Box, ImageStatistic, Verifier, VerifierError, combine, region


def exposure():
    return Verifier.of(ImageStatistic("exposure"))


def test_the_score_is_that_of_the_cut_image():
    images = small_clips.images(40, 60, n=3)
    inside = region(exposure(), Box(0.25, 0.5, 0.5, 1.0))
    expected = exposure().measure(images[:, 20:40, 15:30], [""] * 3)
    torch.testing.assert_close(inside.measure(images, [""] * 3), expected)
    assert inside.names == ["exposure in region"] and inside.key != exposure().key


def test_a_combined_verifier_stays_combined():
    images = small_clips.images(40, 60, n=4)
    both = combine([exposure(), Verifier.of(ImageStatistic("contrast", "lower"))])
    inside = region(both, Box(0, 0, 0.5, 1))
    rows, cut = inside.measure(images, [""] * 4), both.measure(images[:, :, :30], [""] * 4)
    torch.testing.assert_close(rows, cut)
    torch.testing.assert_close(inside.rule(rows), both.rule(cut))


class Told:
    name, key, reads, sign, notes = "told", "told", "images", 1, ()

    def modules(self):
        return []

    def measure(self, images, prompts, device):
        self.prompts = list(prompts)
        return torch.zeros(len(images))


def test_its_own_prompt_replaces_the_searchs():
    measure, images = Told(), torch.zeros(2, 4, 4, 3)
    region(Verifier.of(measure), Box(0, 0, 1, 1), " a face ").measure(images, ["a", "b"])
    assert measure.prompts == ["a face", "a face"]
    region(Verifier.of(measure), Box(0, 0, 1, 1)).measure(images, ["a", "b"])
    assert measure.prompts == ["a", "b"]
    measure.needs_prompt = True
    with_own, without = (region(Verifier.of(measure), Box(0, 0, 1, 1), text).measures[0] for text in ("a face", ""))
    assert without.needs_prompt and not with_own.needs_prompt


def test_box_around_a_mask_at_any_size():
    mask = torch.zeros(2, 20, 10)
    mask[0, 4:8, 2:4] = 1
    mask[1, 9, 3] = 1
    assert Box.around(mask) == Box(0.2, 0.2, 0.4, 0.5)
    assert Box.around(mask[0, :, :]) == Box(0.2, 0.2, 0.4, 0.4)
    wide = Box.around(mask, margin=1.0)
    assert (wide.left, wide.top, wide.right) == (0, 0, pytest.approx(0.6)) and wide.bottom == pytest.approx(0.8)
    assert Box(0.99, 0.99, 1, 1).crop(torch.zeros(1, 8, 8, 3)).shape == (1, 1, 1, 3)


def test_bad_boxes_and_latents_are_refused():
    with pytest.raises(VerifierError, match="mask is empty"):
        Box.around(torch.zeros(1, 8, 8))
    for edges in [(0.5, 0, 0.5, 1), (0, 0, 1.5, 1), (0.2, 0.8, 0.4, 0.1)]:
        with pytest.raises(VerifierError, match="empty or outside the image"):
            Box(*edges)
    measure = Told()
    measure.reads = "latents"
    with pytest.raises(VerifierError, match="cannot cut told"):
        region(Verifier.of(measure), Box(0, 0, 1, 1))
