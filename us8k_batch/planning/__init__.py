"""What a run will do and what it will publish: pure functions of the catalog and the committed rows."""
