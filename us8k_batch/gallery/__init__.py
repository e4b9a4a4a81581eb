"""Single clips of a store to see and hear: pictures by librosa.display, excerpts, and what listening tells."""
