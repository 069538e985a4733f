#!/bin/sh
# Builds and times both plans on the board, with trtexec alone: sh build.sh
# It checks the files, TensorRT's version and the free memory first, and leaves nothing half-made.
# It wants no root. TRTEXEC=PATH names the program, TRT_VERSION=10.3.0 the version it does not tell.
# Two builds of one file differ by some percent: sh build.sh --builds 3 (or BUILDS=3) keeps the fastest.
set -eu
model=@MODEL@
target=@TARGET@
oldest=@OLDEST@
below=@BELOW@
workspace_mib=@WORKSPACE@
strongly_typed=@STRONGLY_TYPED@
precision=@PRECISION@

fail() { # message, hint, exit code
    printf 'error: %s\n' "$1" >&2
    [ -z "$2" ] || printf '\nhint: %s\n' "$2" >&2
    exit "$3"
}

builds=${BUILDS:-1}
while [ $# -gt 0 ]; do
    case $1 in
    --builds)
        builds=${2-}
        shift
        ;;
    --builds=*) builds=${1#*=} ;;
    *) fail "there is no option $1" 'sh build.sh, or sh build.sh --builds 3' 2 ;;
    esac
    [ $# -eq 0 ] || shift
done
case $builds in
[1-9] | [1-9][0-9] | 100) ;;
*) fail "--builds is '$builds'; a whole number from 1 to 100 is needed" 'sh build.sh --builds 3' 2 ;;
esac

# a bare name is looked for on PATH, a relative one from where the script was called
trtexec=$(command -v "${TRTEXEC:-trtexec}" || :)
case $trtexec in
/*) ;;
'') trtexec=${TRTEXEC:-/usr/src/tensorrt/bin/trtexec} ;;
*) trtexec=$PWD/$trtexec ;;
esac
case $0 in */*) CDPATH='' cd -- "${0%/*}/" ;; esac
{ [ -f "$trtexec" ] && [ -x "$trtexec" ]; } ||
    fail "no trtexec at $trtexec" 'sudo apt install libnvinfer-bin, or name it: TRTEXEC=PATH sh build.sh' 5
[ -w . ] || fail "$PWD cannot be written" 'unpack the bundle into a folder of your own: tar xzf bundle.tar.gz' 9
if ! checked=$(sha256sum -c SHA256SUMS 2>&1); then
    damaged=$(printf '%s\n' "$checked" | grep -m 1 FAILED || printf '%s\n' "$checked" | tail -n 1)
    fail "a file is not what was packed: $damaged" 'copy the bundle again' 6
fi

version=${TRT_VERSION:-}
if [ -z "$version" ]; then
    # "v8502" is 8.5.2, "v100300" is 10.3.0: as one number, hundreds of a version's parts; some
    # builds write "v11.1.0.106"
    number=$("$trtexec" --help 2>&1 | sed -n 's/.*\[TensorRT v\([0-9][0-9.]*\)\].*/\1/p' | head -n 1)
    digits=${number%%[!0-9]*}
    if [ "$number" != "$digits" ]; then
        version=$(echo "$number" | cut -d . -f 1-3)
    elif [ -z "$number" ]; then
        version=$(dpkg-query -W -f='${Version}\n' libnvinfer-bin 2>/dev/null | sed 's/[^0-9.].*//') || :
    elif [ "$number" -ge 100000 ]; then
        version="$((number / 10000)).$((number / 100 % 100)).$((number % 100))"
    else
        version="$((number / 1000)).$((number / 100 % 10)).$((number % 100))"
    fi
fi
case $version in
'') fail "$trtexec does not tell its version" 'dpkg -l | grep libnvinfer tells it; then: TRT_VERSION=10.3.0 sh build.sh' 5 ;;
*[!0-9.]* | .* | *. | *..*) fail "TRT_VERSION=$version is no version" 'as in TRT_VERSION=10.3.0 sh build.sh' 5 ;;
esac
as_number() { echo "$1" | awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }'; }
is=$(as_number "$version")
if [ "$is" -lt "$(as_number "$oldest")" ] || [ "$is" -ge "$(as_number "$below")" ]; then
    fail "TensorRT $version is on this board; target $target is for $oldest up to, but not with, $below" \
        'build for another target on the workstation: edge-scnet targets' 3
