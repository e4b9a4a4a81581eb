"""One extraction run: look, plan, settle, extract, publish, and leave a record."""
