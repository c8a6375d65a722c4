"""Inception v3 against torch-fidelity's numbers for the same weights, and against torchvision's own network."""

import pytest
import torch
from torchvision.models import Inception_V3_Weights, inception_v3

from noise_search.harness import small_inception
from noise_search.harness.small_clips import images
from noise_search.verifiers import VerifierError
from noise_search.verifiers.inception import FID, TORCHVISION, inception

from .test_clip_score import pil

CPU = torch.device("cpu")
# torch-fidelity 0.4.0's FeatureExtractorInceptionV3 with the weights of `small_inception.file`: every 400th of
# its 2048 features, and every 250th probability from its logits_unbiased.
SMALL, LARGE = images(70, 101, n=2), images(400, 310, n=1, seed=3)
FEATURES = {
    "small": (SMALL, [
        [0.5343836, 0.3626338, 0.1592508, 0.4905203, 0.2651650, 0.6328757],
        [0.5273851, 0.3654780, 0.1542503, 0.4967228, 0.2726432, 0.6481214],
    ]),
    "large": (LARGE, [[0.5430756, 0.3616116, 0.1483838, 0.4979559, 0.2684562, 0.6485972]]),
}  # fmt: skip
PROBABILITIES = [
    [0.000746611, 0.001260845, 0.001200115, 0.000732307, 0.000731370],
    [0.000742575, 0.001266064, 0.001201017, 0.000740455, 0.000727487],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def fid(folder):
    return inception(small_inception.file(folder / "pt_inception-2015-12-05-6726825d.pth"))


@pytest.mark.parametrize("size", FEATURES)
def test_fids_network_equals_torch_fidelity(fid, size):
    given, truth = FEATURES[size]
    features = fid.features(given, CPU)
    assert features.shape == (len(given), 2048) and fid.kind == FID and fid.size == 2048
    torch.testing.assert_close(features[:, ::400], torch.tensor(truth), atol=1e-4, rtol=0)


def test_its_probabilities_leave_the_last_bias_out(fid):
    found = fid.probabilities(SMALL, CPU)
    assert found.shape == (2, 1008) == (2, fid.classes)
    torch.testing.assert_close(found[:, ::250], torch.tensor(PROBABILITIES), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_torchvisions_network_equals_torchvision(folder):
    file = small_inception.file(folder / "inception_v3_google-0cc3c7bd.pth", small_inception.TORCHVISION_CLASSES)
    model = inception(file)
    truth = inception_v3(init_weights=False, transform_input=True).eval()
    truth.load_state_dict(torch.load(file, weights_only=True), strict=False)
    pixels = torch.stack([Inception_V3_Weights.IMAGENET1K_V1.transforms()(image) for image in pil(SMALL)])
    with torch.no_grad():
        probabilities = truth(pixels).softmax(1)
        truth.fc = torch.nn.Identity()
        features = truth(pixels)
    assert model.kind == TORCHVISION
    torch.testing.assert_close(model.probabilities(SMALL, CPU), probabilities, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.features(SMALL, CPU), features, atol=1e-5, rtol=0)


@pytest.mark.parametrize("classes", [1008, 1000])
def test_the_published_names_are_those_of_the_network(classes):
    from torchvision.models.inception import Inception3

    with torch.device("meta"):
        network = Inception3(classes, aux_logits=classes == 1000, init_weights=False)
    names = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    assert small_inception.published_names(classes) == names


def test_a_file_that_is_another_network_is_one_sentence(folder, monkeypatch):
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, folder / "other.pth")
    with pytest.raises(VerifierError, match="other.pth is no Inception v3 of 1008 or 1000 classes"):
        inception(folder / "other.pth")
    state = {k: v for k, v in small_inception.state_dict().items() if not k.startswith("Mixed_6b.branch1x1")}
    torch.save(state, folder / "part.pth")
    with pytest.raises(VerifierError, match="lacks Mixed_6b.branch1x1"):
        _ = inception(folder / "part.pth").module
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VerifierError, match="pip install torchvision"):
        inception(folder / "part.pth")


def test_one_network_while_anyone_holds_it(fid):
    assert inception(fid.path) is fid
