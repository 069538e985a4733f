# Asks a job to stop, as Ctrl-C does.
# $1 work folder, $2 the job's id.
cd "$1/jobs/$2" || exit 9
[ ! -e exit ] || exit 0
pid=$(cat pid) || exit 0
kill -INT "-$pid"
