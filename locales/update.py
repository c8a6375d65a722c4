"""Bring the translations up to date with the nodes: `python locales/update.py`, from the repository's root.

Asks the real server what the nodes say. The files follow the nodes' order; what is gone is dropped; what is new,
or whose English has changed, is put in in English and printed, to be translated in place.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

_spec = importlib.util.spec_from_file_location("standalone", Path(__file__).parents[1] / "standalone.py")
_standalone = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_standalone)
_standalone.load()

from noise_search.harness import find, translations  # noqa: E402
from noise_search.harness.client import Client  # noqa: E402
from noise_search.harness.server import Server  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", metavar="DIR", help="where ComfyUI is")
    comfyui = find.comfyui(parser.parse_args().comfyui)
    if comfyui is None:
        sys.exit("No ComfyUI found: say where it is with --comfyui, or COMFYUI_PATH.")
    with tempfile.TemporaryDirectory() as base, Server(comfyui, base) as server:
        client = Client(server.url)
        now = translations.english(client.object_info())
        client.close()
        if not now[translations.FILES[0]]:
            sys.exit(f"The pack was not loaded, and nothing is changed:\n{server.read_log()[-3000:]}")
    before = translations.read("en")
    for language in translations.LANGUAGES:
        translated = translations.read(language)
        for file in translations.FILES:
            translated[file] = translations.renewed(now[file], before[file], translated[file])
            for path, text in translations.untranslated(now[file], translated[file]):
                print(f"{language}: {'.'.join(path)}: {text}")
        translations.write(language, translated)
    translations.write("en", now)


if __name__ == "__main__":
    main()
