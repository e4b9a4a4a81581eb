"""Submit one extraction run: the same job as ``us8k extract``, for batch systems that want a script."""

from us8k_batch.cli.extract import extract

if __name__ == "__main__":
    extract(prog_name="jobs/extract.py")
