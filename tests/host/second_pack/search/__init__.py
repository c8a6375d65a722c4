"""Their way to search: so many seeds in a row."""


def seeds(first, count):
    return range(first, first + count)
