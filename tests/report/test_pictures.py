"""Curve and gallery: what is drawn, for every kind of search. The pictures are kept in tests/output to look at."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from noise_search.report import (
    THEMES,
    before_after,
    caption,
    contact_sheet,
    curve,
    family_tree,
    gallery,
    message,
    warning,
)
from noise_search.report.contact_sheet import kept_in_words
from noise_search.report.theme import LIGHT
from noise_search.search import Block, Budget, Search
from noise_search.search.algorithms import EvolutionarySearch, ParticleSearch, RandomSearch, ZeroOrderSearch

from .searches import paths, picture, random_then_zero_order, searched

OUTPUT = Path(__file__).parents[1] / "output"
OUTPUT.mkdir(exist_ok=True)
FRAME = LIGHT.frame
ONE = Search((Block(RandomSearch(), Budget(images=1)),))
MANY = Search((Block(RandomSearch(), Budget(images=200)),))


def colours(image):
    return {colour for _, colour in image.getcolors(1 << 24)}


def rgb(code):
    return tuple(int(code[n : n + 2], 16) for n in (1, 3, 5))


@pytest.mark.parametrize(
    ("name", "search", "facts"),
    [
        ("chain", random_then_zero_order(), {}),
        ("batch", random_then_zero_order((8, 12)), {"shape": (3, 4, 8, 8), "unseen": (0, 4, 9)}),
        ("paths", paths(), {"estimate": 1000.0}),
        ("one", ONE, {}),
        ("many", MANY, {"estimate": float("inf"), "searched": [True, False, False], "rule": lambda rows: rows[:, 0]}),
        ("odd names", random_then_zero_order((1, 30)), {"measures": ["$x$", "y_{", "a name far too long " * 9]}),
    ],
)
def test_every_search_has_its_curve(name, search, facts):
    account, _, _ = searched(search, **facts)
    for lane in range(len(account.lanes)):
        image = curve(account, lane)
        image.save(OUTPUT / f"curve {name} {lane}.png")
        assert image.mode == "RGB" and image.width == 1024 and 400 < image.height < 1400
        assert len(colours(image)) > 50


def test_a_measure_that_is_the_value_gets_no_second_panel():
    both, _, _ = searched(MANY, rule=lambda rows: rows[:, 0])
    three, _, _ = searched(MANY)
    assert curve(both).height < curve(three).height


def test_drawing_leaves_the_hosts_plots_alone():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); import standalone; standalone.load();"
        "import noise_search.report; assert 'matplotlib' not in sys.modules;"
        "from noise_search.report import message; message('x');"
        "import noise_search.report.curve; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    source = (Path(__file__).parents[2] / "report" / "curve.py").read_text(encoding="utf-8")
    assert "pyplot" not in source


def pictures_of(account, lane=0, k=7):
    plain = account.plain(lane)
    lines = [plain] + [line for line in account.ranked(lane) if line is not plain][:k]
    return lines, [picture(line) for line in lines], [caption(account, line, lane) for line in lines]


def test_the_gallery_shows_plain_first_and_frames_the_winner():
    account, _, _ = searched(random_then_zero_order())
    lines, pictures, captions = pictures_of(account)
    image = gallery(pictures, captions, winner=1, title=account.search)
    image.save(OUTPUT / "gallery.png")
    assert image.width == 1024 and rgb(FRAME) in colours(image)
    assert captions[0][0].startswith("plain · rank ") and captions[1][0] == "winner · rank 1 of 32"
    assert captions[1][-1].startswith("neighbour")
    assert f"brightness {lines[1].row[0]:.4g}" in captions[1]
    unframed = gallery([p.convert("L") for p in pictures], captions)
    assert rgb(FRAME) not in colours(unframed)


@pytest.mark.parametrize("size", [(32, 32), (1024, 1024), (300, 900), (1600, 400)])
@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_galleries_take_any_picture(size, number):
    long = ["rank 1 of 2", "value " + "9" * 90, "a measure with a name of many words (watched) 0.123"]
    image = gallery([Image.new("RGB", size, "teal")] * number, [long] * number, winner=0)
    assert image.width == 1024 and rgb("#008080") in colours(image)


def test_before_and_after():
    account, _, _ = searched(random_then_zero_order())
    _, pictures, captions = pictures_of(account, k=1)
    image = before_after(*pictures, captions)
    image.save(OUTPUT / "before after.png")
    assert image.width == 1024 and image.getpixel((200, 200)) == pictures[0].getpixel((0, 0))


def test_before_and_after_are_as_large_as_they_were_drawn():
    picture = Image.new("RGB", (1000, 400), "teal")
    image = before_after(picture, Image.new("RGB", (1000, 400), "navy"), [["plain"], ["winner"]])
    counted = {colour: n for n, colour in image.getcolors(1 << 24)}
    assert counted[rgb("#008080")] == 400_000 == counted[rgb("#000080")]


def test_before_and_after_say_when_a_watched_measure_fell():
    account, _, _ = searched(random_then_zero_order())
    said = warning(account)
    assert said.startswith("From the plain image to the winner the searched value rose")
    _, pictures, captions = pictures_of(account, k=1)
    noted, bare = (before_after(*pictures, captions, note) for note in (said, ""))
    assert noted.height > bare.height and rgb(LIGHT.watched) in colours(noted.crop((0, bare.height - 9, 1024, 9999)))


def test_searched_and_watched_measures_stand_side_by_side_in_every_caption():
    account, _, _ = searched(random_then_zero_order())
    for line in (account.plain(), account.best()):
        assert f"brightness {line.row[0]:.4g}" in caption(account, line)
        assert f"sharpness (watched) {line.row[2]:.4g}" in caption(account, line)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("images", [6, 300])
@pytest.mark.parametrize(
    "algorithm", [RandomSearch(), ZeroOrderSearch(), EvolutionarySearch(elites=2), ParticleSearch(particles=3, stops=2)]
)
def test_every_search_has_its_family_tree(algorithm, images, theme):
    account, _, _ = searched(Search((Block(algorithm, Budget(images=images)),)), unseen=(3,))
    image = family_tree(account, theme=THEMES[theme])
    image.save(OUTPUT / f"tree {algorithm.name} {images} {theme}.png")
    assert image.mode == "RGB" and 1024 <= image.width <= 2400 and 200 < image.height < 4200
    assert image.getpixel((1, 1)) == rgb(THEMES[theme].paper)
    counted = {colour: n for n, colour in image.getcolors(1 << 24)}
    assert counted[rgb(THEMES[theme].winner)] > 50
    descends = account.best().recipe.parent or account.best().recipe.moves
    assert (counted.get(rgb(THEMES[theme].frame), 0) > 250) == bool(descends)


@pytest.mark.parametrize("number", [1, 18, 60])
def test_the_contact_sheet_shows_all_that_is_kept_and_counts_the_rest(number):
    account, _, _ = searched(MANY, unseen=(3, 5))
    lines = account.ranked()[:number]
    shades = [Image.new("RGB", (40, 50), (n, 255 - n, 7)) for n in range(number)]
    image = contact_sheet(account, lines, shades)
    image.save(OUTPUT / f"sheet {number}.png")
    assert colours(image) >= {(n, 255 - n, 7) for n in range(number)} | {rgb(FRAME)}
    said = kept_in_words(account, number)
    assert f"{number} of 198 finished candidates" in said and f"other {198 - number} were not kept" in said
    assert "2 candidates had no score" in said
    assert kept_in_words(account, 198).startswith("All 198 finished candidates")


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_dresses_every_picture(theme):
    account, _, _ = searched(random_then_zero_order(), unseen=(3,))
    lines, pictures, captions = pictures_of(account)
    look = THEMES[theme]
    drawn = {
        "curve": curve(account, theme=look),
        "gallery": gallery(pictures, captions, winner=1, title=account.search, theme=look),
        "before after": before_after(*pictures[:2], captions[:2], warning(account), look),
        "sheet": contact_sheet(account, lines[1:], pictures[1:], theme=look),
        "tree": family_tree(account, theme=look),
        "message": message("There is nothing to show.", theme=look),
    }
    for name, image in drawn.items():
        image.save(OUTPUT / f"{name} {theme}.png")
        corners = {image.getpixel((x, y)) for x in (0, image.width - 1) for y in (0, image.height - 1)}
        assert corners == {rgb(look.paper)}, name
        other = next(THEMES[name] for name in THEMES if name != theme)
        assert rgb(other.paper) not in colours(image) or other.paper in vars(look).values(), name


def test_a_sentence_can_stand_for_a_picture():
    image = message("The search block had no VAE, so that there are no images: connect one to its vae input.")
    assert image.width == 1024 and len(colours(image)) > 5
