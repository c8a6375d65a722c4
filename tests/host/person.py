"""Somebody who answers Human Pick as a page does, through the server's routes."""

import io

import numpy as np
import requests
from PIL import Image

from noise_search.demo import oracle, scenes


class Person:
    """`client.heard = Person(client.url)` answers whatever is asked while that client listens.

    choose  (question, pictures) -> the answer; by default what is right, as far as the oracle sees
    asked   the questions; `seen` their pictures
    """

    def __init__(self, url, choose=None):
        self.url, self.choose, self.asked, self.seen = url, choose or the_right_one, [], []

    def __call__(self, event):
        if event.type == "noise_search.question":
            self.asked.append(event.data)
            self.seen.append(pictures(self.url, event.data))
            answer(self.url, event.data, self.choose(event.data, self.seen[-1])).raise_for_status()


def pictures(url, question):
    places = [f"{url}/noise_search/questions/{question['token']}/{n}.jpg" for n in range(question["count"])]
    return [Image.open(io.BytesIO(requests.get(place, timeout=30).content)).convert("RGB") for place in places]


def answer(url, question, content):
    return requests.post(f"{url}/noise_search/questions/{question['token']}", json={"answer": content}, timeout=30)


def the_right_one(question, shown):
    prompt = scenes.parse(question["about"][0])

    def facts(n):
        return sum(holds for _, holds in oracle.check(np.asarray(shown[n]) / 255, prompt))

    return [max(range(len(shown)), key=facts)]
