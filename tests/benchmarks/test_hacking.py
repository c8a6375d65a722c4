"""Who chooses what, and what is written of it; the parts run."""

import numpy as np
import pytest
import torch

from noise_search.benchmarks import classifier, hacking, scoring, words
from noise_search.demo.scenes import held_out_prompts, parse, render, scenes_of
from noise_search.verifiers import ClassProbability, Endpoint, PromptChecklist

PROMPTS = held_out_prompts(2)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="module")
def scored(scratch):
    return hacking.measure(PROMPTS, 5, scratch, say=lambda text: None, steps=2)


def test_everyone_scores_every_candidate(scored):
    assert scored.rows.shape == (2, 5, 7) and np.isfinite(scored.rows).all()
    assert scored.names[-1] == hacking.ORACLE and len(set(scored.names)) == 7


def test_each_chooses_what_it_likes_best_and_nobody_changes_the_candidates(scored):
    chosen = hacking.choices(scored)
    assert (chosen[hacking.NOTHING] == 0).all() and list(chosen)[-1] == hacking.ORACLE
    for k, name in enumerate(scored.names):
        best = scored.rows[np.arange(2), chosen[name], k]
        assert (best == scored.rows[..., k].max(1)).all()


def test_the_ensemble_is_the_mean_of_ranks():
    rows = np.array([[[9, 0.1, 0.9, 0, 0, 0], [8, 0.3, 0.8, 0, 0, 0], [1, 0.2, 0.7, 0, 0, 0]]], dtype=float)
    names = [*hacking.TOGETHER, "sharpness", "colourfulness", hacking.ORACLE]
    scored = hacking.Scored(names, [1] * 6, rows)
    # ranks 1, 3, 1 (mean 1.67); 2, 1, 2 (mean 1.67); 3, 2, 3: the first of two equals
    assert hacking.choices(scored)[hacking.ENSEMBLE].tolist() == [0]
    rows[0, 1, 0] = 9.5
    assert hacking.choices(scored)[hacking.ENSEMBLE].tolist() == [1]


def test_the_checklists_judge_says_what_the_oracle_sees():
    drawn = render(scenes_of(PROMPTS, np.random.default_rng(0)), 256)
    with hacking.judge_of(PROMPTS) as url:
        for prompt, image, other in zip(PROMPTS, drawn, drawn.flip(0)):
            checklist = PromptChecklist(Endpoint(url, "oracle", side=256), "\n".join(hacking.questions(prompt)))
            right, wrong = checklist.measure(torch.stack([image, other]), ["", ""], torch.device("cpu"))
            assert right.item() == pytest.approx(hacking.CERTAIN) and wrong < right


def test_the_classifier_learns_what_is_there(scratch):
    folder = classifier.classifier(scratch, 120, say=lambda text: None)
    prompt = parse("a red circle")
    image = render(scenes_of([prompt] * 8, np.random.default_rng(0)), 256)
    right, wrong = (
        ClassProbability(folder, label).measure(image, [""] * 8, torch.device("cpu")).mean()
        for label in (classifier.kind_of(prompt), "blue square")
    )
    assert right > 3 * wrong  # they began equal


def test_results_are_written_in_words(scored):
    found = {"machine": "any", **hacking.summary(scored, draws=50)}
    text = words.report({"hacking": found})
    assert text.count(hacking.ENSEMBLE) == 2 and "nan" not in text and text.count("**") >= 20
    plain = found["table"][hacking.NOTHING]["rise"]
    assert all(rise == 0 for rise in plain.values())


def test_what_scoring_costs_is_written_in_words():
    seconds = dict.fromkeys((*scoring.WAYS, "preprocessing"), 2.0) | {"batch": 0.5}
    found = {"images": 16, "size": 512, "threads": 2, "repeats": 5, "machine": "any", "seconds": seconds}
    text = words.report({"scoring": {**found, "loaded": [3, 0]}})
    assert "| one by one | 2.00 | 4.0 |" in text and "loads 3 models" in text and "loads 0" in text
    assert "real server" not in words.report({"scoring": found})
