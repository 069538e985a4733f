# Starts a job, detached, or takes up one that is there; prints what it prints until it ends, how it
# ended and what it made; then serves its files, and removes its folder when that is asked for. All
# in one go, since each question costs a link's round trips.
# $1 work folder, $2 the job's id, $3 a mark, $4 bytes of stdout and $5 of stderr that are known,
# $6 bytes of the job's layout, 0: the job is there; then, for a start,
# $7 wait or refuse, $8 who it is of, $9 settle or nothing, ${10} power mode or nothing.
# stdin: the layout, a tar whose hard links are to what is in blobs/; then requests, one a line.
# stdout: running, waiting or busy and who has the device; what the job printed; the mark; exit= and
# sum= lines; the mark; an answer to each request. stderr: what went wrong; the mark; what the job told;
# the mark.
umask 077
cd "$1" || exit 9
run=$2 mark=$3 out=$4 err=$5 size=$6
job=jobs/$run
is_there() { # it runs, or has ended and is still to be fetched
    [ ! -e "$job/fetched" ] && {
        [ -s "$job/exit" ] || {
            [ -s "$job/pid" ] && kill -0 "$(cat "$job/pid")" 2>/dev/null &&
                [ "$(cat "$job/boot")" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ]
        }
    }
}
start() {
    exec 8>>start.lock
    flock 8
    if is_there; then
        # another client's
        head -c "$size" >/dev/null
        echo running
        exec 8>&-
        return
    fi
    rm -rf "$job" "$job.new"
    # not all of stdin: requests follow
    mkdir "$job.new" && head -c "$size" | tar -xf - && (cd "$job.new" && . ./unpack) || {
        rm -rf "$job.new"
        exit 9
    }
    mv "$job.new" "$job"
    cd "$job" || exit 9
    setsid -f sh ./job.sh "$1" "$2" "$3" "$4" </dev/null >/dev/null 2>&1 8>&-
    tries=0
    while [ ! -s state ] && [ "$tries" -lt 500 ]; do
        sleep 0.02 2>/dev/null || sleep 1
        tries=$((tries + 1))
    done
    cat state
    case $(cat state) in
    running* | waiting*) cd ../.. ;;
    busy*)
        # who is refused leaves nothing
        cd .. && rm -rf "./$run"
        exit 0
        ;;
    *) exit 0 ;;
    esac
    exec 8>&-
}
follow() {
    if [ -e exit ]; then
        # its number may be another process's by now
        tail -c "+$((out + 1))" stdout
        tail -c "+$((err + 1))" stderr >&2
        return
    fi
    pid=$(cat pid)
    if tail --help 2>&1 | grep -q -- --pid; then
        # it sleeps until something is written
        tail -s 0.2 --pid="$pid" -c "+$((out + 1))" -f stdout &
        tail -s 0.2 --pid="$pid" -c "+$((err + 1))" -f stderr >&2 &
        wait
        return
    fi
    while :; do
        last=''
        kill -0 "$pid" 2>/dev/null || last=1
        to=$(wc -c <stdout) err_to=$(wc -c <stderr)
        tail -c "+$((out + 1))" stdout | head -c "$((to - out))"
        tail -c "+$((err + 1))" stderr | head -c "$((err_to - err))" >&2
        [ -z "$last" ] || return
        out=$to err=$err_to
        sleep 1
    done
}
# a text as what it has beyond another one: @N M for M lines from the other's line N on, + and a line
lines() {
    LC_ALL=C awk '
function flush(i) {
    if (long > 24) print "@" first " " count
    else for (i = 0; i < count; i++) print "+" known[first + i]
    count = long = 0
}
NR == FNR { known[NR] = $0; if (!($0 in at)) at[$0] = NR; next }
count && ((first + count) in known) && (known[first + count] "") == ($0 "") { count++; long += length($0); next }
{ flush() }
$0 in at { first = at[$0]; count = 1; long = length($0); next }
{ print "+" $0 }
END { flush() }' "$1" "$2"
}
send() { # a file, or what it has beyond the blob $2
    if [ -n "$2" ] && [ -s "../../blobs/$2" ] && lines "../../blobs/$2" "$1" >lines.part 2>/dev/null; then
        echo "lines $(($(wc -c <lines.part)))"
        cat lines.part
    elif [ -r "$1" ]; then
        echo "whole $(($(wc -c <"$1")))"
        cat "$1"
    else
        echo gone
    fi
    rm -f lines.part
}
if [ "$size" = 0 ]; then echo running; else start "$7" "$8" "$9" "${10}"; fi
printf '%s\n' "$mark" >&2
cd "$job" || exit 9
# a second client of the same job keeps its files
[ ! -e readers ] || { exec 7<>readers && flock -s 7; }
follow
printf '%s\n' "$mark" >&2
printf '%s\n' "$mark"
[ ! -e exit ] || echo "exit=$(cat exit)"
[ ! -e sums ] || { echo collected=yes && sed 's/^/sum=/' sums; }
printf '%s\n' "$mark"
while IFS= read -r line; do
    case $line in
    'base '*) base=${line#base } ;;
    'file '*)
        # \\ and \n stand for a backslash and the end of a line
        name=$(printf '%b.' "${line#file }")
        send "./root/${name%.}" "$base"
        base=''
        ;;
    forget)
        touch fetched 2>/dev/null
        # a reader whose link is stuck leaves the rest to the next start, or to the clean-up
        [ -e exit ] && flock -x -w 2 7 2>/dev/null && cd .. && rm -rf "./$run"
        exit 0
        ;;
    esac
done
