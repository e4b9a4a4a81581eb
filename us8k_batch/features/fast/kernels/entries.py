"""Compile the kernels that Python calls to native object code, which needs neither Python nor numba to run."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from us8k_batch.config import FeatureConfig
from us8k_batch.features.fast import ways
from us8k_batch.features.fast.arguments import Work, source_of
from us8k_batch.features.fast.kernels import extract, mono, pooling, sha256
from us8k_batch.features.fast.kernels.jit import kernel
from us8k_batch.features.fast.kernels.unpack import WORDS, unpacker
from us8k_batch.features.fast.object_code import BROKEN, make_target_machine
from us8k_batch.features.fast.sha256 import make_work
from us8k_batch.features.fast.spectrum import make_tables
from us8k_batch.features.fast.words import pack

_FROM_OUTSIDE = {"memcpy", "memmove", "memset"}
"""All functions that machine code may want; the C library has them."""


def compile_entries() -> bytes:
    """Compile the entries of `fast.library.Library`.

    Returns
    -------
    bytes
        One line of JSON, the layouts of each entry's arguments as `words.pack` tells them; then an object file, as
        the platform's linker would take it.
    """
    examples = _examples()
    entries = _entries(**{name: unpacker(numba.typeof(example)) for name, example in examples.items()})
    layouts = {
        name: [pack(examples[argument]).layout for argument in inspect.signature(entry).parameters]
        for name, entry in entries.items()
    }
    code: bytes = compile_object(entries)
    return json.dumps(layouts).encode() + b"\n" + code


@global_compiler_lock
def compile_object(functions: Mapping[str, Callable[..., int]]) -> bytes:
    """Compile functions of words, by the names that they are to be found by.

    They return a whole number; in its place `BROKEN` is returned where numba would raise an exception.
    """
    context = cpu_target.target_context
    library = context.codegen().create_library("us8k")
    module = library.create_ir_module("us8k")
    for name, function in functions.items():
        dispatcher: Any = kernel(function)
        words = (WORDS,) * len(inspect.signature(function).parameters)
        dispatcher.compile(numba.int64(*words))
        compiled = dispatcher.overloads[words]
        library.add_linking_library(compiled.library)
        _add_entry(context, module, name, compiled.fndesc)
    library.add_ir_module(module)
    library.finalize()
    return _emit(library.get_llvm_str(), set(functions))


def _examples() -> dict[str, Any]:
    """Make one of each kind of argument; all others have their types."""
    floats, config = np.zeros(1, dtype=np.float32), FeatureConfig()
    return {
        "source": source_of(floats[:, np.newaxis]),
        "way": ways.make_copy(config, by_library=False).way,
        "tables": make_tables(config),
        "work": Work(*[floats] * len(Work._fields)),
        "mfcc": np.zeros((2, 2), dtype=np.float32),
        "moments": np.zeros((2, 2)),
        "samples": floats,
        "number": 0,
        "place": (0, 0),
        "one": np.zeros(1, dtype=np.uint8),
        "other": np.zeros(1, dtype=np.uint8),
        "hashing": make_work(),
    }


def _entries(**unpack: Callable[[Any], Any]) -> dict[str, Callable[..., int]]:
    """Wrap the kernels in functions that take words; their parameters are named as in `_examples`."""
    unpack_source, unpack_way, unpack_work = unpack["source"], unpack["way"], unpack["work"]
    unpack_tables, unpack_mfcc, unpack_samples = unpack["tables"], unpack["mfcc"], unpack["samples"]
    unpack_number, unpack_place, unpack_moments = unpack["number"], unpack["place"], unpack["moments"]
    unpack_one, unpack_hashing = unpack["one"], unpack["hashing"]

    def read_mono(source: Any, number: Any, samples: Any) -> int:
        clip, first, part = unpack_source(source), unpack_number(number), unpack_samples(samples)
        return int(mono.read_mono(clip.values, clip.encoding, clip.channels, clip.n_samples, first, part))

    def make_signal(source: Any, way: Any, work: Any, place: Any) -> int:
        first, at = unpack_place(place)
        return int(extract.make_signal(unpack_source(source), unpack_way(way), unpack_work(work), first, at))

    def extract_clip(source: Any, way: Any, tables: Any, work: Any, mfcc: Any, moments: Any) -> int:
        clip, frames = unpack_source(source), unpack_mfcc(mfcc)
        done = extract.extract(clip, unpack_way(way), unpack_tables(tables), unpack_work(work), frames)
        if done:
            pooling.take_moments(frames, unpack_moments(moments))
        return int(done)

    def take_moments(mfcc: Any, moments: Any) -> int:
        pooling.take_moments(unpack_mfcc(mfcc), unpack_moments(moments))
        return 1

    def hash_pair(one: Any, other: Any, hashing: Any) -> int:
        sha256.hash_pair(unpack_one(one), unpack_one(other), unpack_hashing(hashing))
        return 1

    entries: dict[str, Callable[..., int]] = {
        "read_mono": read_mono,
        "make_signal": make_signal,
        "extract": extract_clip,
        "take_moments": take_moments,
    }
    return {**entries, "hash_pair": hash_pair} if sha256.supported() else entries


def _add_entry(context: Any, module: Any, name: str, compiled: Any) -> None:
    """Add a function with C's calling convention around one with numba's."""
    number = ir.IntType(64)
    words = number.as_pointer()
    entry = ir.Function(module, ir.FunctionType(number, [words] * len(compiled.argtypes)), name)
    builder = ir.IRBuilder(entry.append_basic_block())
    callee = context.declare_function(module, compiled)
    status, result = context.call_conv.call_function(
        builder, callee, compiled.restype, compiled.argtypes, list(entry.args)
    )
    builder.ret(builder.select(status.is_ok, result, ir.Constant(number, BROKEN)))


def _emit(text: str, names: set[str]) -> bytes:
    """Generate machine code for some functions of a module, and for what they call."""
    module = llvm.parse_assembly(text)
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name not in names:
            symbol.linkage = llvm.Linkage.internal
    machine = make_target_machine()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)
    wanted = {function.name for function in module.functions if function.is_declaration}
    strange = {name for name in wanted if not name.startswith("llvm.")} - _FROM_OUTSIDE
    if strange:
        raise RuntimeError(f"the kernels call {', '.join(sorted(strange))}; expected machine code that runs alone")
    return bytes(machine.emit_object(module))
