"""What goes wrong is said in one sentence, before sampling where it can be known; cancelling leaves nothing behind."""

import pytest
import torch

from .searching import ALGORITHMS, Level, Searching, account, counted, wrap
from .test_neighbours import leaves


@pytest.fixture(scope="module")
def lab(comfy, sd3):
    return Searching(comfy, sd3)


def interrupting(model, at):
    """The MODEL with a wrapper in which the user presses cancel during evaluation number `at`."""
    from comfy.patcher_extension import WrappersMP

    model, calls = model.clone(), []

    def predict(executor, x, *args, **kwargs):
        import comfy.model_management

        calls.append(x.shape[0])
        if len(calls) == at:
            comfy.model_management.interrupt_current_processing()
        return executor(x, *args, **kwargs)

    wrap(model, WrappersMP.PREDICT_NOISE, predict, "interrupting")
    return model, calls


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m_sde"])
def test_cancel_stops_within_one_call_and_leaves_nothing_patched(lab, algorithm, sampler_name):
    import comfy.model_management

    base, calls = interrupting(lab.tiny.model, 4)
    model, _ = lab.searched(lab.search(algorithm, {"images": 6}), Level().verifier, base, batch=1)
    before = leaves(base.model_options), leaves(model.model_options)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        lab.ksampler(model, sampler_name=sampler_name)
    assert len(calls) == 4 and not comfy.model_management.processing_interrupted()
    assert (leaves(base.model_options), leaves(model.model_options)) == before
    assert torch.equal(lab.ksampler(base, sampler_name=sampler_name), lab.ksampler(sampler_name=sampler_name))


class Raises(Level):
    def numbers(self, inputs):
        raise KeyError("weights")


class Sometimes(Level):
    """NaN for every second candidate that it sees."""

    def numbers(self, inputs):
        places = torch.arange(len(self.seen) - len(inputs), len(self.seen))
        return super().numbers(inputs).where(places % 2 == 0, torch.nan)


def test_a_verifier_that_fails_is_named(lab):
    model, _ = lab.searched(lab.search(), Raises(name="My Judge").verifier)
    with pytest.raises(RuntimeError, match="My Judge failed: KeyError"):
        lab.ksampler(model)


def test_a_verifier_that_gives_no_number_stops_the_run(lab):
    model, _ = lab.searched(lab.search(), Sometimes(name="My Judge").verifier)
    with pytest.raises(ValueError, match="My Judge gave nan.*on_nan"):
        lab.ksampler(model)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_or_leaves_the_candidate_out_and_says_so(lab, algorithm):
    level = Sometimes(name="My Judge")
    model, run = lab.searched(lab.search(algorithm, {"images": 7}), level.verifier, on_nan="exclude", batch=1)
    out = lab.ksampler(model)
    found = account(run)
    left_out = [line for line in found.lanes[0] if line.excluded]
    assert left_out and all(line.excluded == "My Judge gave nan" for line in left_out)
    assert out.isfinite().all() and not found.best().excluded


def broken(model, from_call):
    """The MODEL giving NaN from one evaluation on, as a half-precision overflow does."""
    from comfy.patcher_extension import WrappersMP

    model, calls = model.clone(), []

    def predict(executor, x, *args, **kwargs):
        calls.append(1)
        return executor(x, *args, **kwargs) * (torch.nan if len(calls) >= from_call else 1)

    wrap(model, WrappersMP.PREDICT_NOISE, predict, "broken")
    return model


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("vae", [False, True])
def test_a_sampler_that_gives_no_image_is_never_a_black_one(lab, algorithm, vae):
    scored = {"vae": lab.tiny.vae} if vae else {}
    for images in (1, 7):
        level = Level("images" if vae else "latents")
        search = lab.search(algorithm, {"images": images})
        model, _ = lab.searched(search, level.verifier, broken(lab.tiny.model, 1), **scored)
        with pytest.raises(ValueError, match="latent.*not finite|not finite.*latent"):
            lab.ksampler(model)
        model, _ = lab.searched(search, level.verifier, broken(lab.tiny.model, 1), on_nan="exclude", **scored)
        with pytest.raises(ValueError, match="left out"):
            lab.ksampler(model)


def test_broken_candidates_are_left_out_where_wanted(lab):
    search = lab.search("random", {"images": 4})
    model, run = lab.searched(search, Level().verifier, broken(lab.tiny.model, 4), on_nan="exclude", batch=1)
    assert torch.equal(lab.ksampler(model), lab.ksampler())
    lines = account(run).lanes[0]
    assert [bool(line.excluded) for line in lines] == [False, True, True, True]
    assert all("not finite" in line.excluded for line in lines[1:])


