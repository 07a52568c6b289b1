#!/bin/sh
# Compares the stream number of every TCP segment with tshark's tcp.stream.
#
#   tests/tshark/streams.sh [CAPTURE ...]
#
# Without operands: samples/ and, where they are, the captures of
# ../shared/captures. Differences that streams.known explains are counted, all
# others are shown and fail. Exit status 77 without tshark.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD_DIR=${BUILD_DIR:-$top/build/release}
case $BUILD_DIR in
/*) ;;
*) BUILD_DIR=$top/$BUILD_DIR ;;
esac
flowify=$BUILD_DIR/libexec/culprit/flowify
command -v tshark >/dev/null || { echo 'no tshark' >&2; exit 77; }
[ -x "$flowify" ] || { echo "no $flowify: run make" >&2; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/culprit-streams.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
# shellcheck disable=SC2046,SC2086 # words wanted
${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 ${CFLAGS:-} -I"$top" -o "$work/streams" "$top/tests/tshark/streams.c" \
    "$BUILD_DIR/libculprit.a" $(pkg-config --libs libzstd libpcap yaml-0.1) -lm ${LDFLAGS:-} || exit 1

if [ $# -eq 0 ]; then
    for file in "$top"/samples/*.pcap* "$top"/../shared/captures/*/*; do
        [ -f "$file" ] && set -- "$@" "$file"
    done
fi

same=0 known=0 failed=0
for file; do
    name=$(basename "$file")
    # A segment is shown with its last stream, which is the innermost one's.
    tshark -n -r "$file" -o tcp.relative_sequence_numbers:FALSE -Y tcp -T fields -E occurrence=l \
        -e frame.number -e tcp.stream 2>/dev/null | awk 'NF == 2 { print $1, $2 }' >"$work/theirs"
    "$flowify" -q "$file" 2>"$work/errors" | "$work/streams" >"$work/ours" 2>>"$work/errors"
    if grep -q 'runtime error\|Sanitizer' "$work/errors"; then
        failed=$((failed + 1))
        echo "$name:" && cat "$work/errors"
    elif cmp -s "$work/theirs" "$work/ours"; then
        same=$((same + 1))
    elif grep -q "^$name	" "$top/tests/tshark/streams.known"; then
        known=$((known + 1))
    else
        failed=$((failed + 1))
        echo "$name: frame and stream, tshark (-) and flowify (+)"
        diff -U0 "$work/theirs" "$work/ours" | grep '^[-+][0-9]' | head -n 10
        head -n 3 "$work/errors"
    fi
done
echo "$same the same, $known different for a known reason, $failed different"
[ $failed -eq 0 ]
