"""The decoder child: a clip that crashes, hangs, lies or eats memory costs itself and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lying_child
import numpy as np
import psutil
import pytest
import soundfile
from audio_files import flac_promising, make_audio
from threadpoolctl import threadpool_limits

from us8k_batch.audio.opening import ClipFile
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import Failure, JobError
from us8k_batch.features.audio import Header
from us8k_batch.features.decoder import PROGRAM, Decoder
from us8k_batch.features.engine import Features, make_engine
from us8k_batch.features.fast.library import load_library
from us8k_batch.features.fast.machine_code import FILE, open_machine_code
from us8k_batch.features.handover import PLACES

CONFIG = FeatureConfig(max_seconds=4.0)
CLIPS = [make_audio(sample_rate=44100, channels=2, seed=seed) for seed in range(4)]
TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def expected() -> list[Features]:
    """Compute the clips in this process, on one thread as in a child."""
    engine = make_engine(CONFIG, "auto")
    with threadpool_limits(1):
        return [engine(clip) for clip in CLIPS]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """Start a decoder that nothing bad is done to."""
    with Decoder(CONFIG, "auto") as started:
        yield started


@pytest.fixture
def poisonous(tmp_path: Path) -> Iterator[Callable[..., Decoder]]:
    """Start decoders whose child obeys orders."""
    own = tmp_path / "own.wav"
    own.write_bytes(CLIPS[0])
    program = (sys.executable, str(TESTS / "poisonous_child.py"), str(own))
    with contextlib.ExitStack() as stack:
        yield lambda config=CONFIG, **options: stack.enter_context(
            Decoder(config, "auto", program=program, **options)
        )


def lying(how: str, **options: float) -> Decoder:
    """Prepare a decoder whose child breaks the protocol."""
    program = (sys.executable, str(TESTS / "lying_child.py"), how)
    return Decoder(CONFIG, "auto", program=program, **options)


def assert_same(ours: Features | Failure, theirs: Features) -> None:
    """Assert that a result is the same to the bit."""
    assert isinstance(ours, Features), ours
    assert np.array_equal(ours.mfcc, theirs.mfcc)
    assert np.array_equal(ours.pooled, theirs.pooled)
    assert ours.duration == theirs.duration


def test_a_child_gives_the_same_bits(decoder: Decoder, expected: list[Features]) -> None:
    """What comes out of the child is what the engine computes here, with its times."""
    for clip, features in zip(CLIPS, expected, strict=True):
        result = decoder.extract(clip)
        assert_same(result, features)
        assert isinstance(result, Features)
        assert result.mfcc.flags.c_contiguous
        assert set(result.seconds) == {"decode", "compute"}


def test_many_clips_come_back_in_order(decoder: Decoder, expected: list[Features]) -> None:
    """Results and failures come one per clip, in the order of the clips."""
    results = list(decoder.extract_many(map(ClipFile, [CLIPS[2], b"rubbish", CLIPS[0], make_audio(n_samples=0)])))
    assert_same(results[0], expected[2])
    assert_same(results[2], expected[0])
    assert results[1] == Failure("decode", "not_decodable", "libsndfile: Format not recognised.")
    assert results[3] == Failure("extract", "empty", "no sample in this WAV file; expected at least one")
    assert list(decoder.extract_many([])) == []


def test_no_more_than_the_next_clips_are_fetched(decoder: Decoder) -> None:
    """When a result is handed over, the next two or three small clips have been fetched, in pairs, and no more."""
    fetched = 0

    def source() -> Iterator[bytes]:
        nonlocal fetched
        for clip in CLIPS * 2:
            fetched += 1
            yield clip

    ahead = []
    for done, _ in enumerate(decoder.extract_many(map(ClipFile, source())), start=1):
        ahead.append(fetched - done)
    assert ahead == [3, 2, 3, 2, 3, 2, 1, 0]


def test_an_error_of_the_source_comes_after_the_results(decoder: Decoder, expected: list[Features]) -> None:
    """If the source of clips fails, the clips before that keep their results."""

    def source() -> Iterator[bytes]:
        yield from CLIPS[:2]
        raise ConnectionError("the bucket is gone")

    results = []
    with pytest.raises(ConnectionError, match="the bucket is gone"):
        results.extend(iter_into(results, decoder.extract_many(map(ClipFile, source()))))
    assert len(results) == 2
    assert_same(results[1], expected[1])


def iter_into(results: list[Features | Failure], source: Iterator[Features | Failure]) -> list[Features]:
    """Append results one by one, so that those before an error are kept."""
    for result in source:
        results.append(result)
    return []


def test_results_that_nobody_takes_are_forgotten(
    poisonous: Callable[..., Decoder], expected: list[Features], tmp_path: Path
) -> None:
    """After leaving off in the middle, the next clip gets its own result and has both its tries."""
    decoder = poisonous()
    results = decoder.extract_many(map(ClipFile, CLIPS))
    next(results)
    with pytest.raises(RuntimeError, match="take all results first"):
        decoder.extract(CLIPS[3])
    results.close()
    assert_same(decoder.extract(f"once:{tmp_path / 'marker'}".encode()), expected[0])


def test_headers_are_read_in_the_child(decoder: Decoder) -> None:
    """A header is read without decoding; rubbish is a failure."""
    assert decoder.read_header(CLIPS[0]) == Header("WAV", "PCM_16", 44100, 2, 22050)
    assert decoder.read_header(b"rubbish") == Failure("decode", "not_decodable", "libsndfile: Format not recognised.")


def test_clips_larger_than_any_pipe() -> None:
    """Sources and results of several megabytes pass, both ways at once."""
    config = FeatureConfig(max_seconds=8.0, hop_length=16)
    clips = [make_audio(sample_rate=44100, channels=2, seconds=8.0, subtype="FLOAT", seed=i) for i in (1, 2)]
    engine = make_engine(config, "auto")
    with Decoder(config, "auto") as large, threadpool_limits(1):
        for result, clip in zip(large.extract_many(map(ClipFile, clips)), clips, strict=True):
            assert_same(result, engine(clip))


@pytest.mark.parametrize("order", ["segfault", "abort", "exit:139", "eat", "recurse", "raise:broken", "print"])
def test_poison_costs_itself_and_nothing_else(
    order: str, poisonous: Callable[..., Decoder], expected: list[Features]
) -> None:
    """Whatever one clip does to the child, its neighbours get their bits and it gets the right reason."""
    decoder = poisonous(memory_bytes=600 << 20)
    before, result, after = decoder.extract_many(map(ClipFile, [CLIPS[1], order.encode(), CLIPS[2]]))
    assert_same(before, expected[1])
    assert_same(after, expected[2])
    again = ", and in a fresh process too"
    if order == "print":
        assert_same(result, expected[0])
    else:
        assert isinstance(result, Failure)
        assert (result.stage, result.error, result.detail) == {
            "segfault": ("decode", "crashed", "the decoder child was ended by SIGSEGV" + again),
            "abort": ("decode", "crashed", "the decoder child was ended by SIGABRT" + again),
            "exit:139": ("decode", "crashed", "the decoder child exited with status 139" + again),
            "eat": ("decode", "out_of_memory", "the decoder child needed more than 600 MiB" + again),
            "recurse": ("decode", "crashed", "the engine raised RecursionError: maximum recursion depth exceeded"),
            "raise:broken": ("decode", "crashed", "the engine raised RuntimeError: broken at <object object at 0x…>"),
        }[order]  # fmt: skip


def test_a_hang_is_ended_at_the_deadline(poisonous: Callable[..., Decoder], expected: list[Features]) -> None:
    """A clip that hangs is tried twice, each time for the deadline; its neighbours wait, no more."""
    decoder = poisonous(deadline_seconds=0.5)
    decoder.start()
    start = time.monotonic()
    before, result, after = decoder.extract_many(map(ClipFile, [CLIPS[1], b"hang", CLIPS[2]]))
    assert 1.0 <= time.monotonic() - start < 30
    assert_same(before, expected[1])
    assert result == Failure("decode", "timeout", "no result within 0.5 s, and in a fresh process too")
    assert_same(after, expected[2])


def test_the_duration_is_added_to_the_deadline(poisonous: Callable[..., Decoder]) -> None:
    """A clip of 3 s may take 1 s longer than the deadline of 0.3 s, and one of 0.1 s may not."""
    decoder = poisonous(deadline_seconds=0.3)
    long, short = (make_audio(sample_rate=22050, seconds=seconds) for seconds in (3.0, 0.1))
    assert isinstance(decoder.extract(b"slow:" + long), Features)
    result = decoder.extract(b"slow:" + short)
    assert result == Failure("decode", "timeout", "no result within 0.4 s, and in a fresh process too")


def test_a_lying_header_cannot_buy_days(poisonous: Callable[..., Decoder]) -> None:
    """A header that promises weeks gets the time that a file of its size, or max_seconds, can be worth."""
    decoder = poisonous(FeatureConfig(max_seconds=0.6), deadline_seconds=0.2)
    small = flac_promising(make_audio(format="FLAC", n_samples=10), 2**36 - 1)
    for clip, seconds in ((small, len(small) / 500), (small + bytes(5000), 0.6)):
        start = time.monotonic()
        result = decoder.extract(b"stall:" + clip)
        assert time.monotonic() - start < 30
        assert isinstance(result, Failure)
        assert result.error == "timeout"
        assert float(result.detail.split()[3]) == pytest.approx(0.2 + seconds, abs=0.02)


def test_only_waiting_counts(poisonous: Callable[..., Decoder], expected: list[Features]) -> None:
    """A slow source of clips, or a slow taker of results, does not use up a clip's deadline."""
    pause = threading.Event()

    def slow_source() -> Iterator[bytes]:
        for clip in CLIPS[:2]:
            pause.wait(0.4)
            yield clip

    decoder = poisonous(deadline_seconds=0.3)
    for result, features in zip(decoder.extract_many(map(ClipFile, slow_source())), expected[:2], strict=True):
        pause.wait(0.4)
        assert_same(result, features)


