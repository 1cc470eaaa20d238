"""The example of a domain, for tests of what any domain gets."""

from __future__ import annotations

from scripts.builtin.domain import EXAMPLES, load_domain

FOLDER = EXAMPLES / "shop"
SHOP = load_domain(FOLDER)
