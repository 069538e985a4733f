"""A line of tegrastats, written by hand after the program's format."""

from __future__ import annotations

ORIN_NANO = (
    "RAM 4722/7844MB (lfb 1x512kB) SWAP 0/3922MB (cached 0MB) CPU [3%@1510,off,0%@729] EMC_FREQ"
    " 2%@1866 GR3D_FREQ 10%@1300 NVDEC off APE 200 cpu@48.5C soc2@-256C tj@50.25C gpu@47.6C VDD_IN"
    " 5336mW/4970mW VDD_CPU_GPU_CV 1617mW/1336mW VDD_SOC 1478mW/1318mW"
)
