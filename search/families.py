"""Images that began as one noise, and the best of each such family: parents that differ."""

from __future__ import annotations

from collections.abc import Callable

from .archive import Archive
from .recipe import Recipe


class Families:
    """Kept up as the archive grows, so that asking again costs little.

    counts  which finished images are looked at; the best of all always is
    """

    def __init__(self, archive: Archive, counts: Callable[[Recipe], bool]):
        self._archive, self._counts = archive, counts
        self._best: dict[Recipe, Recipe] = {}  # noise -> image
        self._ranked: list[Recipe] = []
        self._seen = 0  # how much of the archive is in there

    def ranked(self) -> list[Recipe]:
        """The best image of each family, the best first. Within a family the choice is as of when an image came: a rule
        over the whole set may since prefer another. The first is always the best of all now."""
        archive = self._archive
        if self._seen < len(archive):
            for entry in archive.entries[self._seen :]:
                if entry.complete and self._counts(entry.recipe):
                    self._take(entry.recipe)
            self._seen = len(archive)
            best = [entry.recipe for entry in archive.top(1)]
            others = [entry.recipe for entry in archive.ranked(list(self._best.values()))]
            self._ranked = best + [image for image in others if image.noise != best[0].noise]
        return self._ranked

    def _take(self, image: Recipe) -> None:
        rivals = [self._best.get(image.noise, image), image]
        for entry in self._archive.ranked(rivals)[:1]:  # none without a score
            self._best[image.noise] = entry.recipe
