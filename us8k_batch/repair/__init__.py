"""Mend a damaged store: what was lost is made again, and stands only if it has the digest that was recorded."""