fi

free_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
needed_mib=$((workspace_mib + 512))
[ "${free_mib:-$needed_mib}" -ge "$needed_mib" ] ||
    fail "$free_mib MiB of memory are free, the build may take $needed_mib" 'close programs, add swap, or lower board.workspace_mib' 9

run() { # log, arguments of trtexec
    log=$1
    shift
    if ! "$trtexec" "$@" >"$log" 2>&1; then
        first=$(grep -m 1 -E '\[E\]|Error' "$log" || tail -n 1 "$log")
        # the parser names a node; why it refuses it stands further down, on lines without a tag
        case $first in
        *'While parsing node'*)
            first="$first$(awk '/In function [A-Za-z0-9_]*:/ { n = 3; next }
                n > 0 { if (/^\[[0-9][0-9]\// || /^&&&& /) exit; printf " %s", $0; n-- }' "$log")"
            ;;
        esac
        fail "trtexec: $first" "the whole log: $PWD/$log" 8
    fi
}

watch='' reader=''
stop_watch() { # and what is half-made goes
    if [ -n "$watch" ]; then
        kill "$watch" 2>/dev/null || :
        wait "$watch" 2>/dev/null || :
        [ -z "$reader" ] || wait "$reader" 2>/dev/null || :
        watch='' reader=''
    fi
    rm -f tegrastats.fifo ./*.plan.*.part ./*.builds.part
}
trap stop_watch EXIT
# a lost connection too (HUP, PIPE): tegrastats would fill the disk for ever
trap 'exit 130' HUP INT PIPE TERM

# options by version, as samples/common/sampleOptions.cpp of each has them
if [ "$is" -lt 80600 ]; then only=--buildOnly; else only=--skipInference; fi
if [ "$is" -lt 80400 ]; then workspace=--workspace=; else workspace=--memPoolSize=workspace:; fi
if [ "$strongly_typed" = 0 ]; then
    int8='--int8 --fp16' fp16=--fp16
elif [ "$is" -lt 110000 ]; then
    int8=--stronglyTyped fp16=--stronglyTyped
else
    int8='' fp16=''
fi

# every timing option is given: 11 changed the defaults to what the older ones are told here
if [ "$is" -lt 110000 ]; then
    graph='--useCudaGraph ' no_graph='' timing='--useSpinWait --noDataTransfers '
else
    graph='' no_graph='--noCudaGraph ' timing=''
fi
if [ "$is" -lt 80500 ]; then percentile=90; else percentile=90,99; fi
timing="$timing--warmUp=500 --duration=2 --iterations=100 --avgRuns=1 --percentile=$percentile"

builds_of() { # stem: the numbers of its builds that are there
    number=1
    while [ "$number" -le "$builds" ]; do
        [ ! -f "$1.plan.$number.part" ] || echo "$number"
        number=$((number + 1))
    done
}
time_builds() { # stem, numbers of its builds: a line each, number and median of the GPU's time in ms
    stem=$1
    shift
    for number; do
        # shellcheck disable=SC2086
        run "$stem.builds.log" --loadEngine="$stem.plan.$number.part" $graph$timing
        median=$(sed -n 's/.*GPU Compute Time:.* median = \([0-9.]*\) ms.*/\1/p' "$stem.builds.log")
        [ -n "$median" ] || fail "trtexec tells no median of build $number of $stem.plan" \
            "the whole log: $PWD/$stem.builds.log" 8
        echo "$number $median"
    done
    rm -f "$stem.builds.log"
}
keep_fastest() { # stem
    there=$(builds_of "$1")
    # in turn, up and down and up: the middle one of a build's three medians counts
    # shellcheck disable=SC2046,SC2086
    {
        time_builds "$1" $there
        time_builds "$1" $(echo "$there" | sort -rn)
        time_builds "$1" $there
    } >"$1.builds.part"
    LC_ALL=C sort -k 1,1n -k 2,2n "$1.builds.part" | awk '++seen[$1] == 2' >"$1.builds.txt"
    rm -f "$1.builds.part"
    by_time=$(LC_ALL=C sort -k 2,2n -k 1,1n "$1.builds.txt")
    kept=$(echo "$by_time" | awk 'NR == 1 { print $1 }')
    echo "$by_time" | awk -v plan="$1.plan" -v builds="$builds" \
        'NR == 1 { kept = $1; fastest = $2 } END { printf "build %d of %d of %s is kept: %s ms, the slowest %s ms\n",
            kept, builds, plan, fastest, $2 }'
    mv "$1.plan.$kept.part" "$1.plan"
    rm -f "$1".plan.*.part
}
build() { # stem, file, precision flags
    rm -f "$1.builds.txt"
    cache=--timingCacheFile=timing-$version.cache
    of='' log=$1.build.log number=1
    while [ "$number" -le "$builds" ]; do
        [ "$builds" -eq 1 ] || of=" $number of $builds of"
        echo "build$of $1.plan (minutes on a board)"
        part=$1.plan.$number.part
        # shellcheck disable=SC2086
        if ! (run "$log" --onnx="$2" --saveEngine="$part" $3 $only --profilingVerbosity=detailed \
            "$workspace$workspace_mib" $cache); then
            rm -f "$part"
            [ "$number" -gt 1 ] || exit 8
            echo "build $number of $builds of $1.plan is not kept" >&2
        fi
        # with the cache all would be the same
        cache=''
        number=$((number + 1))
        log=$1.build.$number.log
    done
    if [ "$builds" -eq 1 ]; then mv "$1.plan.1.part" "$1.plan"; else keep_fastest "$1"; fi
}
# which plan is judged, and what it is held against; FP32 is built of the same file as FP16
if [ "$precision" = int8 ]; then
    judged=engine judged_form=engine.onnx reference=engine-fp16
    build engine-fp16 engine-fp16.onnx "$fp16"
    build engine engine.onnx "$int8"
else
    judged=engine-fp16 judged_form=engine-fp16.onnx reference=engine-fp32
    build engine-fp32 engine-fp16.onnx ''
    build engine-fp16 engine-fp16.onnx "$fp16"
fi

# what the board tells of itself goes along, where it tells: nothing below needs it
nvpmodel -q >nvpmodel.txt 2>/dev/null </dev/null || :
jetson_clocks --show >jetson_clocks.txt 2>/dev/null </dev/null || :
# the GPU's own folders; gpu-nvd-0 of Thor is the clock of its video engines
gpus() { # file
    for gpu in /sys/class/devfreq/*.gpu /sys/class/devfreq/*.ga10b /sys/class/devfreq/*.gv11b /sys/class/devfreq/*.gp10b \
        /sys/class/devfreq/*.gm20b /sys/class/devfreq/gpu-gpc-*; do
        [ ! -r "$gpu/$1" ] || printf '%s\n' "$gpu"
    done
}
# jetson_clocks wants root on most releases; sysfs tells the GPU's line to anyone
if ! grep -qi '^ *gpu.*MinFreq=' jetson_clocks.txt; then
    gpus max_freq | while IFS= read -r gpu; do
        echo "GPU MinFreq=$(cat "$gpu/min_freq") MaxFreq=$(cat "$gpu/max_freq")"
    done >>jetson_clocks.txt 2>/dev/null || :
fi
clocks_beside() { # files of clocks; stdin: tegrastats
    while IFS= read -r line; do
        told=''
        for file; do
            if read -r hertz 2>/dev/null <"$file"; then told="${told:+$told,}$hertz"; fi
        done
        printf '%s%s\n' "$line" "${told:+ DEVFREQ $told}"
    done
}
: >tegrastats.log
rm -f tegrastats.fifo
if command -v tegrastats >/dev/null 2>&1; then
    clocks=$(gpus cur_freq | sed 's|$|/cur_freq|')
    # tegrastats tells the GPU's clock to root alone, sysfs to anyone: it is written beside each line
    if [ -n "$clocks" ] && mkfifo tegrastats.fifo 2>/dev/null; then
        # shellcheck disable=SC2086
        clocks_beside $clocks <tegrastats.fifo >tegrastats.log 2>/dev/null &
        reader=$!
        tegrastats --interval 100 >tegrastats.fifo 2>/dev/null </dev/null &
    else
        tegrastats --interval 100 >tegrastats.log 2>/dev/null </dev/null &
    fi
    watch=$!
    sleep 1 # the first reading is the board without the engines
fi

time_one() { # stem, round, its options for a CUDA graph, what its files are called besides
    # shellcheck disable=SC2086
    run "$1.$2$4.log" --loadEngine="$1.plan" $3$timing --exportTimes="$1.$2$4.times.json"
    grep -E 'Throughput:|GPU Compute Time:' "$1.$2$4.log" | sed "s/^.*\[I\]/$1$4:/"
}
# with a CUDA graph and without (plain): the faster of both is reported
with_graph() { time_one "$1" "$2" "$graph" ''; }
plain() { time_one "$1" "$2" "$no_graph" .plain; }
# in turn, so that a board that warms up slows all; six rounds give an interval
for round in 1 2 3 4 5 6; do
    case $round in
    1 | 3 | 5)
        with_graph "$reference" $round && plain "$reference" $round &&
            with_graph "$judged" $round && plain "$judged" $round
        ;;
    *)
        plain "$judged" $round && with_graph "$judged" $round &&
            plain "$reference" $round && with_graph "$reference" $round
        ;;
    esac
done
timing=$graph$timing
stop_watch
for stem in "$judged" "$reference"; do
    run "$stem.layers.log" --loadEngine="$stem.plan" --iterations=50 --dumpProfile --separateProfileRun \
        --profilingVerbosity=detailed --exportProfile="$stem.profile.json" --exportLayerInfo="$stem.layers.json"
done
# a container sees the copy of the model that jetson-containers mounts, and the release
board_name() {
    for file in /proc/device-tree/model /sys/firmware/devicetree/base/model /tmp/nv_jetson_model; do
        if [ -s "$file" ] && [ -r "$file" ]; then
            tr -d '\000-\037\177-\377"\\' <"$file" | cut -c 1-200
            return
        fi
    done
    if [ -r /etc/nv_tegra_release ]; then echo 'Jetson (model unknown)'; else uname -m; fi
}
builds_json() { # stem, name: the medians of its builds in ms, by number; null: it was not kept
    [ ! -f "$1.builds.txt" ] || awk -v name="$2" -v builds="$builds" '{ ms[$1] = $2 } END {
        printf "\"%s_builds_ms\": [", name
        for (i = 1; i <= builds; i++) printf "%s%s", (i > 1 ? ", " : ""), (i in ms ? ms[i] : "null")
        printf "], "
    }' "$1.builds.txt"
}
sha256() { sha256sum "$1" | cut -d ' ' -f 1; }
size() { wc -c <"$1" | tr -d ' '; }
{
    printf '{"schema": 1, "tensorrt": "%s", "board": "%s", "timing": "%s", ' "$version" \
        "$(board_name)" "$timing"
    printf '"engine_sha256": "%s", ' "$(sha256 "$judged_form")"
    other=$judged name=int8
    [ "$precision" = int8 ] || other=$reference name=fp32
    printf '"%s_bytes": %d, "%s_sha256": "%s", ' $name "$(size "$other.plan")" $name "$(sha256 "$other.plan")"
    builds_json "$other" $name
    builds_json engine-fp16 fp16
    printf '"fp16_bytes": %d, "fp16_sha256": "%s"}\n' "$(size engine-fp16.plan)" "$(sha256 engine-fp16.plan)"
} >board.json
tar czf results.tar.gz board.json nvpmodel.txt jetson_clocks.txt ./*.times.json ./*.profile.json ./*.layers.json ./*.log
printf '%s for %s: %s.plan and %s.plan are built\n' "$model" "$target" "$judged" "$reference"
echo "figures: copy results.tar.gz into the build folder on the workstation, then: edge-scnet profile results.tar.gz"
