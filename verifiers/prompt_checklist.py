"""Prompt checklist: yes/no questions about the image, answered by a vision-language model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .answer import Answering
from .verifier import VerifierError
from .vlm_judge import yes_reader

MEAN, MINIMUM = HOW = ("mean", "minimum")
ENDING = " Please answer yes or no."


class PromptChecklist:
    """Mean or minimum over the questions of P(yes), 0 to 1.

        questions = "Is there a dog?\\n  Is the dog brown?\\nIs there a ball?"
        verifier = Verifier.of(PromptChecklist(Endpoint("http://127.0.0.1:11434/v1", "qwen2.5vl:7b"), questions))

    model      who answers: an Endpoint or a LocalModel
    questions  one a line; {prompt} stands for the prompt, which is needed only where a question has it. A question
               indented below another depends on it: it counts 0 where the other was answered no (below one half),
               or depends on such a one itself
    how        MEAN or MINIMUM
    Sources: Hu et al. 2023, "TIFA"; Cho et al. 2024, "Davidsonian Scene Graph" (questions with parents).
    """

    name = "PromptChecklist"
    reads = "images"
    sign = 1

    def __init__(self, model: Answering, questions: str, how: str = MEAN):
        if how not in HOW:
            raise VerifierError(f"{self.name}'s how is {how!r}: choose one of {', '.join(HOW)}.")
        self.questions, self.parents = outline(questions)
        if not self.questions:
            raise VerifierError(f"{self.name} has no questions: write yes/no questions, one a line.")
        self.model, self.how = model, how
        self.needs_prompt = any("{prompt}" in question for question in self.questions)
        asked = list(zip(self.questions, self.parents, strict=True))
        self.key = f"{self.name}|{model.key}|{how}|{asked}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return self.model.modules()

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        asked = [[q.replace("{prompt}", prompt.strip()) + ENDING for q in self.questions] for prompt in prompts]
        answers = torch.tensor(self.model.ask(images, asked, yes_reader(self.notes), probabilities=True))
        for child, parent in enumerate(self.parents):
            if parent is not None:  # parents come first, so a failure passes on down
                answers[:, child] *= answers[:, parent] >= 0.5
        return answers.mean(1) if self.how == MEAN else answers.amin(1)


def outline(text: str) -> tuple[list[str], list[int | None]]:
    """Questions, and for each the one it is indented below, if any."""
    questions, parents, above = [], [], []
    for line in text.expandtabs(4).splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        parents.append(above[-1][1] if above else None)
        above.append((indent, len(questions)))
        questions.append(line.strip())
    return questions, parents
