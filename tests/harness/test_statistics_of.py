"""Statistics of a folder of images, made as a person makes them."""

import subprocess
import sys

import pytest
import torch
from PIL import Image

from noise_search.harness import find, small_clips
from noise_search.harness.statistics_of import TOGETHER, batches
from noise_search.verifiers import population_model
from noise_search.verifiers.reference_statistics import of_images, read


@pytest.fixture
def photos(tmp_path):
    """Images of two sizes, in folders, among other files; as tensors too."""
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    images = [*small_clips.images(40, 50, n=3), *small_clips.images(64, 48, n=2, seed=1)]
    for n, image in enumerate(images):
        place = folder if n < 3 else folder / "deeper"
        Image.fromarray((image * 255).round().byte().numpy()).save(place / f"{n}.png")
    (folder / "notes.txt").write_text("not an image")
    return folder, images


def statistics(*options):
    command = [sys.executable, str(find.ROOT / "run.py"), "statistics", "--here", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, cwd=options[1].parent)


def test_they_are_those_of_all_images_in_the_folder(photos, tmp_path):
    folder, images = photos
    model = small_clips.dinov2_classifier_folder(tmp_path / "dinov2")
    done = statistics("--folder", folder, "--model", model)
    assert done.returncode == 0 and "photos.npz: dinov2 64, 5 images" in done.stdout and "5 of 5" in done.stderr
    assert "Fewer images than numbers (64)" in done.stdout
    found = read(tmp_path / "photos.npz")
    deeper, shallow = [i[None] for i in images[3:]], [i[None] for i in images[:3]]
    truth = of_images([*shallow, *deeper], population_model(model, classify=False))
    torch.testing.assert_close(found.mean, truth.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.covariance, truth.covariance, atol=1e-5, rtol=0)
    assert found.count == 5 and found.kind == truth.kind


def test_what_is_wrong_is_one_sentence(photos, tmp_path):
    folder, _ = photos
    for options, message in {
        ("--folder", folder): "Say which: python run.py statistics",
        ("--folder", folder, "--model", tmp_path / "gone.pth"): "gone.pth is not there",
    }.items():
        done = statistics(*options)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "empty").mkdir()
    model = small_clips.dinov2_classifier_folder(tmp_path / "dinov2")
    done = statistics("--folder", tmp_path / "empty", "--model", model)
    assert done.returncode == 1 and "two images or more, and there are 0" in done.stderr


def test_images_of_one_size_are_read_together(tmp_path):
    files = []
    for n in range(TOGETHER + 3):
        files.append(tmp_path / f"{n:02}.png")
        Image.new("L" if n else "RGBA", (8, 6)).save(files[-1])
    assert [tuple(batch.shape) for batch in batches(files)] == [(TOGETHER, 6, 8, 3), (3, 6, 8, 3)]
