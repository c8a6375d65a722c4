"""Judges that run in this process: small real architectures in their published layouts, against transformers itself."""

import json

import pytest
import torch
from PIL import Image

from noise_search.harness import small_clips, small_judges
from noise_search.verifiers import LocalModel, PromptChecklist, Verifier, VerifierError, VLMJudge
from noise_search.verifiers.answer import NotUnderstood
from noise_search.verifiers.vlm_judge import ASPECTS, QUESTION, RUBRIC

PROMPTS = ["a cat", "a dog that is brown, and a cat that is not", "no", ""]
IMAGES = small_clips.images(60, 90, n=4)


@pytest.fixture(scope="module", params=small_judges.FOLDERS)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("judges") / request.param
    return small_judges.FOLDERS[request.param](path)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return small_judges.llava_folder(tmp_path_factory.mktemp("judge") / "llava")


class Transformers:
    """The model as transformers' own documentation uses it: one image and one question at a time, no padding."""

    def __init__(self, path):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.processor = AutoProcessor.from_pretrained(path)
        self.model = AutoModelForImageTextToText.from_pretrained(path).float().eval()

    def inputs(self, image, question):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        picture = Image.fromarray((image * 255).round().byte().numpy())
        begun = text.startswith(self.processor.tokenizer.bos_token or "\0")
        return self.processor(text=text, images=picture, return_tensors="pt", add_special_tokens=not begun)

    @torch.no_grad()
    def yes(self, image, question):
        chances = self.model(**self.inputs(image, question)).logits[0, -1].softmax(-1)
        decode = self.processor.tokenizer.decode
        return chances[[k for k in range(len(chances)) if decode([k]).strip().lower() == "yes"]].sum().item()

    @torch.no_grad()
    def text(self, image, question, tokens):
        inputs = self.inputs(image, question)
        plain = {"do_sample": False, "temperature": None, "repetition_penalty": 1.0}
        out = self.model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, **plain)
        return self.processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_probability_of_yes_is_that_of_transformers_own_logits(folder):
    """Of questions of different lengths, together and two at a time."""
    reference = Transformers(folder)
    wanted = torch.tensor([reference.yes(i, QUESTION.replace("{prompt}", p)) for i, p in zip(IMAGES, PROMPTS)])
    assert wanted.unique().numel() == 4 and (wanted > 1e-4).all()
    for at_once in (4, 2):
        found = Verifier.of(VLMJudge(LocalModel(folder, at_once=at_once))).measure(IMAGES, PROMPTS)[:, 0]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_the_image_counts(llava):
    found = Verifier.of(VLMJudge(LocalModel(llava))).measure(IMAGES, ["a cat"] * 4)[:, 0]
    assert found.unique().numel() == 4


def test_the_answer_is_the_likeliest_whatever_the_folder_says_of_sampling(folder):
    """The folder's generation_config asks for sampling and a repetition penalty."""
    (said,) = LocalModel(folder).ask(IMAGES[:1], [["Is there a dog?"]], lambda answer: answer.text)
    wanted = Transformers(folder).text(IMAGES[0], "Is there a dog?", 16)
    assert said[0].startswith(wanted) and len(wanted) > 8


def test_half_precision_is_near_and_its_scores_do_not_tie(llava):
    images = small_clips.images(60, 90, n=12, seed=3)
    exact, half = (
        Verifier.of(VLMJudge(LocalModel(llava, dtype))).measure(images, ["a cat"] * 12)[:, 0]
        for dtype in (torch.float32, torch.bfloat16)
    )
    torch.testing.assert_close(half, exact, atol=0.02, rtol=0)
    assert half.unique().numel() == 12
    assert LocalModel(llava).key != LocalModel(llava, torch.bfloat16).key


def test_rubric_by_a_model_that_learned_to_answer(llava, tmp_path):
    """Taught that what is dark is a 3 and what is bright an 8, in JSON, it says so and is read."""
    scenes = torch.stack([torch.full((48, 48, 3), 0.1), torch.full((48, 48, 3), 0.9)])
    taught = teach(Transformers(llava), scenes, RUBRIC.replace("{prompt}", "a cat"), [said(3), said(8)])
    path = small_judges.llava_folder(tmp_path / "taught")
    taught.save_pretrained(path)
    judge = Verifier.of(VLMJudge(LocalModel(path), "emotional resonance"))
    assert judge.measure(scenes, ["a cat"] * 2)[:, 0].tolist() == [3, 8]


