"""Prompts that are almost right: what the verifier learns to tell from the truth."""

from dataclasses import replace

from . import oracle, scenes

_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


def spoil(prompt, scene, rng):
    """A prompt one change away from `prompt` that is not true of `scene` (a list of scenes.Thing)."""
    while True:
        changed = _CHANGES[int(rng.integers(len(_CHANGES)))](prompt, rng)
        if changed and not all(holds for _, holds in oracle.judge(scene, changed)):
            return changed


def _swap(field):
    """Two groups exchange their colours or shapes."""

    def change(prompt, rng):
        if len(prompt.groups) < 2:
            return None
        i, j = rng.choice(len(prompt.groups), size=2, replace=False)
        groups = list(prompt.groups)
        a, b = groups[i], groups[j]
        groups[i] = replace(a, **{field: getattr(b, field)})
        groups[j] = replace(b, **{field: getattr(a, field)})
        return replace(prompt, groups=tuple(groups))

    return change


def _renew(field, values):
    """One group gets another colour, shape or size."""

    def change(prompt, rng):
        i = int(rng.integers(len(prompt.groups)))
        old = getattr(prompt.groups[i], field)
        if old is None:
            return None
        new = str(rng.choice([value for value in values if value != old]))
        return _with_group(prompt, i, replace(prompt.groups[i], **{field: new}))

    return change


def _recount(prompt, rng):
    """One object more or fewer of a group."""
    i = int(rng.integers(len(prompt.groups)))
    count = prompt.groups[i].count + int(rng.choice((-1, 1)))
    total = sum(group.count for group in prompt.groups) - prompt.groups[i].count + count
    if count < 1 or total > scenes.MAX_OBJECTS:
        return None
    return _with_group(prompt, i, replace(prompt.groups[i], count=count))


def _turn(prompt, rng):
    """One relation becomes its opposite."""
    if not prompt.relations:
        return None
    i = int(rng.integers(len(prompt.relations)))
    subject, word, obj = prompt.relations[i]
    relations = (*prompt.relations[:i], (subject, _OPPOSITE[word], obj), *prompt.relations[i + 1 :])
    return replace(prompt, relations=relations)


def _exchange(prompt, rng):
    """Subject and object of a relation change places."""
    if not prompt.relations:
        return None
    i, _, j = prompt.relations[int(rng.integers(len(prompt.relations)))]
    groups = list(prompt.groups)
    groups[i], groups[j] = groups[j], groups[i]
    return replace(prompt, groups=tuple(groups))


def _drop(prompt, rng):
    """The last group goes, with the relations that name it."""
    last = len(prompt.groups) - 1
    if last == 0:
        return None
    return scenes.Prompt(prompt.groups[:-1], tuple(r for r in prompt.relations if last not in (r[0], r[2])))


def _add(prompt, rng):
    """One more object of a kind that is not there."""
    if sum(group.count for group in prompt.groups) == scenes.MAX_OBJECTS:
        return None
    new = scenes.Group(1, None, str(rng.choice(tuple(scenes.COLOURS))), str(rng.choice(scenes.SHAPES)))
    return replace(prompt, groups=(*prompt.groups, new))


def _with_group(prompt, i, group):
    return replace(prompt, groups=(*prompt.groups[:i], group, *prompt.groups[i + 1 :]))


_CHANGES = (_swap("colour"), _swap("shape"), _renew("colour", tuple(scenes.COLOURS)),
            _renew("shape", scenes.SHAPES), _renew("size", tuple(scenes.RADII)),
            _recount, _turn, _turn, _exchange, _drop, _add)
