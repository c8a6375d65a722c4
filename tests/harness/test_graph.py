"""Graphs, and messages of the server, without a server."""

import json
import struct

from noise_search.harness.client import parse
from noise_search.harness.environment import for_uv
from noise_search.harness.graph import Graph

INFO = {
    "Draw": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "steps": ["INT", {"default": 20}],
                "mode": [["fast", "slow"], {}],
                "kind": ["COMBO", {"options": ["a", "b"], "default": "b"}],
                "text": ["STRING", {"forceInput": True}],
            },
            "optional": {"extra": ["INT", {"default": 3}]},
        }
    }
}


def test_links_and_outputs():
    g = Graph()
    node = g.add("Load", name="x")
    g.add("Draw", model=node, clip=node.at(1))
    assert json.loads(json.dumps(g)) == {
        "1": {"class_type": "Load", "inputs": {"name": "x"}},
        "2": {"class_type": "Draw", "inputs": {"model": ["1", 0], "clip": ["1", 1]}},
    }
    assert g.set(node, name="y")["1"]["inputs"] == {"name": "y"}


def test_fill_gives_the_defaults_of_widgets_only():
    g = Graph()
    g.add("Draw", model=["1", 0], steps=4)
    assert g.fill(INFO)["1"]["inputs"] == {"model": ["1", 0], "steps": 4, "mode": "fast", "kind": "b"}


def test_messages():
    text = parse(struct.pack(">II", 3, 2) + b"12" + "läuft".encode())
    assert (text.type, text.data) == ("text", {"node": "12", "text": "läuft"})
    about = json.dumps({"node_id": "7", "prompt_id": "p"}).encode()
    preview = parse(struct.pack(">II", 4, len(about)) + about + b"jpeg")
    assert preview.type == "preview" and preview.data == {"node": "7", "prompt_id": "p", "image": b"jpeg"}
    assert parse('{"type": "status", "data": {"sid": "x"}}').data == {"sid": "x"}


def test_uv_is_told_what_pip_is_told():
    given = for_uv({"PIP_INDEX_URL": "https://a", "PIP_CERT": "c.pem", "PATH": "p"})
    assert given["UV_DEFAULT_INDEX"] == "https://a" and given["SSL_CERT_FILE"] == "c.pem" and given["PATH"] == "p"
    assert for_uv({"PIP_CERT": "c.pem", "SSL_CERT_FILE": "own.pem"})["SSL_CERT_FILE"] == "own.pem"
