# Tells what has to be known of a device before a job, as lines of name=value.
# $1 work folder or nothing, $2 Python, $3 the job's id, $4 sha256 of a wheel or nothing.
# stdin: the sha256 of each file that the job needs, one a line.
case $1 in
'') workdir=${XDG_CACHE_HOME:-$HOME/.cache}/edge-scnet ;;
'~/'*) workdir=$HOME/${1#??} ;;
*) workdir=$1 ;;
esac
python=$2 run=$3 wheel=$4
umask 077
mkdir -p "$workdir/blobs" "$workdir/jobs" "$workdir/wheels" && cd "$workdir" && : >>lock || exit 9
echo "workdir=$(pwd -P)"
echo "now=$(date +%s)"
echo "free_kib=$(df -Pk . | awk 'END { print $4 }')"
echo "machine=$(uname -m)"
[ ! -r /proc/device-tree/model ] || echo "model=$(tr -d '\000-\037' </proc/device-tree/model)"
for tool in awk date df env find flock grep head ln mkdir mv rm sed setsid sh sha256sum sort tail tar touch tr wc; do
    command -v "$tool" >/dev/null 2>&1 || echo "missing=$tool"
done
setsid -f true 2>/dev/null || echo 'missing=setsid -f'
command -v trtexec >/dev/null 2>&1 && echo 'trtexec=yes'
[ ! -x /usr/src/tensorrt/bin/trtexec ] || echo 'trtexec=yes'
if command -v "$python" >/dev/null 2>&1; then
    [ -z "$wheel" ] || export PYTHONPATH="$PWD/wheels/$wheel"
    "$python" -c '
import os, sys
from importlib.util import find_spec
print("python=%d.%d.%d" % sys.version_info[:3])
found = find_spec("edge_scnet")
if found is not None and found.submodule_search_locations:
    # not the package itself, which takes longer
    about = {}
    with open(os.path.join(list(found.submodule_search_locations)[0], "__about__.py")) as file:
        exec(file.read(), about)
    print("tool=" + about["__version__"])
seen = {}
for path in sys.path:
    for name in os.listdir(path) if os.path.isdir(path) else ():
        stem, _, rest = name.partition("-")
        if stem in ("openvino", "onnxruntime", "tensorrt", "numpy") and rest.endswith("-info"):
            seen.setdefault(stem, rest.rpartition(".")[0])
for name in sorted(seen):
    print("has=" + name + " " + seen[name])
' 2>/dev/null </dev/null
fi
runs() { # the folder of a job
    [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null &&
        [ "$(cat "$1/boot")" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ]
}
job=jobs/$run
if [ -e "$job/fetched" ]; then
    echo state=none
elif [ -s "$job/exit" ]; then
    echo state=ended
elif runs "$job"; then
    echo state=running
else
    echo state=none
fi
while read -r sha; do
    if [ -e "blobs/$sha" ]; then
        touch -c "blobs/$sha"
    else
        size=0
        [ ! -e "blobs/$sha.part" ] || size=$(wc -c <"blobs/$sha.part")
        echo "lacks=$sha $size"
    fi
done
# what nobody used for a month
find blobs -type f -mtime +30 -exec rm -f {} + 2>/dev/null
# of jobs: what was brought back after a day, what nobody came for after two weeks
find jobs -mindepth 1 -maxdepth 1 -mtime +1 2>/dev/null | while read -r old; do
    if [ ! -e "$old/fetched" ]; then
        [ -n "$(find "$old" -maxdepth 0 -mtime +14)" ] || continue
        # the number of one that has ended may be another process's by now
        [ -s "$old/exit" ] || ! runs "$old" || continue
    fi
    rm -rf "./$old"
done
for old in jobs/*; do
    [ "$old" != "$job" ] && [ -s "$old/exit" ] && [ ! -e "$old/fetched" ] || continue
    used=$(du -sk "$old" 2>/dev/null)
    echo "unfetched=${old#jobs/} ${used%%[!0-9]*}"
done
exit 0
