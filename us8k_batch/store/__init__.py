"""The store, format 1: write-once shards and commits, and the tables published from them."""
