# Prints what a job printed, from these bytes on, and what it prints until it ends.
# $1 work folder, $2 the job's id, $3 bytes of stdout and $4 of stderr that are known.
cd "$1/jobs/$2" || exit 9
if [ -e exit ]; then
    # its number may be another process's by now
    tail -c "+$(($3 + 1))" stdout
    tail -c "+$(($4 + 1))" stderr >&2
    exit 0
fi
pid=$(cat pid)
if tail --help 2>&1 | grep -q -- --pid; then
    # it sleeps until something is written
    tail -s 0.2 --pid="$pid" -c "+$(($3 + 1))" -f stdout &
    tail -s 0.2 --pid="$pid" -c "+$(($4 + 1))" -f stderr >&2 &
    wait
    exit 0
fi
out=$3 err=$4
while :; do
    last=''
    kill -0 "$pid" 2>/dev/null || last=1
    to=$(wc -c <stdout) err_to=$(wc -c <stderr)
    tail -c "+$((out + 1))" stdout | head -c "$((to - out))"
    tail -c "+$((err + 1))" stderr | head -c "$((err_to - err))" >&2
    [ -z "$last" ] || exit 0
    out=$to err=$err_to
    sleep 1
done
