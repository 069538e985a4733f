"""Lines of tegrastats as TX, Nano and Xavier boards print them, and what they tell.

Written by hand after the programs' formats; every number is made up. Lines of a user without root
tell no clock of the GPU on most boards: `DEVFREQ` behind them is what board_watch and build.sh add.
"""

from __future__ import annotations

from tests.helpers.board_line import Line

_XAVIER_PARTS = "GPU + CPU + SOC + CV + VDDRQ + SYS5V"
_XAVIER_RAILS = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
_IN = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")

LINES = (
    Line(
        number=1,
        board="TX1, JetPack 3",
        text=(
            "RAM 907/3994MB (lfb 411x4MB) SWAP 0/0MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU"
            " [7%@1122,3%@1122,0%@1122,1%@1122] EMC_FREQ 2%@1600 GR3D_FREQ 5%@153 APE 25 PLL@30.5C"
            " CPU@32C PMIC@100C GPU@31C AO@35.5C Tdiode@31.25C VDD_IN 2810/2745 VDD_CPU 301/288"
            " VDD_GPU 77/70"
        ),
        percent=5,
        clocks_mhz=(153,),
        hottest=("AO", 35.5),
        module_mw=2810,
        module_rails="VDD_IN",
        rails=("VDD_IN", "VDD_CPU", "VDD_GPU"),
    ),
    Line(
        number=2,
        board="TX2, JetPack 4",
        text=(
            "RAM 1402/7860MB (lfb 1322x4MB) SWAP 0/3930MB (cached 0MB) CPU"
            " [4%@345,off,off,2%@345,0%@345,1%@345] EMC_FREQ 4%@665 GR3D_FREQ 11%@140 APE 150"
            " PLL@38C MCPU@38C PMIC@100C Tboard@34C GPU@36.5C BCPU@38.5C thermal@37.6C"
            " Tdiode@36.25C VDD_SYS_GPU 155/151 VDD_SYS_SOC 620/618 VDD_4V0_WIFI 0/12 VDD_IN"
            " 3390/3412 VDD_SYS_CPU 233/240 VDD_SYS_DDR 671/670"
        ),
        percent=11,
        clocks_mhz=(140,),
        hottest=("BCPU", 38.5),
        module_mw=3390,
        module_rails="VDD_IN",
        rails=(
            "VDD_SYS_GPU",
            "VDD_SYS_SOC",
            "VDD_4V0_WIFI",
            "VDD_IN",
            "VDD_SYS_CPU",
            "VDD_SYS_DDR",
        ),
    ),
    Line(
        number=3,
        board="Nano, JetPack 4",
        text=(
            "RAM 733/3962MB (lfb 601x4MB) SWAP 0/1981MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU"
            " [9%@204,4%@204,1%@204,0%@204] EMC_FREQ 1%@1600 GR3D_FREQ 2%@76 APE 25 PLL@27.5C"
            " CPU@30C PMIC@100C GPU@28C AO@36.5C thermal@29.25C POM_5V_IN 1310/1295 POM_5V_GPU"
            " 40/38 POM_5V_CPU 161/158"
        ),
        percent=2,
        clocks_mhz=(76,),
        hottest=("AO", 36.5),
        module_mw=1310,
        module_rails="POM_5V_IN",
        rails=("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"),
    ),
    Line(
        number=4,
        board="Nano, JetPack 4.6.1: the placeholder is 50 C",
        text=(
            "RAM 1811/3956MB (lfb 25x4MB) SWAP 12/1978MB (cached 1MB) IRAM 0/252kB(lfb 252kB) CPU"
            " [22%@1479,18%@1479,20%@1479,17%@1479] EMC_FREQ 12%@1600 GR3D_FREQ 61%@614 APE 25"
            " PLL@37C CPU@39.5C PMIC@50C GPU@38C AO@44.5C thermal@38.75C POM_5V_IN 4420/4391"
            " POM_5V_GPU 980/961 POM_5V_CPU 1020/1003"
        ),
        percent=61,
        clocks_mhz=(614,),
        hottest=("AO", 44.5),
        module_mw=4420,
        module_rails="POM_5V_IN",
        rails=("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"),
    ),
    Line(
        number=5,
        board="Nano, a user",
        text=(
            "RAM 651/3962MB (lfb 610x4MB) IRAM 0/252kB(lfb 252kB) CPU [5%@921,2%@921,0%@921,0%@921]"
            " EMC_FREQ 0% GR3D_FREQ 0% PLL@26C CPU@29.5C PMIC@100C GPU@27.5C AO@34C thermal@28.5C"
            " DEVFREQ 76800000"
        ),
        percent=0,
        clocks_mhz=(76,),
        hottest=("AO", 34.0),
        module_mw=None,
        module_rails=None,
        rails=(),
    ),
    Line(
        number=6,
        board="AGX Xavier, JetPack 4",
        text=(
            "RAM 2260/15692MB (lfb 3011x4MB) SWAP 0/7846MB (cached 0MB) CPU"
            " [3%@1190,1%@1190,0%@1190,0%@1190,off,off,off,off] EMC_FREQ 1%@1331 GR3D_FREQ 0%@318"
            " APE 150 MTS fg 0% bg 1% AO@35C GPU@36.5C Tdiode@39.25C PMIC@100C AUX@34.5C CPU@36C"
            " thermal@35.65C Tboard@34C GPU 0/12 CPU 402/398 SOC 1201/1187 CV 0/0 VDDRQ 201/199"
            " SYS5V 1620/1611"
        ),
        percent=0,
        clocks_mhz=(318,),
        hottest=("Tdiode", 39.25),
        module_mw=402 + 1201 + 201 + 1620,
        module_rails=_XAVIER_PARTS,
        rails=_XAVIER_RAILS,
    ),
    Line(
        number=7,
        board="AGX Xavier, JetPack 5",
        text=(
            "11-02-2026 10:11:12 RAM 3100/30990MB (lfb 5011x4MB) SWAP 0/15495MB (cached 0MB) CPU"
            " [2%@1190,1%@1190] EMC_FREQ 2%@1331 GR3D_FREQ 33%@[675] APE 150 AUX@41C CPU@43.5C"
            " Tboard@40C AO@42C GPU@44.5C Tdiode@46.25C PMIC@50C GPU 520mW/498mW CPU 611mW/602mW"
            " SOC 1320mW/1311mW CV 0mW/0mW VDDRQ 410mW/402mW SYS5V 2910mW/2893mW"
        ),
        percent=33,
        clocks_mhz=(675,),
        hottest=("Tdiode", 46.25),
        module_mw=520 + 611 + 1320 + 410 + 2910,
        module_rails=_XAVIER_PARTS,
        rails=_XAVIER_RAILS,
    ),
    Line(
        number=8,
        board="AGX Xavier, a user",
        text=(
            "RAM 2950/31920MB (lfb 4711x4MB) SWAP 0/15960MB (cached 0MB) CPU [12%@1190,9%@1190]"
            " EMC_FREQ 0% GR3D_FREQ 41% AO@33.5C GPU@35C Tdiode@37.5C PMIC@100C AUX@33C CPU@34.5C"
            " thermal@34.1C Tboard@32C DEVFREQ 905250000"
        ),
        percent=41,
        clocks_mhz=(905,),
        hottest=("Tdiode", 37.5),
        module_mw=None,
        module_rails=None,
        rails=(),
    ),
    Line(
        number=9,
        board="Xavier NX, JetPack 4",
        text=(
            "RAM 1990/7764MB (lfb 905x4MB) SWAP 0/3882MB (cached 0MB) CPU"
            " [15%@1420,11%@1420,9%@1420,8%@1420,off,off] EMC_FREQ 5%@1600 GR3D_FREQ 58%@510 APE"
            " 150 MTS fg 0% bg 0% AO@41.5C GPU@43C PMIC@100C AUX@41C CPU@44.5C thermal@42.7C VDD_IN"
            " 4290/4255 VDD_CPU_GPU_CV 911/899 VDD_SOC 1110/1102"
        ),
        percent=58,
        clocks_mhz=(510,),
        hottest=("CPU", 44.5),
        module_mw=4290,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=10,
        board="Xavier NX, JetPack 5.1.2",
        text=(
            "11-02-2026 10:11:12 RAM 1530/6857MB (lfb 77x4MB) SWAP 0/3428MB (cached 0MB) CPU"
            " [1%@1190,0%@1190,0%@1190,0%@1190,off,off] EMC_FREQ 0%@1600 GR3D_FREQ 0%@[204] APE 150"
            " MTS fg 0% bg 0% AO@45C GPU@45.5C PMIC@50C AUX@45C CPU@47.5C thermal@46.1C VDD_IN"
            " 2911mW/2902mW VDD_CPU_GPU_CV 402mW/399mW VDD_SOC 990mW/987mW"
        ),
        percent=0,
        clocks_mhz=(204,),
        hottest=("CPU", 47.5),
        module_mw=2911,
        module_rails="VDD_IN",
        rails=_IN,
    ),
    Line(
        number=30,
        board="TX2, JetPack 4.6",
        text=(
            "RAM 3102/7850MB (lfb 830x4MB) SWAP 0/3925MB (cached 0MB) CPU"
            " [19%@2035,off,off,14%@2035,12%@2035,11%@2035] EMC_FREQ 9%@1866 GR3D_FREQ 71%@1122 APE"
            " 150 PLL@44.5C MCPU@44.5C PMIC@50C Tboard@38C GPU@43C BCPU@44.5C thermal@43.9C"
            " Tdiode@45.75C VDD_IN 6022/5987 VDD_CPU 1102/1087 VDD_GPU 1811/1790 VDD_SOC 911/902"
            " VDD_WIFI 0/10 VDD_DDR 1402/1391"
        ),
        percent=71,
        clocks_mhz=(1122,),
        hottest=("Tdiode", 45.75),
        module_mw=6022,
        module_rails="VDD_IN",
        rails=("VDD_IN", "VDD_CPU", "VDD_GPU", "VDD_SOC", "VDD_WIFI", "VDD_DDR"),
    ),
)
