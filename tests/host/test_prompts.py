"""The prompt behind a sampler's positive input."""

import pytest

from noise_search.harness.graph import Graph

from .searching import Queued


@pytest.fixture
def text_of(comfy):
    from noise_search.nodes.host.context import Running, positive_text

    return lambda graph, sampler: positive_text(Running("prompt", sampler.id, 0, graph.get))


def encoded(graph, text="a red circle"):
    return graph.add("CLIPTextEncode", clip=["0", 1], text=text)


def test_of_a_stock_ksampler(text_of):
    graph = Graph()
    sampler = graph.add("KSampler", positive=encoded(graph), negative=encoded(graph, "a blue square"))
    assert text_of(graph, sampler) == "a red circle"


def test_through_nodes_that_change_the_conditioning(text_of):
    graph = Graph()
    control = graph.add("ControlNetApplyAdvanced", positive=encoded(graph), negative=encoded(graph, "no"), strength=1.0)
    area = graph.add("ConditioningSetArea", conditioning=control, width=64)
    assert text_of(graph, graph.add("KSampler", positive=area, negative=control.at(1))) == "a red circle"


def test_through_a_guider_whatever_the_sampler_says_itself(text_of):
    graph = Graph()
    guider = graph.add(
        "BasicGuider", model=["0", 0], conditioning=graph.add("FluxGuidance", conditioning=encoded(graph))
    )
    assert text_of(graph, graph.add("SamplerCustomAdvanced", guider=guider)) == "a red circle"
    assert text_of(graph, graph.add("NS_SearchSampler", guider=guider, prompt="")) == "a red circle"


def test_of_a_text_that_is_linked(text_of):
    graph = Graph()
    words = graph.add("PrimitiveStringMultiline", value="a green ring")
    assert text_of(graph, graph.add("KSampler", positive=encoded(graph, words))) == "a green ring"


def test_none_where_none_can_be_told(text_of):
    graph = Graph()
    zero = graph.add("SomePacksEncoder", image=["0", 0])
    assert text_of(graph, graph.add("KSampler", positive=zero)) is None


def test_of_an_encoder_with_several_texts(text_of):
    graph = Graph()
    flux = graph.add("CLIPTextEncodeFlux", clip=["0", 1], clip_l="", t5xxl="a red circle", guidance=3.5)
    assert text_of(graph, graph.add("KSampler", positive=flux)) == "a red circle"


@pytest.mark.parametrize("maker", ["StringConcatenate", "StringReplace", "StringTrim"])
def test_of_a_text_that_other_nodes_make(comfy, sd3, maker):
    """What the encoder was given, and not what it was made from."""
    inputs = {
        "StringConcatenate": {"string_a": "a red", "string_b": "circle", "delimiter": " "},
        "StringReplace": {"string": "a blue circle", "find": "blue", "replace": "red"},
        "StringTrim": {"string": "  a red circle ", "mode": "Both"},
    }
    w = Queued(comfy, sd3, images=1)
    w.graph.set(w.positive, text=w.graph.add(maker, **inputs[maker]))
    w.run(w.sampler)
    assert w.level.prompts == ["a red circle"]
