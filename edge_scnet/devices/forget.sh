# Removes the folder of a job that ended, and whose files were brought back.
# $1 work folder, $2 the job's id.
cd "$1/jobs" && [ -e "$2/exit" ] && rm -rf "./$2"
