# Unpacks a bundle, runs its build.sh, and puts what that made beside the bundle.
# $1 the bundle, $2 how often each plan is built; then the names of what is kept.
bundle=$1 builds=$2
shift 2
mkdir .unpacked && tar -xzf "./$bundle" -C .unpacked || exit 6
for folder in .unpacked/*/; do
    sh "$folder/build.sh" --builds "$builds" || exit $?
    for name; do
        [ ! -f "$folder/$name" ] || mv "$folder/$name" . || exit 9
    done
done
