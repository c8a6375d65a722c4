"""Pictures and tables of a finished search, from its `Account`. No ComfyUI; drawn with PIL and matplotlib."""

from .contact_sheet import contact_sheet
from .curve import curve
from .export import to_csv, to_json
from .family_tree import family_tree
from .gallery import before_after, caption, gallery, message
from .table import table
from .theme import THEMES
from .words import warning

__all__ = [
    "THEMES",
    "before_after",
    "caption",
    "contact_sheet",
    "curve",
    "family_tree",
    "gallery",
    "message",
    "table",
    "to_csv",
    "to_json",
    "warning",
]
