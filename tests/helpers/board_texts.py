"""Lines of tegrastats as Orin and Thor boards print them, and what they tell.

Written by hand after the programs' formats; every number is made up. Lines of a user without root
tell no clock of the GPU on most boards: `DEVFREQ` behind them is what board_watch and build.sh add.
"""

from __future__ import annotations

from tests.helpers.board_line import Line

_ORIN_PARTS = "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
_ORIN_RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
_THOR_PARTS = "VDD_GPU + VDD_CPU_SOC_MSS + VIN_SYS_5V0"
_THOR_RAILS = ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")
_IN = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")

LINES = (
    Line(
        number=11,
        board="AGX Orin, JetPack 5.1, idle: the GPU sleeps, two channels are not connected",
        text=(
            "11-02-2026 10:11:12 RAM 4310/62780MB (lfb 13001x4MB) SWAP 0/31390MB (cached 0MB) CPU"
            " [1%@729,0%@729,0%@729,0%@729,off,off,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 0%@0"
            " GR3D2_FREQ 0%@0 VIC_FREQ 115 APE 174 CV0@-256C CPU@46.406C Tboard@36C SOC2@43.5C"
            " Tdiode@37.5C SOC0@44.125C CV1@-256C GPU@-256C tj@46.406C SOC1@43.75C CV2@-256C"
            " VDD_GPU_SOC 2411mW/2409mW VDD_CPU_CV 401mW/399mW VIN_SYS_5V0 3022mW/3019mW NC 0mW/0mW"
            " VDDQ_VDD2_1V8AO 604mW/602mW NC 0mW/0mW"
        ),
        percent=0,
        clocks_mhz=(),
        hottest=("tj", 46.406),
        module_mw=2411 + 401 + 3022,
        module_rails=_ORIN_PARTS,
        rails=(*_ORIN_RAILS, "VDDQ_VDD2_1V8AO"),
    ),
    Line(
        number=12,
        board="AGX Orin 32 GB, JetPack 5",
        text=(
            "11-02-2026 10:11:12 RAM 9020/30592MB (lfb 3120x4MB) SWAP 0/15296MB (cached 0MB) CPU"
            " [8%@1190,7%@1190] EMC_FREQ 3%@2133 GR3D_FREQ 21%@318 GR3D2_FREQ 0%@318 VIC_FREQ 729"
            " NVJPG1 729 APE 174 CV0@44.5C CPU@48.1C SOC2@45C SOC0@45.7C GPU@44.9C tj@48.1C"
            " SOC1@45.2C CV2@44.1C VDD_GPU_SOC 3611mW/3540mW VDD_CPU_CV 811mW/799mW VIN_SYS_5V0"
            " 3410mW/3391mW NC 0mW/0mW VDDQ_VDD2_1V8AO 811mW/799mW NC 0mW/0mW"
        ),
        percent=21,
        clocks_mhz=(318,),
        hottest=("tj", 48.1),
        module_mw=3611 + 811 + 3410,
        module_rails=_ORIN_PARTS,
        rails=(*_ORIN_RAILS, "VDDQ_VDD2_1V8AO"),
    ),
    Line(
        number=13,
        board="AGX Orin, R36",
        text=(
            "11-02-2026 10:11:12 RAM 11020/62841MB (lfb 11x4MB) SWAP 0/31420MB (cached 0MB) CPU"
            " [3%@729,2%@729] EMC_FREQ 1%@3199 GR3D_FREQ 17%@[510,510] NVENC off NVDEC off NVJPG"
            " off NVJPG1 off VIC off OFA off NVDLA0_FREQ @1600 NVDLA1_FREQ @1600 PVA0_FREQ off APE"
            " 174 cpu@45.531C tboard@38.25C soc2@43.1C tdiode@39.5C soc0@43.6C tj@45.531C"
            " soc1@43.2C VDD_GPU_SOC 3210mW/3195mW VDD_CPU_CV 402mW/401mW VIN_SYS_5V0 3312mW/3309mW"
        ),
        percent=17,
        clocks_mhz=(510, 510),
        hottest=("tj", 45.531),
        module_mw=3210 + 402 + 3312,
        module_rails=_ORIN_PARTS,
        rails=_ORIN_RAILS,
    ),
    Line(
        number=14,
        board="AGX Orin, R36.2, root: columns with spaces",
        text=(
            "11-02-2026 10:11:12 RAM  12110/62841MB (lfb 9x4MB)  SWAP 0/31420MB (cached 0MB)  CPU "
            "[9%@1190,8%@1190]  EMC_FREQ  2%@3199  GR3D_FREQ  44%@[714,714]  NVENC off  NVDEC off "
            " NVDLA0_FREQ @1600  PVA0_FREQ off  APE 174  cpu@49.2C  tj@49.9C  soc0@46.5C "
            " VDD_GPU_SOC  6011mW/5907mW  VDD_CPU_CV  1201mW/1190mW  VIN_SYS_5V0  4410mW/4399mW"
        ),
        percent=44,
        clocks_mhz=(714, 714),
        hottest=("tj", 49.9),
        module_mw=6011 + 1201 + 4410,
        module_rails=_ORIN_PARTS,
        rails=_ORIN_RAILS,
    ),
    Line(
        number=15,
        board="AGX Orin, R36, a user",
        text=(
            "11-02-2026 10:11:12 RAM 9911/62841MB (lfb 10x4MB) SWAP 0/31420MB (cached 0MB) CPU"
            " [1%@729,1%@729] GR3D_FREQ 3% cpu@43.1C tj@43.9C soc0@41C VDD_GPU_SOC 2805mW/2801mW"
            " VDD_CPU_CV 400mW/400mW VIN_SYS_5V0 3201mW/3199mW DEVFREQ 408000000"
        ),
        percent=3,
        clocks_mhz=(408,),
        hottest=("tj", 43.9),
        module_mw=2805 + 400 + 3201,
        module_rails=_ORIN_PARTS,
        rails=_ORIN_RAILS,
    ),
    Line(
        number=16,
        board="Orin NX 16 GB, JetPack 5",
        text=(
            "11-02-2026 10:11:12 RAM 4410/15389MB (lfb 1603x4MB) SWAP 0/7694MB (cached 0MB) CPU"
            " [7%@1497,5%@1497] EMC_FREQ 1%@3199 GR3D_FREQ 23%@714 GR3D2_FREQ 0%@714 VIC_FREQ 115"
            " APE 174 CV0@46.1C CPU@49.3C SOC2@46.9C SOC0@47.5C CV1@46.4C GPU@47.1C tj@49.3C"
            " SOC1@48.2C CV2@46.7C VDD_IN 6120mW/6081mW VDD_CPU_GPU_CV 1203mW/1190mW VDD_SOC"
            " 1709mW/1701mW"
        ),
        percent=23,
        clocks_mhz=(714,),
        hottest=("tj", 49.3),
        module_mw=6120,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=17,
        board="Orin on another maker's carrier: no rails",
        text=(
            "11-02-2026 10:11:12 RAM 2203/7471MB (lfb 911x4MB) SWAP 0/3735MB (cached 0MB) CPU"
            " [4%@1113,2%@1113] EMC_FREQ 0% GR3D_FREQ 7% GR3D2_FREQ 0%@0 CV0@41.2C CPU@43.7C"
            " SOC2@42.8C SOC0@41.9C GPU@42.1C tj@43.7C SOC1@42.6C DEVFREQ 306000000"
        ),
        percent=7,
        clocks_mhz=(306,),
        hottest=("tj", 43.7),
        module_mw=None,
        module_rails=None,
        rails=(),
    ),
    Line(
        number=18,
        board="Orin Nano, JetPack 5",
        text=(
            "11-02-2026 10:11:12 RAM 2710/6480MB (lfb 60x4MB) SWAP 0/3240MB (cached 0MB) CPU"
            " [11%@1190,9%@1190,off,off,7%@883,off] EMC_FREQ 2%@2133 GR3D_FREQ 19%@408 GR3D2_FREQ"
            " 0%@0 APE 174 CV0@44.9C CPU@46.9C SOC2@46.2C SOC0@45.5C GPU@45.7C tj@46.9C VDD_IN"
            " 4391mW/4377mW VDD_CPU_GPU_CV 702mW/699mW VDD_SOC 1310mW/1307mW"
        ),
        percent=19,
        clocks_mhz=(408,),
        hottest=("tj", 46.9),
        module_mw=4391,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=19,
        board="Orin Nano Super, JetPack 6, root, idle",
        text=(
            "11-02-2026 10:11:12 RAM 2011/7620MB (lfb 3x4MB) SWAP 0/3810MB (cached 0MB) CPU"
            " [1%@729,0%@729,0%@729,0%@729,0%@729,0%@729] EMC_FREQ 0%@2133 GR3D_FREQ 0%@[306]"
            " NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 cpu@47.218C soc2@46.1C"
            " soc0@46.5C gpu@47.1C tj@47.218C soc1@46C VDD_IN 4511mW/4507mW VDD_CPU_GPU_CV"
            " 501mW/499mW VDD_SOC 1411mW/1409mW"
        ),
        percent=0,
        clocks_mhz=(306,),
        hottest=("tj", 47.218),
        module_mw=4511,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=20,
        board="Orin Nano Super, JetPack 6, root, busy",
        text=(
            "11-02-2026 10:11:13 RAM 3611/7620MB (lfb 2x4MB) SWAP 0/3810MB (cached 0MB) CPU"
            " [31%@1728,22%@1728,18%@1728,9%@1728,7%@1728,5%@1728] EMC_FREQ 41%@3199 GR3D_FREQ"
            " 98%@[917] NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 cpu@61.4C soc2@59.2C"
            " soc0@59.9C gpu@62.3C tj@62.3C soc1@58.8C VDD_IN 15122mW/14870mW VDD_CPU_GPU_CV"
            " 7011mW/6877mW VDD_SOC 3021mW/3004mW"
        ),
        percent=98,
        clocks_mhz=(917,),
        hottest=("tj", 62.3),
        module_mw=15122,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=21,
        board="Orin Nano, JetPack 6, a user, busy",
        text=(
            "11-02-2026 10:11:13 RAM 3522/7620MB (lfb 2x4MB) SWAP 0/3810MB (cached 0MB) CPU"
            " [29%@1510,20%@1510,17%@1510,9%@729,6%@729,4%@729] GR3D_FREQ 97% cpu@54.1C soc2@52.7C"
            " soc0@53C gpu@55.4C tj@55.4C soc1@52.2C VDD_IN 7422mW/7390mW VDD_CPU_GPU_CV"
            " 2511mW/2490mW VDD_SOC 1903mW/1898mW DEVFREQ 624750000"
        ),
        percent=97,
        clocks_mhz=(624,),
        hottest=("tj", 55.4),
        module_mw=7422,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=22,
        board="Orin Nano, R39.2: three values for a rail, two for a sensor",
        text=(
            "11-02-2026 10:11:13 RAM 2411/7607MB (lfb 5x4MB) SWAP 0/3803MB (cached 0MB) CPU"
            " [2%@1113,1%@1113] EMC_FREQ 1%@2133 GR3D_FREQ 12%@[408] NVDEC0 off NVJPG0 off VIC off"
            " OFA off APE 200 cpu@48.5C/49.1C soc2@47.2C/47.3C soc0@47.6C/47.8C gpu@48.1C/48.2C"
            " tj@48.5C/49.1C VDD_IN 4811mW/4790mW/5012mW VDD_CPU_GPU_CV 611mW/604mW/799mW VDD_SOC"
            " 1502mW/1499mW/1511mW"
        ),
        percent=12,
        clocks_mhz=(408,),
        hottest=("tj", 48.5),
        module_mw=4811,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=23,
        board="AGX Orin, JetPack 7.2",
        text=(
            "11-02-2026 10:11:13 RAM 15011/62801MB (lfb 8x4MB) SWAP 0/31400MB (cached 0MB) CPU"
            " [5%@729,3%@729] EMC_FREQ 2%@3199 GR3D_FREQ 14%@[1198,1198] NVENC0 off NVDEC0 off"
            " NVDLA0 off cpu@46.5C/46.9C gpu@45.125C/45.3C tj@46.5C/46.9C VDD_GPU_SOC"
            " 5011mW/4990mW/6020mW VDD_CPU_CV 811mW/804mW/1203mW VIN_SYS_5V0 5312mW/5299mW/5601mW"
        ),
        percent=14,
        clocks_mhz=(1198, 1198),
        hottest=("tj", 46.5),
        module_mw=5011 + 811 + 5312,
        module_rails=_ORIN_PARTS,
        rails=_ORIN_RAILS,
    ),
    Line(
        number=24,
        board="Thor, R38.4, idle: the GPU sleeps",
        text=(
            "11-02-2026 10:11:13 RAM 6011/125771MB (lfb 61x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [0%@972,0%@972] EMC_FREQ 0%@665 GR3D_FREQ @[0,0,0] NVENC0 off NVDEC0 off cpu@41.218C"
            " tj@42.1C soc012@41.9C soc345@41.4C VDD_GPU 0mW/0mW VDD_CPU_SOC_MSS 6710mW/6698mW"
            " VIN_SYS_5V0 6301mW/6290mW"
        ),
        percent=None,
        clocks_mhz=(),
        hottest=("tj", 42.1),
        module_mw=6710 + 6301,
        module_rails=_THOR_PARTS,
        rails=_THOR_RAILS,
    ),
    Line(
        number=25,
        board="Thor, JetPack 7.0: an idle rail below zero",
        text=(
            "11-02-2026 10:11:13 RAM 7022/125771MB (lfb 60x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [1%@1404,0%@972] EMC_FREQ 1%@665 GR3D_FREQ @[405,405,405] cpu@44.5C tj@45.3C"
            " gpu@43.9C VDD_GPU -120mW/80mW VDD_CPU_SOC_MSS 7011mW/7001mW VIN_SYS_5V0 6502mW/6499mW"
            " VIN 26011mW/25987mW"
        ),
        percent=None,
        clocks_mhz=(405, 405, 405),
        hottest=("tj", 45.3),
        module_mw=7011 + 6502 - 120,
        module_rails=_THOR_PARTS,
        rails=(*_THOR_RAILS, "VIN"),
    ),
    Line(
        number=26,
        board="Thor, JetPack 7.1, busy",
        text=(
            "11-02-2026 10:11:13 RAM 21022/125771MB (lfb 40x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [12%@2601,8%@2601] EMC_FREQ 33%@4266 GR3D_FREQ 97%@[1206,1206,1206] cpu@55.5C"
            " tj@58.4C gpu@58.4C VDD_GPU 24011mW/23690mW VDD_CPU_SOC_MSS 21004mW/20877mW"
            " VIN_SYS_5V0 11022mW/10998mW VIN 83011mW/82544mW"
        ),
        percent=97,
        clocks_mhz=(1206, 1206, 1206),
        hottest=("tj", 58.4),
        module_mw=24011 + 21004 + 11022,
        module_rails=_THOR_PARTS,
        rails=(*_THOR_RAILS, "VIN"),
    ),
    Line(
        number=27,
        board="Thor, R39, loaded: VIN is the developer kit's input",
        text=(
            "11-02-2026 10:11:13 RAM 41022/125771MB (lfb 20x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [22%@2601,18%@2601] EMC_FREQ 61%@4266 GR3D_FREQ 89%@[1485,1485,1485] cpu@67.5C/68C"
            " tj@71.9C/72C gpu@71.9C/72C VDD_GPU 40122mW/39800mW/44010mW VDD_CPU_SOC_MSS"
            " 31021mW/30990mW/33011mW VIN_SYS_5V0 16011mW/15988mW/16402mW VIN"
            " 121033mW/120870mW/131004mW"
        ),
        percent=89,
        clocks_mhz=(1485, 1485, 1485),
        hottest=("tj", 71.9),
        module_mw=40122 + 31021 + 16011,
        module_rails=_THOR_PARTS,
        rails=(*_THOR_RAILS, "VIN"),
    ),
    Line(
        number=28,
        board="Thor, R39, idle: one clock behind all cores",
        text=(
            "11-02-2026 10:11:13 RAM 9022/125771MB (lfb 50x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [0%,4%,off]@2601 EMC_FREQ @4266 GR3D_FREQ 0%@[315,315,315] cpu@43.9C/44C tj@44.8C/45C"
            " gpu@44.1C/44.2C VDD_GPU 3011mW/3004mW/3100mW VDD_CPU_SOC_MSS 8120mW/8111mW/8300mW"
            " VIN_SYS_5V0 6811mW/6804mW/6900mW VIN 29014mW/28990mW/30011mW"
        ),
        percent=0,
        clocks_mhz=(315, 315, 315),
        hottest=("tj", 44.8),
        module_mw=3011 + 8120 + 6811,
        module_rails=_THOR_PARTS,
        rails=(*_THOR_RAILS, "VIN"),
    ),
    Line(
        number=29,
        board="Thor, R39.2: no VIN",
        text=(
            "11-02-2026 10:11:13 RAM 8022/125771MB (lfb 50x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [2%,3%]@2601 EMC_FREQ 2%@4266 GR3D_FREQ 31%@[603,603,603] cpu@46.2C/46.3C"
            " tj@47.5C/47.7C gpu@47.5C/47.7C VDD_GPU 7011mW/6998mW/7210mW VDD_CPU_SOC_MSS"
            " 9120mW/9111mW/9300mW VIN_SYS_5V0 7004mW/7001mW/7100mW"
        ),
        percent=31,
        clocks_mhz=(603, 603, 603),
        hottest=("tj", 47.5),
        module_mw=7011 + 9120 + 7004,
        module_rails=_THOR_PARTS,
        rails=_THOR_RAILS,
    ),
    Line(
        number=32,
        board="Thor, a cluster that is off",
        text=(
            "11-02-2026 10:11:13 RAM 8022/125771MB (lfb 50x4MB) SWAP 0/0MB (cached 0MB) CPU"
            " [2%@972,off] EMC_FREQ 1%@665 GR3D_FREQ @[405,off,603] cpu@42.2C tj@42.9C VDD_GPU"
            " 1011mW/998mW VDD_CPU_SOC_MSS 7120mW/7111mW VIN_SYS_5V0 6404mW/6401mW"
        ),
        percent=None,
        clocks_mhz=(405, 603),
        hottest=("tj", 42.9),
        module_mw=1011 + 7120 + 6404,
        module_rails=_THOR_PARTS,
        rails=_THOR_RAILS,
    ),
)
# What tegrastats prints instead of a reading (31).
NO_READING = "Error: NVML shared library not found\n"
