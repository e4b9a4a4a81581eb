"""Audio files: one way to open them, and what their headers say; decodes nothing by itself."""
