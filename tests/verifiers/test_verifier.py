"""The contract that every verifier is held to: loud failures, NaN for what has no number, a light import."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from noise_search.harness.small_clips import images
from noise_search.verifiers import ImageStatistic, Verifier, VerifierError, watch
from noise_search.verifiers.verifier import run

ROOT = Path(__file__).parents[2]


class Given:
    """A measure that gives the numbers it was made with, or fails as told."""

    name, key, reads, sign = "given", "given", "images", 1

    def __init__(self, numbers=None, failure=None):
        self.numbers, self.failure, self.notes, self.seen = numbers, failure, [], []

    def modules(self):
        return []

    def measure(self, images, prompts, device):
        self.seen.append((len(images), list(prompts)))
        if self.failure:
            raise self.failure
        return torch.tensor(self.numbers[: len(images)])


CPU = torch.device("cpu")


def test_nan_and_infinity_come_back_as_nan():
    column = run(Given([1.0, float("inf"), float("nan")]), images(4, 4, 3), ["a", "b", "c"], CPU)
    assert column[0] == 1 and column[1:].isnan().all() and column.dtype == torch.float32


def test_an_image_that_is_not_finite_has_no_number_and_is_not_shown_to_the_model():
    batch = images(4, 4, 3)
    batch[1, 2, 2, 0] = torch.nan
    measure = Given([5.0, 6.0])
    column = run(measure, batch, ["a", "b", "c"], CPU)[:, 0]
    assert column[[0, 2]].tolist() == [5, 6] and column[1].isnan()
    assert measure.seen == [(2, ["a", "c"])]
    assert run(measure, batch * torch.nan, ["a", "b", "c"], CPU).isnan().all()


def test_a_failure_names_the_verifier_and_keeps_the_cause():
    with pytest.raises(VerifierError, match="given failed: KeyError: 'x'") as caught:
        run(Given(failure=KeyError("x")), images(4, 4, 1), ["a"], CPU)
    assert isinstance(caught.value.__cause__, KeyError)


def test_out_of_memory_and_the_hosts_cancel_pass_as_they_are():
    class Cancelled(Exception):
        pass

    with pytest.raises(torch.cuda.OutOfMemoryError):
        run(Given(failure=torch.cuda.OutOfMemoryError("full")), images(4, 4, 1), ["a"], CPU)
    with pytest.raises(Cancelled):
        run(Given(failure=Cancelled()), images(4, 4, 1), ["a"], CPU, let_through=(Cancelled,))


def test_wrong_shapes_are_refused():
    with pytest.raises(VerifierError, match="given gave shape"):
        run(Given([1.0]), images(4, 4, 2), ["a", "b"], CPU)
    with pytest.raises(VerifierError, match="2 images and 1 prompts"):
        run(Given([1.0, 2.0]), images(4, 4, 2), ["a"], CPU)


def test_equal_names_are_numbered():
    one, two = Verifier.of(ImageStatistic("contrast")), Verifier.of(ImageStatistic("contrast", "lower"))
    assert watch(one, two).names == ["contrast 1", "contrast 2"]


def test_watching_reports_a_column_and_leaves_the_order_alone():
    searched = Verifier.of(ImageStatistic("exposure", "lower"))
    watched = Verifier.of(ImageStatistic("contrast"))
    verifier = watch(searched, watched)
    batch = images(9, 9, 5)
    rows = verifier.measure(batch, [""] * 5)
    assert rows.shape == (5, 2) and verifier.searched == (True, False)
    torch.testing.assert_close(verifier.rule(rows), searched.rule(searched.measure(batch, [""] * 5)))
    rows[:, 1] = torch.nan
    assert verifier.rule(rows).isfinite().all()
    assert verifier.key != searched.key and verifier.relative == searched.relative


def test_import_is_light():
    """torch is the host's own and is there already; what the verifiers add must not be felt."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import standalone; standalone.load()\n"
        "import noise_search.verifiers\n"
        "heavy = {'transformers', 'open_clip', 'torchvision', 'timm'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
