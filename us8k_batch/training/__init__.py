"""Train and evaluate models on a store alone: no audio, no cluster, no network."""