def test_one_more_try_in_a_fresh_child(
    poisonous: Callable[..., Decoder], expected: list[Features], tmp_path: Path
) -> None:
    """A clip that is lost once gets its result from the second child; one that is lost twice is not tried again."""
    decoder = poisonous()
    marker, count = tmp_path / "marker", tmp_path / "count"
    decoder.start()
    first = decoder.pid
    assert_same(decoder.extract(f"once:{marker}".encode()), expected[0])
    assert decoder.pid != first
    assert isinstance(decoder.extract(f"count:{count}".encode()), Failure)
    assert count.read_text() == "xx"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP, signal.SIGTERM])
def test_a_signal_in_the_middle_costs_nothing(number: signal.Signals, expected: list[Features]) -> None:
    """A child that is killed or stopped from outside while it works is replaced, and every clip has its result."""
    with Decoder(CONFIG, "auto", deadline_seconds=1.0) as decoder:
        decoder.start()

        def source() -> Iterator[bytes]:
            for i, clip in enumerate(CLIPS):
                if i == 2:  # the clip before this one is at the child
                    os.kill(decoder.pid or 0, number)
                yield clip

        for result, features in zip(decoder.extract_many(map(ClipFile, source())), expected, strict=True):
            assert_same(result, features)


def test_a_child_lost_while_idle_is_nobodys_fault(
    poisonous: Callable[..., Decoder], expected: list[Features], tmp_path: Path
) -> None:
    """A child that ended between two clips is replaced without using up a try of the next one."""
    decoder = poisonous()
    decoder.start()
    child = psutil.Process(decoder.pid)
    child.kill()
    psutil.wait_procs([child], timeout=10)
    assert_same(decoder.extract(f"once:{tmp_path / 'marker'}".encode()), expected[0])