def said(number):
    return json.dumps(dict.fromkeys(ASPECTS, number))


def teach(reference, scenes, question, answers, steps=300):
    """The reference's model, trained on these answers until it gives them."""
    model, end = reference.model.train(), reference.processor.tokenizer.eos_token_id
    lessons = []
    for scene, answer in zip(scenes, answers):
        inputs = reference.inputs(scene, question)
        ids = reference.processor.tokenizer(answer, return_tensors="pt", add_special_tokens=False).input_ids
        ids = torch.cat([ids, torch.tensor([[end]])], 1)
        given = inputs["input_ids"]
        full = {"input_ids": torch.cat([given, ids], 1), "pixel_values": inputs["pixel_values"]}
        lessons.append((full, torch.cat([torch.full_like(given, -100), ids], 1)))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        loss = sum(model(**full, labels=labels).loss for full, labels in lessons)
        if loss.item() < 0.02:
            return model.eval()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    raise AssertionError(f"not learned in {steps} steps: loss {loss.item()}")


def test_nonsense_is_asked_about_once_more_and_is_then_an_error(llava):
    with pytest.raises(VerifierError, match="llava was asked twice and not understood: it is not a JSON object") as why:
        VLMJudge(LocalModel(llava), "overall").measure(IMAGES[:1], ["a cat"], torch.device("cpu"))
    assert "It said: '" in str(why.value)


def test_only_what_was_not_understood_is_asked_again(llava):
    model, asked = LocalModel(llava), []
    answers = model.loaded.answers
    model.loaded.answers = lambda batch, *more: asked.append([q for _, q in batch]) or answers(batch, *more)
    seen = []

    def read(answer):
        seen.append(answer)
        if len(seen) == 2:
            raise NotUnderstood("it rhymes")
        return len(seen)

    found = model.ask(IMAGES[:2], [["A?", "B?"], ["C?"]], read, probabilities=True)
    assert found == [[1, 4], [3]]
    again = "B?\n\nYour last answer could not be used: it rhymes. Answer again, exactly as asked."
    assert asked == [["A?", "B?", "C?"], [again]]


def test_checklist_needs_no_prompt_and_is_the_mean_of_its_answers(llava):
    reference, questions = Transformers(llava), ["Is there a dog?", "Is there a cat?"]
    wanted = [sum(reference.yes(i, f"{q} Please answer yes or no.") for q in questions) / 2 for i in IMAGES[:2]]
    checklist = PromptChecklist(LocalModel(llava), "\n".join(questions))
    found = Verifier.of(checklist).measure(IMAGES[:2], ["", ""])[:, 0]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-4, rtol=0)
    assert not checklist.needs_prompt


def test_batches_are_halved_when_memory_runs_out(llava):
    model, sizes = LocalModel(llava, at_once=4), []
    answers = model.loaded.answers

    def little_memory(batch, *more):
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.cuda.OutOfMemoryError("full")
        return answers(batch, *more)

    model.loaded.answers = little_memory
    assert VLMJudge(model).measure(IMAGES, PROMPTS, torch.device("cpu")).shape == (4,)
    assert sizes == [4, 2, 1, 1, 1, 1]


class Cancelled(Exception):
    pass


def test_a_cancel_ends_the_answer_that_is_being_written(llava):
    calls = []

    def cancel():
        calls.append(1)
        if len(calls) == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        LocalModel(llava, between=cancel).ask(IMAGES[:1], [["Tell me."]], lambda answer: answer.text)
    assert len(calls) == 5


def test_one_model_is_loaded_for_all_who_ask_it(llava):
    first, second = VLMJudge(LocalModel(llava)), PromptChecklist(LocalModel(llava, side=64), "A dog?")
    assert first.modules()[0] is second.modules()[0]
    assert first.model.key != second.model.key


@pytest.mark.parametrize(
    ("gone", "lacks"),
    [
        ("model.safetensors", "lacks .safetensors weights"),
        ("chat_template.json", "has no chat template"),
        ("config.json", "lacks its config.json"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_at_once(tmp_path, gone, lacks):
    path = small_judges.llava_folder(tmp_path / "half")
    (path / gone).unlink()
    with pytest.raises(VerifierError, match=lacks):
        LocalModel(path)


def test_a_model_of_another_kind_is_refused_at_once(tmp_path):
    path = small_clips.transformers_folder(tmp_path / "clip")
    with pytest.raises(VerifierError, match="clip is no vision-language model"):
        LocalModel(path)
