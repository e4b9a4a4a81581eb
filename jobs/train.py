"""Submit one training run: the same job as ``us8k train``, for batch systems that want a script."""

from us8k_batch.cli.train import train

if __name__ == "__main__":
    train(prog_name="jobs/train.py")