@pytest.mark.parametrize("how", lying_child.LIES)
def test_a_child_that_lies_counts_as_crashed(how: str) -> None:
    """Nothing that a child says is believed unless it can be true; a huge length allocates nothing."""
    with lying(how) as decoder:
        result = decoder.extract(CLIPS[0])
    assert result == Failure("decode", "crashed", "the decoder child answered nonsense, and in a fresh process too")


def test_a_child_that_does_not_read(expected: list[Features]) -> None:
    """A child that never reads a clip larger than the pipe does not block its parent."""
    with lying("never reads", deadline_seconds=0.3) as decoder:
        result = decoder.extract(bytes(5_000_000))
    assert result == Failure("decode", "timeout", "no result within 0.3 s, and in a fresh process too")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("dies at once", r"exited with status 1 before it was ready.*no libsndfile here"),
        ("never ready", r"not ready within 0\.5 s.*XDG_CACHE_HOME"),
        ("compiles and falls silent", r"not ready within 0\.5 s"),
        ("starts wrongly", r"nonsense|instead of READY"),
    ],
)
def test_a_child_that_does_not_start_is_no_clips_fault(how: str, reason: str) -> None:
    """Before READY nothing is blamed on a clip: the job stops, and says what to do."""
    with lying(how, startup_seconds=0.5 if "not ready" in reason else 60.0) as decoder:
        with pytest.raises(JobError, match=reason):
            decoder.extract(CLIPS[0])
        assert decoder.pid is None


