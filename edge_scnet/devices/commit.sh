# Gives the files that were sent their names, those whose hash fits; tells the others.
# $1 work folder; stdin: their sha256, one a line.
cd "$1/blobs" || exit 9
while read -r sha; do
    # it is hashed under a name that nobody else opens: another client may be sending the same file,
    # and empties what it finds as it begins
    if [ ! -e "$sha" ] && mv "$sha.part" "$sha.$$.part" 2>/dev/null; then
        found=$(sha256sum <"$sha.$$.part")
        if [ "${found%% *}" = "$sha" ]; then
            chmod 400 "$sha.$$.part"
            mv "$sha.$$.part" "$sha"
        else
            rm -f "$sha.$$.part"
        fi
    fi
    [ -e "$sha" ] || echo "other=$sha"
done
