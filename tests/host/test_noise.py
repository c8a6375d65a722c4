"""A winner's noise written down and read back, and files that are not what they say."""

import json
import math
import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from noise_search.search import NoiseSpace, Recipe, SearchError
from noise_search.search.candidates import Masked, Neighbour
from noise_search.search.space import seeded_noise

pytestmark = pytest.mark.usefixtures("comfy")
SHAPE = (2, 4, 8, 8)


@pytest.fixture
def noises():
    from noise_search.nodes.host import noise

    return noise


@pytest.fixture
def files():
    from noise_search.nodes.host import noise_files

    return noise_files


def space(seed=42, shape=SHAPE, dtype=torch.float32, rows=None):
    return NoiseSpace(seeded_noise(torch.zeros(shape, dtype=dtype), seed, rows), seed, rows)


def climb(where, rounds):
    """A neighbour of a neighbour of ... the base."""
    recipe = where.base
    for index in range(1, rounds + 1):
        recipe = where.add(Neighbour(0.9).propose(where, index, recipe))
    return recipe


def through_json(noise):
    return json.loads(json.dumps(noise.to_metadata()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("rows", [None, [3, 0]])
def test_a_recipe_draws_the_same_noise_again(noises, rows, dtype):
    where = space(2**64 - 1, dtype=dtype, rows=rows)
    winners = [Recipe("seed", "7"), climb(where, 3)]
    noise = noises.RecipeNoise.of(where, winners)
    again = noises.RecipeNoise.from_metadata(through_json(noise))
    assert torch.equal(again.tensor, noise.tensor) and again.tensor.dtype == dtype
    assert again.recipes == noise.recipes and again.lineage == noise.lineage and again.batch_index == noise.batch_index
    assert torch.equal(again.generate_noise({"samples": torch.zeros(SHAPE)}), where.rows_of(winners))
    assert again.seed == 7 and again.base_seed == str(2**64 - 1) and not again.moves


def test_long_searches_have_long_lineages(noises):
    where = space()
    noise = noises.RecipeNoise.of(where, [climb(where, 600)] * 2)
    assert len(noise.lineage) == 600
    assert torch.equal(noises.RecipeNoise.from_metadata(through_json(noise)).tensor, noise.tensor)


def test_a_path_keeps_its_moves(noises):
    near = ("renoise", 4, 3, "11", 0.9, "12", "13")
    between = ("renoise", 4, 2.6, "11"), ("advance", 2.6, 4)
    path = Recipe("seed", "9").then(("advance", 0, 4), ("renoise", 4, 3, "11"), ("advance", 3, 4), *between, near)
    noise = noises.RecipeNoise.of(space(), [path, Recipe("seed", "42")])
    again = noises.RecipeNoise.from_metadata(through_json(noise))
    assert again.moves and again.recipes[0] == path


def test_a_mask_travels_with_the_noise_it_made(noises):
    where = space()
    masked = where.add(Masked(torch.linspace(0, 1, 256).view(1, 16, 16)).propose(where, 1, where.base))
    noise = noises.RecipeNoise.of(where, [Recipe("seed", "7"), Neighbour(0.9).propose(where, 2, masked)])
    content = through_json(noise)
    assert len(json.dumps(content)) < 4000
    again = noises.RecipeNoise.from_metadata(content)
    assert torch.equal(again.tensor, noise.tensor)
    assert again.to_metadata() == noise.to_metadata()
    [packed] = content["tensors"].values()
    packed["content"] = "x" + packed["content"][1:]
    with pytest.raises(SearchError, match="tensors is missing or wrong"):
        noises.RecipeNoise.from_metadata(content)


def test_another_packs_noise_needs_its_file(noises, files, tmp_path):
    own = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)) * 2
    where = NoiseSpace(own, 42)
    noise = noises.RecipeNoise.of(where, [climb(where, 2), where.base])
    with pytest.raises(SearchError, match="Save Noise"):
        noises.RecipeNoise.from_metadata(through_json(noise))
    path = tmp_path / "x.safetensors"
    path.write_bytes(files.to_bytes(noise))
    assert torch.equal(files.read(path).tensor, noise.tensor)


def test_a_noise_that_this_machine_cannot_draw_is_not_passed_off(noises):
    content = through_json(noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2))
    content["probe"][1][0] += 0.1
    with pytest.raises(SearchError, match="not the one that was saved"):
        noises.RecipeNoise.from_metadata(content)


def test_a_latent_of_another_size_gets_one_sentence(noises):
    noise = noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2)
    with pytest.raises(SearchError, match="noise: .* 2 × 4 × 8 × 8 .* 1 × 4 × 8 × 8"):
        noise.generate_noise({"samples": torch.zeros(1, 4, 8, 8)})


