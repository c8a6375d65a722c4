"""The blocks of judges inside ComfyUI: a server or a model here, and which of them need a prompt."""

import pytest
import torch

from noise_search.harness import small_clips, small_judges
from noise_search.harness.chat_server import chat_server
from noise_search.search import SearchError
from noise_search.verifiers import LocalModel, Verifier, VerifierError, VLMJudge

from .in_process import verifiers_loaded
from .model_folders import private
from .test_verifier_nodes import host  # noqa: F401  a fixture

IMAGES = small_clips.images(40, 60, n=3)
PROMPTS = ["a cat", "a dog that is brown", "no"]


@pytest.fixture(scope="module")
def judge(host, tmp_path_factory):  # noqa: F811
    """A small judge in models/noise_search; its folder."""
    with private(tmp_path_factory.mktemp("models")) as folders:
        yield small_judges.llava_folder(folders["noise_search"] / "small-llava")


@pytest.fixture
def score(host):  # noqa: F811
    from noise_search.nodes.host.scoring import score

    return score


LOCAL = {"backend": "local model", "local_model": "noise_search/small-llava"}


def test_judges_ask_their_server_unless_told_otherwise(host, score):  # noqa: F811
    with chat_server(lambda asked: "yes" if "dog" in asked.question else "no") as (url, asked):
        (one,) = host.call("NS_VLMJudge", base_url=url, model="m", in_flight=2)
        (checklist,) = host.call("NS_PromptChecklist", questions="A dog?\nA cat?", base_url=url, model="m")
        assert score(one, IMAGES[:2], ["a dog", "a cat"])[:, 0].tolist() == [1, 0]
        assert score(checklist, IMAGES[:2], ["", ""])[:, 0].tolist() == [0.5, 0.5]
    assert len(asked) == 6


def test_a_local_judge_is_loaded_and_placed_by_comfyui(host, judge, score):  # noqa: F811
    import comfy.model_management as mm

    mm.unload_all_models()
    assert host.nodes["NS_VLMJudge"].validate_inputs(**LOCAL) is True
    (verifier,) = host.call("NS_VLMJudge", **LOCAL)
    with torch.inference_mode():
        rows = score(verifier, IMAGES, PROMPTS)
    alone = Verifier.of(VLMJudge(LocalModel(judge))).measure(IMAGES, PROMPTS)
    torch.testing.assert_close(rows, alone, atol=1e-6, rtol=0)
    assert rows.unique().numel() == 3
    module = verifier.measures[0].modules()[0]
    assert [m.model.module for m in verifiers_loaded()] == [module]
    mm.unload_all_models()
    torch.testing.assert_close(score(verifier, IMAGES, PROMPTS), rows)
    (checklist,) = host.call("NS_PromptChecklist", questions="A dog?", **LOCAL)
    assert checklist.measures[0].modules()[0] is module


def test_half_precision_is_for_gpus(host, judge, monkeypatch):  # noqa: F811
    import comfy.model_management as mm

    from noise_search.nodes.host.scoring import precision

    assert precision(True) == precision(False) == torch.float32  # on this CPU
    monkeypatch.setattr(mm, "should_use_bf16", lambda *_: True)
    assert precision(True) == torch.bfloat16 and precision(False) == torch.float32
    keys = [host.call("NS_VLMJudge", **LOCAL, half_precision=half)[0].key for half in (True, False)]
    assert "bfloat16" in keys[0] and "float32" in keys[1]
    monkeypatch.setattr(mm, "should_use_bf16", lambda *_: False)
    monkeypatch.setattr(mm, "should_use_fp16", lambda *_: True)
    assert precision(True) == torch.float16


def test_a_missing_local_judge_is_one_sentence_and_is_nothing_to_a_server(host):  # noqa: F811
    node = host.nodes["NS_VLMJudge"]
    message = node.validate_inputs(backend="local model", local_model="not there")
    assert all(word in message for word in ("SmolVLM-Instruct", "Apache-2.0", "noise_search", "download input"))
    assert node.validate_inputs(backend="server", local_model="not there") is True
    assert node.validate_inputs(backend="local model", local_model="x", download="SmolVLM-Instruct") is True
    assert "backend is 'magic'" in node.validate_inputs(backend="magic")
    with pytest.raises(VerifierError, match="The vision-language model 'not there' is not installed"):
        host.call("NS_VLMJudge", backend="local model", local_model="not there")


def test_questions_that_are_typed_need_no_prompt(host, judge):  # noqa: F811
    from noise_search.nodes.host.score_images import score_images

    (typed,) = host.call("NS_PromptChecklist", questions="Is there a dog?", **LOCAL)
    (open_,) = host.call("NS_PromptChecklist", questions="Is there a dog?\nIs it {prompt}?", **LOCAL)
    (judging,) = host.call("NS_VLMJudge", **LOCAL)
    assert score_images(IMAGES, typed, "")[0].isfinite().all()
    for verifier, name in ((open_, "PromptChecklist"), (judging, "VLMJudge")):
        with pytest.raises(SearchError, match=f"The verifier {name} needs a prompt: type it into Score Images."):
            score_images(IMAGES, verifier, " ")
    with pytest.raises(VerifierError, match="has no questions: write yes/no questions, one a line"):
        host.call("NS_PromptChecklist", questions=" \n ", **LOCAL)
