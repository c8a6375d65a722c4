"""What children bring is measured on top of the best noise, by children of the best image alone."""

import numpy as np

from noise_search.benchmarks import family
from noise_search.benchmarks.children import Children, gains
from noise_search.search import Block, Budget, Search


def entries_of(*backs):
    search = Search((Block(Children(backs), Budget(images=16)),))
    return family.searched(search, "linear", 2, seed=0)[1].entries


def test_after_the_noises_come_children_of_the_best_alone():
    entries = entries_of(1 / 2)
    assert [entry.nfe for entry in entries[:8]] == [16] * 8
    assert max(entry.row[0] for entry in entries[:8]) == family.trial("linear", 2, family.RANDOM, 16, 0).score[7]
    assert len(entries) == 8 + 15 and {entry.nfe for entry in entries[8:]} == {8}  # whole rounds of three
    for n in range(8, len(entries), 3):
        best = max(entries[:n], key=lambda entry: entry.row[0]).recipe
        children = [entry.recipe.moves for entry in entries[n : n + 3]]
        assert len(set(children)) == 3 and all(moves[: len(best.moves)] == best.moves for moves in children)


def test_places_take_turns():
    entries = entries_of(1 / 2, 3 / 4)
    assert [entry.nfe for entry in entries[8:20]] == [8, 8, 8, 4, 4, 4] * 2


def test_gains_are_counted_from_the_best_noise():
    scores = np.array([[*[1.0] * 7, 2.0, *range(3, 11)], [*[0.0] * 7, 2.0, *range(5, 13)]])
    found = gains(scores)
    assert len(found) == 8 and found[0][0] == 2 and found[-1] == [9, 8, 10]