def test_samplers_may_change_what_they_are_given(noises):
    noise = noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2)
    noise.generate_noise({"samples": torch.zeros(SHAPE)}).zero_()
    assert noise.tensor.std() > 0.5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["format", "seed", "shape", "dtype", "batch_index", "recipes", "lineage", "probe", "tensors"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_no_field_of_a_strangers_file_does_harm(noises, field, value):
    where = space()
    content = through_json(noises.RecipeNoise.of(where, [climb(where, 2), Recipe("seed", "7")]))
    before, content[field] = content[field], value
    try:
        noises.RecipeNoise.from_metadata(content)
    except SearchError as error:
        assert len(str(error)) < 300
    else:
        assert value == before or field == "seed"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(part=st.sampled_from(["draw", "seed", "parent", "settings", "moves"]), value=JSON)
def test_no_part_of_a_strangers_recipe_does_harm(noises, part, value):
    where = space()
    content = through_json(noises.RecipeNoise.of(where, [climb(where, 2)] * 2))
    content["recipes"][0][part] = value
    try:
        noises.RecipeNoise.from_metadata(content)
    except SearchError as error:
        assert len(str(error)) < 300


@pytest.mark.parametrize("place", [True, "2", None, -0.5, 1e9, math.nan, math.inf])
def test_a_place_on_the_path_is_a_number_of_it(noises, place):
    content = through_json(noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2))
    content["recipes"][0]["moves"] = [["advance", 0, 4], ["renoise", 4, place, "11"]]
    with pytest.raises(SearchError, match="recipes is missing or wrong"):
        noises.RecipeNoise.from_metadata(content)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shape", [2, 10**9, 10**9, 4]),
        ("shape", [2, 4, 8, True]),
        ("batch_index", [0, 10**9]),
        ("batch_index", [0]),
        ("recipes", []),
        ("seed", str(2**64)),
    ],
)
def test_sizes_are_checked_before_anything_is_drawn(noises, field, value):
    content = through_json(noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2))
    with pytest.raises(SearchError, match=field):
        noises.RecipeNoise.from_metadata({**content, field: value})


def test_files_that_are_none_of_ours(noises, files, tmp_path):
    noise = noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2)
    text = {files.KEY: json.dumps(noise.to_metadata())}
    cases = {
        "pickle": lambda path: path.write_bytes(pickle.dumps(noise.tensor)),
        "torch": lambda path: torch.save(noise.tensor, path),
        "empty": lambda path: path.write_bytes(b""),
        "no recipe": lambda path: save_file({"noise": noise.tensor}, path),
        "more tensors": lambda path: save_file({"noise": noise.tensor, "more": noise.tensor.clone()}, path, text),
        "other shape": lambda path: save_file({"noise": noise.tensor[:1].clone()}, path, text),
        "other type": lambda path: save_file({"noise": noise.tensor.half()}, path, text),
        "not finite": lambda path: save_file({"noise": noise.tensor / 0}, path, text),
        "no noise": lambda path: save_file({"noise": noise.tensor.int()}, path, text),
        "other noise": lambda path: save_file({"noise": noise.tensor + 1}, path, text),
        "no JSON": lambda path: save_file({"noise": noise.tensor}, path, {files.KEY: "{" * 5000}),
        "deep JSON": lambda path: save_file({"noise": noise.tensor}, path, {files.KEY: "[" * 200000}),
    }
    for name, make in cases.items():
        path = tmp_path / f"{name}.safetensors"
        make(path)
        with pytest.raises(SearchError, match=f"Load Noise: {name}.safetensors: "):
            files.read(path)


def test_pictures_carry_recipes(noises, files, tmp_path):
    noise = noises.RecipeNoise.of(space(), [Recipe("seed", "7")] * 2)
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "{}")
    info.add_text(files.KEY, json.dumps(noise.to_metadata()))
    Image.new("RGB", (8, 8)).save(tmp_path / "with.png", pnginfo=info)
    Image.new("RGB", (8, 8)).save(tmp_path / "without.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png", format="JPEG")
    assert [files.carries_recipe(tmp_path / f"{n}.png") for n in ("with", "without", "broken", "other", "gone")] == [
        True, False, False, False, False,
    ]  # fmt: skip
    assert torch.equal(files.read(tmp_path / "with.png").tensor, noise.tensor)
    with pytest.raises(SearchError, match="carries no noise recipe"):
        files.read(tmp_path / "without.png")
    with pytest.raises(SearchError, match="no readable PNG"):
        files.read(tmp_path / "broken.png")
    with pytest.raises(SearchError, match="no readable PNG"):
        files.read(tmp_path / "other.png")
