# Gives the files that were sent their names, those whose hash fits; tells the others.
# $1 work folder; stdin: their sha256, one a line.
cd "$1/blobs" || exit 9
while read -r sha; do
    [ ! -e "$sha" ] || continue
    found=$(sha256sum <"$sha.part") && found=${found%% *}
    if [ "$found" = "$sha" ]; then
        chmod 400 "$sha.part"
        mv "$sha.part" "$sha"
    else
        rm -f "$sha.part"
        echo "other=$sha"
    fi
done