class NeedsWords(Level):
    needs_prompt = True


@pytest.fixture
def fails_before_sampling(lab):
    """Whether something raises one sentence, matching, before the model is ever called."""

    def check(match, run, algorithm="random", budget=None, verifier=None, **options):
        base, count = counted(lab.tiny.model)
        with pytest.raises((ValueError, RuntimeError), match=match) as error:
            search = lab.search(algorithm, budget)
            model, _ = lab.searched(search, verifier or Level().verifier, base, **options)
            run(model)
        text = str(error.value).strip()
        assert count.evaluations == 0 and "\n" not in text and len(text) < 300 and text.endswith((".", ")"))

    return check


def test_bad_budgets(lab, fails_before_sampling):
    fails_before_sampling("Search Budget: .*all 0.*set one", lab.ksampler, budget={"images": 0})
    fails_before_sampling("2 evaluations are too few.* 3; set evaluations to at least 3", lab.ksampler,
                          budget={"evaluations": 2})  # fmt: skip
    fails_before_sampling("Search over Paths.*set evaluations to at least", lab.ksampler, "paths",
                          {"evaluations": 5})  # fmt: skip
    two = lab.latent(2)
    fails_before_sampling("batch of 2; set evaluations to at least 6", lambda model: lab.ksampler(model, two),
                          budget={"evaluations": 4})  # fmt: skip


def test_a_verifier_of_images_without_a_vae(lab, fails_before_sampling):
    fails_before_sampling("level looks at images: connect a VAE", lab.ksampler, verifier=Level("images").verifier)


def test_a_target_for_ranks(lab, fails_before_sampling):
    from noise_search.verifiers import combine

    ranks = combine([Level().verifier, Level(part=slice(7, 20), name="other").verifier], "mean rank", [1, 1], 0)
    budget = {"images": 4, "use_target": True, "target_score": 0.5}
    fails_before_sampling(
        "target score needs a verifier.*Remove the target", lab.ksampler, budget=budget, verifier=ranks
    )


def test_two_search_blocks(lab, fails_before_sampling):
    def twice(model):
        lab.searched(lab.search(), Level().verifier, model)

    fails_before_sampling("already carries a search: remove one.*`after`", twice)

    def explicit(model):
        lab.call("NS_SearchSampler", **lab.custom_inputs(model=model), search=lab.search(), verifier=Level().verifier)

    fails_before_sampling("already carries a search", explicit)


def test_paths_with_samplers_that_cannot_be_cut(lab, fails_before_sampling):
    for name in ("dpm_adaptive", "dpm_fast"):
        fails_before_sampling(f"{name} cannot be stopped.*choose euler",
                              lambda model, name=name: lab.ksampler(model, sampler_name=name), "paths")  # fmt: skip


def test_paths_in_one_step(lab, fails_before_sampling):
    fails_before_sampling("at least 2 sampling steps.*raise", lambda model: lab.ksampler(model, steps=1), "paths")


def test_prompts_and_rows_that_do_not_match(lab, fails_before_sampling):
    fails_before_sampling("prompt has 3 parts.*batch has 1", lab.ksampler, prompt="a\n---\nb\n---\nc")


def test_a_verifier_that_needs_a_prompt_and_has_none(lab, fails_before_sampling):
    fails_before_sampling("level needs a prompt.*type it", lab.ksampler, verifier=NeedsWords().verifier)


def test_latents_of_another_model(lab):
    model, _ = lab.searched(lab.search(), Level().verifier)
    with pytest.raises(ValueError, match="latent has 4 channels and this model draws latents of 16: give"):
        lab.ksampler(model, {"samples": torch.ones(1, 4, 4, 4)})


def test_each_row_has_its_prompt(lab):
    level = NeedsWords()
    model, _ = lab.searched(lab.search("random", {"images": 2}), level.verifier, prompt="a cat\n---\na dog")
    lab.ksampler(model, lab.latent(2))
    assert level.prompts == ["a cat", "a dog"] * 2


@pytest.mark.parametrize("verifier", ["NS_ShapesVerifier", "NS_ShapesOracle"])
def test_the_packs_own_verifiers_of_text_need_a_prompt(lab, comfy, verifier):
    (given,) = comfy.call(verifier)
    with pytest.raises(ValueError, match="needs a prompt"):
        comfy.call("NS_ScoreImages", images=torch.rand(2, 64, 64, 3), verifier=given, prompt=" ")
