#!/bin/sh
# Builds and times both plans on the board, with trtexec alone: sh build.sh
# It checks the files, TensorRT's version and the free memory first, and leaves nothing half-made.
set -eu
cd "$(dirname "$0")"
model=@MODEL@
target=@TARGET@
oldest=@OLDEST@
below=@BELOW@
workspace_mib=@WORKSPACE@
strongly_typed=@STRONGLY_TYPED@

fail() { # message, hint, exit code
    printf 'error: %s\n' "$1" >&2
    [ -z "$2" ] || printf '\nhint: %s\n' "$2" >&2
    exit "$3"
}

trtexec=${TRTEXEC:-$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)}
[ -x "$trtexec" ] || fail "no trtexec at $trtexec" 'sudo apt install libnvinfer-bin, or name it: TRTEXEC=PATH sh build.sh' 5
sha256sum -c --quiet SHA256SUMS || fail 'a file is not what was packed' 'copy the bundle again' 6

# "v8502" is 8.5.2, "v100300" is 10.3.0: as one number, hundreds of a version's parts
number=$("$trtexec" --help 2>&1 | sed -n 's/.*\[TensorRT v\([0-9]*\)\].*/\1/p' | head -n 1)
if [ -z "$number" ]; then
    version=$(dpkg-query -W -f='${Version}\n' libnvinfer-bin 2>/dev/null | sed 's/[^0-9.].*//')
    [ -n "$version" ] || fail "$trtexec does not tell its version" 'set TRT_VERSION=10.3.0' 5
elif [ "$number" -ge 100000 ]; then
    version="$((number / 10000)).$((number / 100 % 100)).$((number % 100))"
else
    version="$((number / 1000)).$((number / 100 % 10)).$((number % 100))"
fi
version=${TRT_VERSION:-$version}
as_number() { echo "$1" | awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }'; }
if [ "$(as_number "$version")" -lt "$(as_number "$oldest")" ] || [ "$(as_number "$version")" -ge "$(as_number "$below")" ]; then
    fail "TensorRT $version is on this board; target $target is for $oldest up to, but not with, $below" \
        'build for another target on the workstation: edge-scnet targets' 3
fi
major=${version%%.*}

free_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
needed_mib=$((workspace_mib + 512))
[ "$free_mib" -ge "$needed_mib" ] ||
    fail "$free_mib MiB of memory are free, the build may take $needed_mib" 'close programs, add swap, or lower board.workspace_mib' 9

run() { # log, arguments of trtexec
    log=$1
    shift
    if ! "$trtexec" "$@" >"$log" 2>&1; then
        rm -f engine.plan.part engine-fp16.plan.part
        first=$(grep -m 1 -E '\[E\]|Error' "$log" || tail -n 1 "$log")
        fail "trtexec: $first" "the whole log: $PWD/$log" 8
    fi
}

if [ "$strongly_typed" = 1 ]; then
    if [ "$major" -eq 10 ]; then int8=--stronglyTyped; fp16=--stronglyTyped; else int8=; fp16=; fi
else
    int8='--int8 --fp16'
    fp16=--fp16
fi
# 8.5 has not --skipInference yet
case $version in 8.5*) only=--buildOnly ;; *) only=--skipInference ;; esac

build() { # stem, precision flags
    echo "build $1.plan (minutes on a board)"
    # shellcheck disable=SC2086
    run "$1.build.log" --onnx="$1.onnx" --saveEngine="$1.plan.part" $2 $only --profilingVerbosity=detailed \
        --memPoolSize=workspace:"$workspace_mib" --timingCacheFile=timing-"$version".cache
    mv "$1.plan.part" "$1.plan"
}
build engine-fp16 "$fp16"
build engine "$int8"

# what the board tells of itself goes along, where it tells: nothing below needs it
nvpmodel -q >nvpmodel.txt 2>/dev/null || :
jetson_clocks --show >jetson_clocks.txt 2>/dev/null || :
# jetson_clocks wants root on most releases; sysfs tells the GPU's line to anyone
if ! grep -qi '^ *gpu.*MinFreq=' jetson_clocks.txt; then
    for gpu in /sys/class/devfreq/*.gpu /sys/class/devfreq/*.ga10b /sys/class/devfreq/*.gv11b /sys/class/devfreq/gpu-*; do
        [ -r "$gpu/min_freq" ] && [ -r "$gpu/max_freq" ] || continue
        echo "GPU MinFreq=$(cat "$gpu/min_freq") MaxFreq=$(cat "$gpu/max_freq")" >>jetson_clocks.txt
    done
fi
watch=
stop_watch() {
    if [ -n "$watch" ]; then
        kill "$watch" 2>/dev/null || :
        wait "$watch" 2>/dev/null || :
        watch=
    fi
}
trap stop_watch EXIT
trap 'exit 130' INT TERM
: >tegrastats.log
if command -v tegrastats >/dev/null 2>&1; then
    tegrastats --interval 100 >tegrastats.log 2>/dev/null </dev/null &
    watch=$!
    sleep 1 # the first reading is the board without the engines
fi

# every timing option is given: 11 changed the defaults to what the older ones are told here
if [ "$major" -lt 11 ]; then timing='--useCudaGraph --useSpinWait --noDataTransfers '; else timing=; fi
timing="$timing--warmUp=500 --duration=2 --iterations=100 --avgRuns=1 --percentile=90,99"
time_one() { # stem, round
    # shellcheck disable=SC2086
    run "$1.$2.log" --loadEngine="$1.plan" $timing --exportTimes="$1.$2.times.json"
    grep -E 'Throughput:|GPU Compute Time:' "$1.$2.log" | sed "s/^.*\[I\]/$1:/"
}
# in turn, so that a board that warms up slows both; six rounds give an interval
for round in 1 2 3 4 5 6; do
    case $round in
    1 | 3 | 5) time_one engine-fp16 $round && time_one engine $round ;;
    *) time_one engine $round && time_one engine-fp16 $round ;;
    esac
done
stop_watch
for stem in engine engine-fp16; do
    run "$stem.layers.log" --loadEngine="$stem.plan" --iterations=50 --dumpProfile --separateProfileRun \
        --profilingVerbosity=detailed --exportProfile="$stem.profile.json" --exportLayerInfo="$stem.layers.json"
done
sha256() { sha256sum "$1" | cut -d ' ' -f 1; }
{
    printf '{"tensorrt": "%s", "board": "%s", "timing": "%s", ' "$version" \
        "$(tr -d '\000"\\' </proc/device-tree/model 2>/dev/null || uname -m)" "$timing"
    printf '"engine_sha256": "%s", ' "$(sha256 engine.onnx)"
    printf '"int8_bytes": %d, "int8_sha256": "%s", ' "$(wc -c <engine.plan)" "$(sha256 engine.plan)"
    printf '"fp16_bytes": %d, "fp16_sha256": "%s"}\n' "$(wc -c <engine-fp16.plan)" "$(sha256 engine-fp16.plan)"
} >board.json
tar czf results.tar.gz board.json nvpmodel.txt jetson_clocks.txt ./*.times.json ./*.profile.json ./*.layers.json ./*.log
echo "$model for $target: engine.plan and engine-fp16.plan are built"
echo "figures: copy results.tar.gz into the build folder on the workstation, then: edge-scnet profile results.tar.gz"
