"""Write the three locks from pyproject.toml, or check that they are current.

``requirements.lock`` is what a worker and the demo install; ``requirements-dev.lock`` adds the tests' and the
checks' needs, and ``requirements-bench.lock`` the libraries that benchmarks compare with; all have the same versions.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

RUN_EXTRAS = ("dashboard", "train", "report", "ssh", "jobqueue", "build")
DEV_EXTRAS = (*RUN_EXTRAS, "nn", "tune", "mlflow", "tensorboard", "comet", "aws", "test", "browser", "lint")
BENCH_EXTRAS = ("bench",)


def compile_lock(lock: Path, extras: tuple[str, ...], constraint: Path | None) -> None:
    """Resolve for every supported Python and platform, keeping the versions that `lock` has already."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "pyproject.toml",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
    ]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += [f"--extra={extra}" for extra in extras]
    command += ["--constraints", str(constraint)] if constraint else []
    subprocess.run([*command, "--output-file", str(lock)], check=True)


def main() -> int:
    """Return 1 if a lock was to be checked and is not current."""
    locks = [Path("requirements.lock"), Path("requirements-dev.lock"), Path("requirements-bench.lock")]
    check = "--check" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder) / lock.name if check else lock for lock in locks]
        for lock, copy in zip(locks, made, strict=True):
            if check and lock.exists():
                copy.write_text(lock.read_text())
        compile_lock(made[1], DEV_EXTRAS, None)
        compile_lock(made[0], RUN_EXTRAS, made[1])
        compile_lock(made[2], BENCH_EXTRAS, made[1])
        stale = [lock.name for lock, copy in zip(locks, made, strict=True) if lock.read_text() != copy.read_text()]
    if stale:
        print(f"{', '.join(stale)}: not what pyproject.toml asks for; run make lock", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
