"""The kernels' sources, which import numba: nothing outside imports them, except to compile; see `machine_code`."""
