"""One language for finding workflows, in pages, the API, bulk operations, exports and the command line.

:mod:`language` reads the text, :mod:`values` the times and durations in it, :mod:`filters` makes conditions
for the database of it.
"""

from workflows_app.search.filters import ALL_KEYS, Search
from workflows_app.search.language import BadQuery, Term, read

__all__ = ["ALL_KEYS", "BadQuery", "Search", "Term", "read"]
