"""What a change to the English does to the translations."""

from noise_search.harness.translations import escaped, leaves, plain, renewed

BEFORE = {"A": {"name": "seed", "tooltip": "Where to begin."}, "Gone": {"name": "gone"}}
GERMAN = {"A": {"name": "Startwert", "tooltip": "Wo begonnen wird."}, "Gone": {"name": "weg"}}


def test_what_has_not_changed_stays_and_what_is_gone_goes():
    now = {"A": dict(reversed(BEFORE["A"].items()))}
    assert list(leaves(renewed(now, BEFORE, GERMAN))) == list(leaves({"A": dict(reversed(GERMAN["A"].items()))}))


def test_what_is_new_or_has_changed_is_in_english():
    now = {"A": {"name": "seed", "tooltip": "Where to end."}, "B": {"name": "steps"}}
    assert renewed(now, BEFORE, GERMAN) == {"A": {**now["A"], "name": "Startwert"}, "B": {"name": "steps"}}


def test_what_is_new_is_translated_as_the_same_text_elsewhere_unless_that_differs():
    now = {**BEFORE, "B": {"name": "seed"}}
    assert renewed(now, BEFORE, GERMAN)["B"] == {"name": "Startwert"}
    twice, differently = {**BEFORE, "C": {"name": "seed"}}, {**GERMAN, "C": {"name": "Saat"}}
    assert renewed(now, twice, differently)["B"] == {"name": "seed"}


def test_signs_that_mean_something_to_the_page_are_written_so_that_they_do_not():
    assert escaped("{prompt} | a@b") == "{'{'}prompt{'}'} {'|'} a{'@'}b"
    assert plain(escaped("{} {'{'} @ | '")) == "{} {'{'} @ | '"
