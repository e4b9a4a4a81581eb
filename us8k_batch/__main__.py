"""``python -m us8k_batch`` is the ``us8k`` command."""

from us8k_batch.cli import main

if __name__ == "__main__":
    main(prog_name="us8k")