def test_compiling_is_no_silence() -> None:
    """A child that says that kernels are compiled is waited for beyond any deadline, and whoever asked is told."""
    told: list[float] = []
    program = (sys.executable, str(TESTS / "lying_child.py"), "compiles")
    with Decoder(CONFIG, "auto", program=program, startup_seconds=1.0, on_compiling=told.append) as decoder:
        decoder.start()
        assert len(told) == 6 and told == sorted(told)
        assert decoder.take_starts()[0].seconds > 1.5


def test_one_child_compiles_and_the_others_are_waited_for(tmp_path: Path) -> None:
    """Of two children on a new machine one compiles; both say so until it is done, however long that takes."""
    load_library()
    kept = open_machine_code().folder
    assert kept is not None
    (tmp_path / "code").write_bytes((kept / FILE).read_bytes()[32:])
    program = f"""
import sys, time
from pathlib import Path
from us8k_batch.features import child
from us8k_batch.features.fast import library
folder = Path({str(tmp_path)!r})
def compile_slowly():
    while not (folder / "go").exists():
        time.sleep(0.01)
    return (folder / "code").read_bytes()
library._compile, child._PULSE_SECONDS = compile_slowly, 0.05
sys.exit(child.main())
"""
    place = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    told: list[list[float]] = [[], []]
    starts = []

    def start(number: int) -> None:
        command = ("env", *(f"{name}={value}" for name, value in place.items()), sys.executable, "-c", program)
        with Decoder(CONFIG, "auto", program=command, on_compiling=told[number].append) as decoder:
            decoder.start()
            starts.extend(decoder.take_starts())
            assert isinstance(decoder.extract(CLIPS[0]), Features)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    while not all(len(seconds) > 3 for seconds in told):
        assert all(thread.is_alive() for thread in threads)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join()
    assert sorted(start.compiled for start in starts) == [False, True]


def test_clips_that_no_child_got_take_no_place(expected: list[Features], tmp_path: Path) -> None:
    """However often it could not be started: once it can, every clip has its result."""
    late = tmp_path / "python"
    decoder = Decoder(CONFIG, "auto", program=[str(late), *PROGRAM[1:]])
    for _ in range(PLACES + 1):
        with pytest.raises(JobError, match="cannot be started"):
            list(decoder.extract_many(map(ClipFile, CLIPS)))
    late.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    late.chmod(0o700)
    with decoder:
        for result, features in zip(decoder.extract_many(map(ClipFile, CLIPS)), expected, strict=True):
            assert_same(result, features)


def test_a_program_that_is_not_there() -> None:
    """A child that cannot be started at all stops the job."""
    with pytest.raises(JobError, match="cannot be started on this machine"):
        Decoder(CONFIG, "auto", program=["/nowhere/python"]).start()


def test_a_memory_limit_that_no_clip_could_meet() -> None:
    """A limit below what the libraries need stops the job and names the setting."""
    decoder = Decoder(CONFIG, "auto", memory_bytes=32 << 20)
    with pytest.raises(JobError, match=r"us8k\.clip-memory.*32 MiB leave no room"):
        decoder.start()


def test_what_the_child_is_made_of(decoder: Decoder) -> None:
    """The child ignores Ctrl-C, dumps no core, has its memory limited, one thread, and the root as its folder."""
    decoder.start()
    child = psutil.Process(decoder.pid)
    status = Path(f"/proc/{child.pid}/status").read_text()
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    assert ignored & (1 << (signal.SIGINT - 1))
    assert os.getpgid(child.pid) != os.getpgid(0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_DATA) == (2 << 30, 2 << 30)
    assert child.num_threads() == 1
    environment = child.environ()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        assert environment[name] == "1"
    links = Path(f"/proc/{child.pid}")
    assert str((links / "cwd").readlink()) == "/"
    assert {str((links / "fd" / str(i)).readlink()) for i in (0, 1, 2)} == {"/dev/null"}


def test_ctrl_c_does_not_end_the_child(decoder: Decoder, expected: list[Features]) -> None:
    """SIGINT leaves the same child at work."""
    decoder.start()
    before = decoder.pid
    os.kill(before or 0, signal.SIGINT)
    assert_same(decoder.extract(CLIPS[0]), expected[0])
    assert decoder.pid == before


