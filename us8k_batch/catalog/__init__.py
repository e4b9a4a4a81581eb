"""Datasets: what clips there are, where their bytes are, and what is wrong with them."""
