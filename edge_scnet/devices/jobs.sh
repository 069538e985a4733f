# Tells of the jobs that are on a device, as lines of name=value: job=, then about= of the same one.
# $1 work folder or nothing, $2 the id of one to remove first, which does not run, or nothing.
case $1 in
'') workdir=${XDG_CACHE_HOME:-$HOME/.cache}/edge-scnet ;;
'~/'*) workdir=$HOME/${1#??} ;;
*) workdir=$1 ;;
esac
cd "$workdir/jobs" 2>/dev/null || exit 0
echo "workdir=$(cd .. && pwd -P)"
runs() {
    kill -0 "$(cat "$1/pid")" 2>/dev/null &&
        [ "$(cat "$1/boot")" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ]
}
if [ -n "$2" ] && [ -d "./$2" ]; then
    [ -s "$2/exit" ] || ! runs "$2" || exit 3
    rm -rf "./$2" || exit 9
    echo "removed=$2"
fi
for job in *; do
    [ -e "$job/pid" ] && [ ! -e "$job/fetched" ] || continue
    state=lost code='-'
    if [ -s "$job/exit" ]; then
        state=ended code=$(cat "$job/exit")
    elif runs "$job"; then
        state=running
        case $(cat "$job/state" 2>/dev/null) in waiting*) state=waiting ;; esac
    fi
    used=$(du -sk "$job" 2>/dev/null)
    echo "job=$job $state $code $(date -u -r "$job/pid" +%Y-%m-%dT%H:%M:%SZ) ${used%%[!0-9]*}"
    [ ! -e "$job/about" ] || echo "about=$(cat "$job/about")"
done
exit 0
