# What the scripts of tests/cli are written in; sourced by tests/run-one.
#
# A script runs in an empty directory, with LC_ALL=C, TZ=UTC0 and the built
# programs first in PATH; $samples and $top are folders of the sources. It
# prints a transcript, which is compared with NAME.expected beside it:
#
#   == case                 what t was given
#   $ flowify missing       the command
#   what it printed         standard output; bytes that are not text as \xNN
#   "! " and its complaints    standard error
#   [1]                     exit status
#
# t NAME COMMAND...       runs a command in a new empty directory, with files
#                         that put made; COMMAND may be one string of shell;
#                         status 124 after 100 s
# must NAME COMMAND...    the same for what has to exit with 0: UPDATE=1 will
#                         not take anything else for right
# put FILE ...            copies or names files for the cases that follow
# skip NAME REASON        counts a case as skipped
# have COMMAND            whether there is such a program
# shellcheck shell=sh disable=SC2154

case_dir=$PWD/case
put_dir=$PWD/put
mkdir -p "$put_dir"

# Text that differs between builds and machines, made the same; what a
# terminal would act on, made visible.
normalise() {
    sed -e "s|$case_dir|DIR|g" -e "s|$BUILD_DIR|BUILD|g" -e "s|$top|TOP|g" \
        -e "s|\<$(echo "$VERSION" | sed 's/[.]/[.]/g')\>|VERSION|g" -f "$top/tests/cli/unprintable.sed"
}

t() {
    t_name=$1
    shift
    rm -rf "$case_dir"
    mkdir "$case_dir"
    cp -RP "$put_dir/." "$case_dir/"
    printf '== %s\n$ %s\n' "$t_name" "$*" | normalise
    if [ $# -eq 1 ]; then
        (cd "$case_dir" && exec timeout 100 sh -c "$1") >"$state/out" 2>"$state/err" </dev/null
    else
        (cd "$case_dir" && exec timeout 100 "$@") >"$state/out" 2>"$state/err" </dev/null
    fi
    t_status=$?
    normalise <"$state/out"
    normalise <"$state/err" | sed 's/^/! /'
    if [ -n "${t_must-}" ] && [ $t_status -ne 0 ]; then
        echo "[must be 0, is $t_status]"
    else
        echo "[$t_status]"
    fi
}

must() {
    t_must=1
    t "$@"
    t_must=
}

put() {
    cp -RP "$@" "$put_dir/"
}

skip() {
    printf '== %s\n[skipped: %s]\n' "$1" "$2"
}

have() {
    command -v "$1" >/dev/null 2>&1
}
