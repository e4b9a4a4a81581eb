"""The fast engine: a WAV reader, resamplers and an MFCC kernel that numba compiles, eight frames side by side."""
