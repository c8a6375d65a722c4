"""The report as text."""

import torch

from noise_search.report import table
from noise_search.search import Block, Budget, Search
from noise_search.search.algorithms import RandomSearch

from .searches import MEASURES, paths, random_then_zero_order, searched


def test_the_summary_says_what_was_announced_and_what_was_spent():
    account, _, _ = searched(random_then_zero_order((4, 6)), notes=["The seed is randomised."])
    text = table(account)
    assert "Random Search → Zero-Order Search" in text
    assert "100 announced, 100 spent" in text and "recalled" not in text
    assert "stage 1         Random Search: 4 candidates, 40 evaluations, budget spent" in text
    assert "stage 2         Zero-Order Search: 6 candidates, 60 evaluations, budget spent" in text
    assert "The seed is randomised." in text


def test_what_the_history_gave_is_told_apart():
    account, _, _ = searched(random_then_zero_order((4, 6)))
    account.recalled = 40
    assert "100 spent, 40 of them recalled from the history" in table(account)


def test_the_best_are_listed_in_order_with_every_measure():
    account, _, _ = searched(random_then_zero_order())
    text = table(account, best=3)
    head, plain, *rows = text.split("finished candidates\n")[1].splitlines()[:5]
    assert head.split() == ["rank", "value", "brightness", "likeness", "sharpness", "(watched)", "evaluations", "noise"]
    assert plain.split()[0] == "plain" and plain.endswith("seed 42")
    values = [float(row.split()[1]) for row in rows]
    assert len(values) == 3 and values == sorted(values, reverse=True)


def test_where_each_noise_came_from():
    account, _, _ = searched(random_then_zero_order())
    assert "neighbour" in table(account) and "of seed " in table(account)
    account, _, _ = searched(paths())
    assert "path from seed 4" in table(account)
    given = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    account, _, _ = searched(random_then_zero_order((1, 8)), given=given)
    assert "of given noise" in table(account)


def test_a_gain_that_cost_a_watched_measure_is_said():
    account, _, _ = searched(random_then_zero_order())
    plain, best = account.plain(), account.best()
    assert best.row[2] < plain.row[2]
    assert "but sharpness (watched) fell from" in table(account)
    account.searched = [True, True, True]
    assert "fell from" not in table(account)


def test_nothing_is_said_where_the_plain_image_won():
    account, _, _ = searched(Search((Block(RandomSearch(), Budget(images=1)),)))
    assert "Best 1 of 1 finished candidate\n" in table(account) and "fell from" not in table(account)


def test_each_image_of_a_batch_has_its_ranking_and_lost_candidates_are_counted():
    account, _, _ = searched(random_then_zero_order((4, 6)), shape=(3, 4, 8, 8), unseen=(4,))
    text = table(account)
    assert "30, 1 of them left out" in text
    assert all(f"for image {n} of 3" in text for n in (1, 2, 3))
    assert MEASURES[0] in text


def test_candidates_left_out_are_listed_with_their_reasons():
    account, _, _ = searched(random_then_zero_order((4, 6)), shape=(3, 4, 8, 8), unseen=(4, 9))
    account.lanes[0][2].excluded = "the latent was not finite"
    account.lanes[0][2].value = float("nan")
    text = table(account)
    for lane, name in enumerate(("image 1 of 3", "image 2 of 3", "image 3 of 3")):
        lost = [line for line in account.lanes[lane] if line.excluded]
        assert (f"for {name}, counted from 0" in text) == bool(lost)
        for line in lost:
            place = f"{account.lanes[lane].index(line):>9}  seed {line.recipe.seed}"
            assert any(row.startswith(place) and row.endswith(line.excluded) for row in text.splitlines())
    assert "brightness gave nan" in text and "3 of them left out" in text


def test_a_long_list_of_candidates_left_out_is_cut():
    account, _, _ = searched(Search((Block(RandomSearch(), Budget(images=40)),)), unseen=range(5, 35))
    text = table(account)
    assert text.count("brightness gave nan") == 20 and "and 10 more: Export History lists all" in text
    assert "Left out" not in table(searched(random_then_zero_order())[0])


def test_a_candidate_to_which_the_rule_gives_no_value_is_left_out_too():
    def rule(rows):
        values = rows[:, 0].clone()
        values[2] = float("nan")
        return values

    text = table(searched(Search((Block(RandomSearch(), Budget(images=4)),)), rule=rule)[0])
    assert "2  seed 44  the rule gave no value" in text and "4, 1 of them left out" in text
