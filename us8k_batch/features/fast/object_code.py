"""Load native object code and call it: all that a process needs in which nothing is compiled."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm

BROKEN = -1
"""What a function returns where numba would raise an exception."""


class ObjectCode:
    """An object file in memory that can be executed; it lives as long as its functions."""

    def __init__(self, code: bytes) -> None:
        """Load an object file that `kernels.compile` made on the same processor."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), make_target_machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def function(self, name: str, n_arguments: int) -> Callable[..., int]:
        """Find a function of so many addresses; the interpreter's lock is released while it runs.

        Raises
        ------
        LookupError
            If there is no such function.
        """
        address = self._engine.get_function_address(name)
        if not address:
            raise LookupError(f"no function {name} in this machine code")
        function: Any = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * n_arguments)(address)
        function.keeps = self._engine
        return function  # type: ignore[no-any-return]


def make_target_machine() -> Any:
    """Make what generates code for exactly this processor, at the highest level of optimisation."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    processor, features = name_processor()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=processor, features=features, opt=3, reloc="pic", codemodel="jitdefault", jit=True
    )


def name_processor() -> tuple[str, str]:
    """Name this processor and its instruction sets, as LLVM does, or what numba's settings name in its place.

    Numba makes code for these, and ours is made of it: for another processor it could not be translated.
    """
    processor = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if processor.lower() == "generic" else llvm.get_host_cpu_features().flatten()
    return processor, features
