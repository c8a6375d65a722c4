"""Rules by worked examples, and by what must always hold: dominance, missing rows, chaining."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.verifiers import (
    CONSTRAINT,
    MEAN_RANK,
    MINIMUM,
    PRODUCT,
    RULES,
    Z_SUM,
    Verifier,
    VerifierError,
    combine,
    watch,
)
from noise_search.verifiers.combine import ranks


class Column:
    """A measure of which only the column matters."""

    reads, notes = "images", ()

    def __init__(self, name, sign=1):
        self.name, self.key, self.sign = name, f"{name}{sign}", sign


def columns(signs):
    return [Verifier.of(Column(f"c{i}", sign)) for i, sign in enumerate(signs)]


def values(verifier, rows):
    return verifier.rule(torch.tensor(rows, dtype=torch.float32)).tolist()


def test_ranks_share_the_average():
    assert ranks(torch.tensor([3.0, 1.0, 3.0, 2.0, 1.0, 1.0])).tolist() == [1.5, 5, 1.5, 3, 5, 5]


def test_mean_rank():
    rows = [[0.3, 5.0], [0.2, 6.0], [0.3, 4.0]]
    assert values(combine(columns([1, 1])), rows) == [-(1.5 + 2) / 2, -(3 + 1) / 2, -(1.5 + 3) / 2]
    assert values(combine(columns([1, 1]), MEAN_RANK, [3, 1]), rows)[0] == -(3 * 1.5 + 2) / 4


def test_z_sum():
    rows = [[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]
    z = math.sqrt(1.5)
    assert values(combine(columns([1, 1]), Z_SUM, [2, 1]), rows) == pytest.approx([-2 * z, 0, 2 * z])


def test_constant_column_gives_exactly_zero():
    rows = [[0.1, 1.0]] * 3
    assert values(combine(columns([1, 1]), Z_SUM), rows) == [0, 0, 0]


def test_product_and_minimum():
    rows = [[2.0, 3.0], [0.5, 8.0], [-1.0, 9.0], [-2.0, -3.0]]
    assert values(combine(columns([1, 1]), PRODUCT), rows) == [6, 4, -1, -5]
    assert values(combine(columns([1, 1]), PRODUCT, [2, 1]), rows)[:2] == [12, 2]
    assert values(combine(columns([1, 1]), MINIMUM, [2, 1]), rows) == [3, 1, -2, -4]


def test_constraint_then_best():
    rows = [[0.30, 5.0], [0.26, 6.0], [0.20, 9.0], [0.24, 1.0]]
    verifier = combine(columns([1, 1]), CONSTRAINT, threshold=0.25)
    assert values(verifier, rows) == [-2, -1, -4, -3]
    assert verifier.relative and verifier.searched == (True, True)


def test_constraint_with_several_others_takes_their_mean_rank():
    rows = [[1.0, 5.0, 1.0], [1.0, 4.0, 9.0], [1.0, 3.0, 2.0], [0.0, 9.0, 9.0]]
    others = combine(columns([1, 1]), MEAN_RANK)
    by_hand = values(others, [row[1:] for row in rows])
    result = values(combine(columns([1, 1, 1]), CONSTRAINT, threshold=1), rows)
    assert sorted(range(3), key=lambda i: -result[i]) == sorted(range(3), key=lambda i: -by_hand[i])
    assert result[3] == -4


def test_lower_is_better_is_turned_round():
    assert values(combine(columns([-1]), MEAN_RANK), [[1.0], [2.0]]) == [-1, -2]


def test_weight_zero_is_reported_and_not_searched():
    verifier = combine(columns([1, 1]), MEAN_RANK, [1, 0])
    assert verifier.searched == (True, False)
    assert values(verifier, [[1.0, math.nan], [2.0, 5.0]]) == [-2, -1]


def test_chained_rules_act_on_their_inputs_values():
    a, b, c = columns([1, 1, 1])
    inner = combine([a, b], Z_SUM)
    verifier = combine([inner, c], MEAN_RANK, [1, 2])
    rows = [[1.0, 9.0, 1.0], [2.0, 1.0, 3.0], [5.0, 2.0, 2.0]]
    z = torch.tensor(values(inner, [row[:2] for row in rows]))
    by_hand = -(ranks(z) + 2 * ranks(torch.tensor([1.0, 3.0, 2.0]))) / 3
    assert values(verifier, rows) == by_hand.tolist()
    assert len(verifier.measures) == 3 and verifier.relative


def test_watched_columns_stay_watched_inside_a_combination():
    a, b, c = columns([1, 1, 1])
    verifier = combine([watch(a, b), c], MINIMUM)
    assert verifier.searched == (True, False, True) and not verifier.relative
    assert values(verifier, [[1.0, math.nan, 2.0]]) == [1]


def test_keys_tell_settings_apart():
    pair = columns([1, 1])
    made = [combine(pair, rule) for rule in RULES]
    made += [combine(pair, CONSTRAINT, threshold=1), combine(pair, Z_SUM, [1, 2]), combine(pair[::-1], Z_SUM)]
    assert len({v.key for v in made}) == len(made)


BAD = {
    "weight_2 of Combine Verifiers is -1": {"weights": [1, -1]},
    "weight_1 of Combine Verifiers is nan": {"weights": [math.nan, 1]},
    "nothing to order by": {"weights": [0, 0]},
    "got 1 weights for 2 verifiers": {"weights": [1]},
    "no rule 'vote'": {"rule": "vote"},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_settings_are_one_clear_sentence(message):
    with pytest.raises(VerifierError, match=message):
        combine(columns([1, 1]), **BAD[message])


def test_a_constraint_needs_a_second_verifier_and_a_fixed_first():
    with pytest.raises(VerifierError, match="connect verifier_2"):
        combine(columns([1]), CONSTRAINT)
    relative = combine(columns([1, 1]), MEAN_RANK)
    with pytest.raises(VerifierError, match="depend on the other candidates"):
        combine([relative, *columns([1])], CONSTRAINT)


numbers = st.one_of(
    st.integers(-4, 4).map(float),
    st.floats(-1e6, 1e6, width=32),
    st.floats(-1, 1, width=32, allow_subnormal=False),
)


@st.composite
def combinations(draw, depth=1):
    """A combined verifier, possibly of combined ones, with how many columns it has."""
    inputs = []
    for _ in range(draw(st.integers(2, 3))):
        if depth and draw(st.booleans()):
            inputs.append(draw(combinations(depth=depth - 1)))
        else:
            inputs.append(columns([draw(st.sampled_from([1, -1]))])[0])
    rule = draw(st.sampled_from([r for r in RULES if r != CONSTRAINT or not inputs[0].relative]))
    weights = [1.0] + [draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) for _ in inputs[1:]]
    if rule == CONSTRAINT:
        weights[1] = 1.0
    return combine(inputs, rule, weights, threshold=draw(st.sampled_from([-1.0, 0.0, 0.5])))


@st.composite
def archives(draw, least=2):
    verifier = draw(combinations())
    row = st.lists(numbers, min_size=len(verifier.measures), max_size=len(verifier.measures))
    return verifier, torch.tensor(draw(st.lists(row, min_size=least, max_size=7)))


def signs(verifier):
    return torch.tensor([m.sign for m in verifier.measures], dtype=torch.float32)


@settings(max_examples=300, deadline=None)
@given(archives(), st.data())
def test_a_dominated_row_never_has_the_higher_value(archive, data):
    verifier, rows = archive
    gain = torch.tensor(data.draw(st.lists(st.sampled_from([0.0, 0.1, 2.0, 100.0]), min_size=rows.shape[1],
                                           max_size=rows.shape[1])))  # fmt: skip
    better = rows[0] + gain * signs(verifier)
    better[~torch.tensor(verifier.searched)] = 0  # what is not searched must not count
    values = verifier.rule(torch.cat([rows, better[None]]))
    assert values[-1] >= values[0]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(RULES),
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=7),
    st.sampled_from([0, 1]),
    st.sampled_from([0.1, 1.0, 100.0]),
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=2, max_size=2),
)
def test_raising_a_number_never_lowers_its_own_row(rule, rows, column, gain, weights):
    verifier = combine(columns([1, 1]), rule, weights)
    before = torch.tensor(rows)
    after = before.clone()
    after[0, column] += gain
    slack = 1e-9 if rule == Z_SUM else 0  # its mean and deviation move with the number, and round
    assert verifier.rule(after)[0] >= verifier.rule(before)[0] - slack


@settings(max_examples=200, deadline=None)
@given(archives(), st.data())
def test_a_missing_number_never_disturbs_the_others(archive, data):
    verifier, rows = archive
    searched = [i for i, s in enumerate(verifier.searched) if s]
    broken = rows[:1].clone()
    missing = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    broken[0, data.draw(st.sampled_from(searched))] = missing
    at = data.draw(st.integers(0, len(rows)))
    mixed = verifier.rule(torch.cat([rows[:at], broken, rows[at:]]))
    assert mixed[at].isnan()
    assert torch.equal(torch.cat([mixed[:at], mixed[at + 1 :]]), verifier.rule(rows))


@settings(max_examples=100, deadline=None)
@given(archives(), st.randoms())
def test_the_order_of_the_archive_does_not_matter(archive, random):
    verifier, rows = archive
    order = list(range(len(rows)))
    random.shuffle(order)
    torch.testing.assert_close(verifier.rule(rows[order]), verifier.rule(rows)[order], rtol=1e-6, atol=1e-6)


def test_an_archive_without_one_whole_row_has_no_values():
    assert combine(columns([1, 1])).rule(torch.full((3, 2), torch.nan)).isnan().all()
    assert combine(columns([1, 1])).rule(torch.empty(0, 2)).shape == (0,)
