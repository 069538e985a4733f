# Lays a job out and starts it, detached; prints its state: running, waiting or busy, and who has the device.
# $1 work folder, $2 the job's id, $3 wait or refuse, $4 who it is of, $5 settle or nothing, $6 power mode or nothing.
# stdin: the job's folder as a tar, whose hard links are to what is in blobs/.
umask 077
cd "$1" || exit 9
run=$2
exec 8>>start.lock
flock 8
job=jobs/$run
if [ -s "$job/exit" ] || {
    [ -s "$job/pid" ] && kill -0 "$(cat "$job/pid")" 2>/dev/null &&
        [ "$(cat "$job/boot")" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ]
}; then
    # another client's, that runs or has ended and is still to be fetched
    cat >/dev/null
    echo "running"
    exit 0
fi
rm -rf "$job" "$job.new"
mkdir "$job.new" && tar -xf - && (cd "$job.new" && . ./unpack) || {
    rm -rf "$job.new"
    exit 9
}
mv "$job.new" "$job"
cd "$job" || exit 9
setsid -f sh ./job.sh "$3" "$4" "$5" "$6" </dev/null >/dev/null 2>&1 8>&-
tries=0
while [ ! -s state ] && [ "$tries" -lt 200 ]; do
    sleep 0.05 2>/dev/null || sleep 1
    tries=$((tries + 1))
done
cat state
# who is refused leaves nothing
case $(cat state) in busy*) cd .. && rm -rf "./$run" ;; esac
