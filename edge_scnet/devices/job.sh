# Runs a job under the device's lock. What it tells is in files of its folder, where it is started:
# state, pid, stdout, stderr, sums (of the files that it made) and at last exit. The lock is held by
# this process and all that it starts: it ends with them, however they end.
# $1 wait or refuse, $2 who it is of, $3 settle or nothing, $4 power mode or nothing.
wait=$1 owner=$2 settle=$3 power=$4
job=$PWD
lock=$job/../../lock kept=$job/../../power.before
stop=''
# the signal is for what runs in front; this shell goes on to the end
trap 'stop=1' INT TERM
trap '' HUP
: >stdout
: >stderr
cat /proc/sys/kernel/random/boot_id >boot 2>/dev/null || : >boot
echo $$ >pid
say() {
    printf '%s\n' "$1" >state.part
    mv state.part state
}
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
restore() {
    [ -s "$kept" ] || return 0
    as_root nvpmodel -m "$(cat "$kept")" </dev/null >>"$job/stderr" 2>&1 && rm -f "$kept"
}
end() {
    restore || echo 'warning: the power mode could not be set back: sudo nvpmodel -q' >>"$job/stderr"
    cd "$job"
    if ! echo "$1" >exit.part; then
        # its files are given up rather than its end: without that it would be taken for a killed one
        rm -rf root sums
        echo 9 >exit.part
    fi
    mv exit.part exit
    exit 0
}
exec 9>>"$lock"
if ! flock -n 9; then
    there=$(cat "$lock.owner" 2>/dev/null)
    if [ "$wait" != wait ]; then
        say "busy $there"
        exit 0
    fi
    say "waiting $there"
    # the mode that was kept is the running job's, which sets it back itself
    flock 9 || {
        kept=''
        end 130
    }
fi
[ -z "$stop" ] || end 130
printf '%s, since %s\n' "$owner" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$lock.owner.part"
mv "$lock.owner.part" "$lock.owner"
say running
# room for what is told of the job where the job fills the disk
head -c 262144 /dev/zero >reserve 2>/dev/null || :
restore || echo "warning: the power mode $(cat "$kept") of before an earlier job could not be set back" >>stderr
if [ -n "$power" ]; then
    before=$(nvpmodel -q 2>/dev/null | tail -n 1)
    case $before in '' | *[!0-9]*)
        # it could not be set back
        printf 'error: the power mode of now cannot be read\n\nhint: the last line of nvpmodel -q has to be its number\n' >>stderr
        end 8
        ;;
    esac
    if [ "$before" != "$power" ]; then
        # where an earlier job's could not be set back, the mode of before that one is the board's own
        set --
        if [ ! -s "$kept" ]; then
            set -- "$kept"
            printf '%s\n' "$before" >"$kept.part" && mv "$kept.part" "$kept" || {
                echo 'error: the power mode of now cannot be kept' >>stderr
                end 9
            }
        fi
        as_root nvpmodel -m "$power" </dev/null >>stderr 2>&1 || {
            rm -f "$@"
            printf 'error: the power mode could not be set\n\nhint: sudo -n nvpmodel -m %s has to work on the device\n' \
                "$power" >>stderr
            end 8
        }
        echo "power mode $power, before $before" >>stderr
    fi
fi
hottest() { # of the sensors, in thousandths of a degree; a PMIC tells a number of no meaning
    for zone in /sys/class/thermal/thermal_zone*; do
        read -r kind 2>/dev/null <"$zone/type" || continue
        case $kind in PMIC*) continue ;; esac
        cat "$zone/temp" 2>/dev/null
    done | sort -n | tail -n 1
}
if [ -n "$settle" ]; then
    hot=$(hottest) left=12
    # while it is hot and cools, at most a minute
    while [ "${hot:-0}" -ge 60000 ] && [ "$left" -gt 0 ] && [ -z "$stop" ]; do
        [ "$left" -lt 12 ] || echo "waiting while it cools: $((hot / 1000)) C" >>stderr
        sleep 5
        now=$(hottest) left=$((left - 1))
        [ "$((hot - now))" -ge 500 ] || break
        hot=$now
    done
fi
code=130
if [ -z "$stop" ]; then
    code=0
    sh ./command >>stdout 2>>stderr </dev/null || code=$?
fi
rm -f "$job/reserve"
full() {
    [ "$(df -Pk "$job" | awk 'END { print $4 }')" -lt 1024 ] || return 1
    printf 'error: the disk of the device is full\n\nhint: free space there: df -h\n' >>"$job/stderr"
}
if [ "$code" != 0 ]; then full || :; fi
# what a job made that failed by a fault is not worth keeping in the cache: it may be what fills it
blobs=''
case $code in 0 | 1[0-3] | 130) blobs=$job/../../blobs ;; esac
# the places of this folder become those of the machine that it came from
escaped=$(printf '%s' "$job/root" | sed 's/[][\.*^$|/]/\\&/g')
cd root || end 9
set --
. ../collect
lost=''
: >../sums.part || lost=1
for path; do
    [ -e "$path" ] || continue
    find "$path" -type f \( -name manifest.json -o -name 'report*.json' -o -name 'report*.html' -o -name sensitivity.json \) -exec sh -c 'root=$1 escaped=$2; shift 2; for file; do
            if grep -qF -- "$root" "$file"; then
                sed "s|$escaped||g" "$file" >"$file.mapped" && mv "$file.mapped" "$file" || exit 1
            fi
        done' sh "$job/root" "$escaped" {} + || lost=1
    find "$path" -type f ! -name '.*' -exec sh -c 'blobs=$1; shift; for file; do
            line=$(sha256sum -- "$file") || exit 1
            printf "%s\n" "$line" || exit 1
            sha=${line#\\} && sha=${sha%% *}
            [ -z "$blobs" ] || [ -e "$blobs/$sha" ] || ln "$file" "$blobs/$sha" 2>/dev/null || :
        done' sh "$blobs" {} + >>../sums.part || lost=1
done
cd "$job"
if [ -n "$lost" ]; then
    # half a list would be taken for all that was made
    rm -rf root sums.part
    full || echo 'error: what the job made cannot be read there' >>stderr
    end 9
fi
mv sums.part sums
end "$code"
