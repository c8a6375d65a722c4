"""Folders of verifier models that are a test's own, so that what others left there is not in its way."""

from contextlib import contextmanager


@contextmanager
def private(place):
    """ComfyUI looks for verifiers in folders of `place`, empty at first, and nowhere else: name → path."""
    import folder_paths

    from noise_search.nodes.host.model_files import FOLDERS

    known = folder_paths.folder_names_and_paths
    before = {name: known[name] for name in FOLDERS}
    for name, (_, extensions) in before.items():
        (place / name).mkdir(parents=True)
        known[name] = ([str(place / name)], extensions)
    folder_paths.filename_list_cache.clear()
    try:
        yield {name: place / name for name in FOLDERS}
    finally:
        known.update(before)
        folder_paths.filename_list_cache.clear()