def test_clips_that_the_kernel_hands_over_are_computed_in_the_child() -> None:
    """By the plain engine, whose resampler is compiled there and then."""
    seconds = np.arange(22050) / 44100
    noise = np.random.default_rng(1).standard_normal(len(seconds)) * 10 ** (-60 / 20)
    file = io.BytesIO()
    whistle = 0.25 * (np.sin(2 * np.pi * 10_300 * seconds) + noise)
    soundfile.write(file, whistle, 44100, format="WAV", subtype="PCM_16")
    config = FeatureConfig(res_type="kaiser_fast", max_seconds=1.0)
    librosa = make_engine(config, "librosa")(file.getvalue())
    with Decoder(config, "auto") as decoder:
        features = decoder.extract(file.getvalue())
    assert isinstance(features, Features)
    assert np.abs(features.mfcc - librosa.mfcc).max() <= 1e-3


def test_the_folder_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's modules and a stray resource fork in the working directory change nothing."""
    for name in ("numpy.py", "soundfile.py", "us8k_batch.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('a stranger was here')")
    (tmp_path / "._").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    with Decoder(CONFIG, "auto") as decoder:
        assert isinstance(decoder.extract(make_audio(format="MP3", sample_rate=44100)), Features)


PARENT = """
import sys
from us8k_batch.config import FeatureConfig
from us8k_batch.features.decoder import Decoder
decoder = Decoder(FeatureConfig(max_seconds=4.0), "auto", program=sys.argv[1:])
decoder.start()
print(decoder.pid, flush=True)
decoder.extract(b"hang")
"""


def test_a_hanging_child_dies_with_its_parent(tmp_path: Path) -> None:
    """SIGKILL of the parent takes a child along that hangs and will never read the end of its pipe."""
    program = [sys.executable, str(TESTS / "poisonous_child.py"), str(tmp_path)]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def test_a_child_whose_parent_is_gone_already() -> None:
    """A child that finds another parent than the one that started it ends before it does anything."""
    settings = {"parent": 1 << 30, "engine": "auto", "memory_bytes": 2 << 30, "config": CONFIG.to_dict()}
    done = subprocess.run(
        [*PROGRAM, json.dumps(settings)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 1
    assert "is gone" in done.stderr
    assert done.stdout == ""


def test_a_child_outlives_the_thread_that_asked_for_it(expected: list[Features]) -> None:
    """Tasks of a worker run in threads that come and go; the kernel ends a child with the thread that started it."""
    with Decoder(CONFIG, "auto") as decoder:
        thread = threading.Thread(target=decoder.start)
        thread.start()
        thread.join()
        pid = decoder.pid
        assert_same(decoder.extract(CLIPS[0]), expected[0])
        assert decoder.pid == pid


def test_closing_from_another_thread(poisonous: Callable[..., Decoder]) -> None:
    """A worker that shuts down does not wait for a clip that hangs; the clip gets no failure."""
    decoder = poisonous(deadline_seconds=600.0)
    decoder.start()
    threading.Timer(0.2, decoder.close).start()
    with pytest.raises(JobError, match="was closed"):
        decoder.extract(b"hang")
    with pytest.raises(JobError, match="was closed"):
        decoder.extract(CLIPS[0])


def test_nothing_is_left_behind(poisonous: Callable[..., Decoder]) -> None:
    """Crashes leave no open file and no process."""
    decoder = poisonous()
    decoder.extract(CLIPS[0])
    me = psutil.Process()
    files, children = me.num_fds(), len(me.children())
    for _ in range(2):
        decoder.extract(b"exit:1")
    decoder.extract(CLIPS[0])
    assert (me.num_fds(), len(me.children())) == (files, children)
    decoder.close()
    assert len(me.children()) == children - 1


def _extract_in_daemon(connection: multiprocessing.connection.Connection) -> None:
    with Decoder(CONFIG, "auto") as decoder:
        result = decoder.extract(CLIPS[0])
        connection.send(result.n_frames if isinstance(result, Features) else result)


def test_it_works_in_a_daemonic_process(expected: list[Features]) -> None:
    """Dask workers are daemonic processes, which may not have children of multiprocessing; ours they may."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_extract_in_daemon, args=(theirs,), daemon=True)
    process.start()
    assert ours.poll(60)
    assert ours.recv() == expected[0].n_frames
    process.join(10)
