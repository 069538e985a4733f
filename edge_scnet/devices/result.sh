# Tells how a job ended, and the sha256 of each file that it made, where it came so far.
# $1 work folder, $2 the job's id.
cd "$1/jobs/$2" || exit 9
[ ! -e exit ] || echo "exit=$(cat exit)"
[ ! -e sums ] || { echo collected=yes && sed 's/^/sum=/' sums; }
