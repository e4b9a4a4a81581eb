"""From the bytes of one clip to its MFCC frames and pooled vector."""
