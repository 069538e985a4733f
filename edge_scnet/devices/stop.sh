# Asks a job to stop, as Ctrl-C does; with "now" it is killed.
# $1 work folder, $2 the job's id, $3 now or nothing.
cd "$1/jobs/$2" || exit 9
[ ! -e exit ] || exit 0
pid=$(cat pid) || exit 0
if [ "$3" = now ]; then kill -KILL "-$pid"; else kill -INT "-$pid"; fi
