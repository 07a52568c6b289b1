#!/bin/sh
# Writes a file as C, for the library to hold: the array NAME, which ends with
# a zero, and NAME_len, without it; both as HEADER declares them.
# usage: embed.sh NAME HEADER FILE > file.c
set -eu

if [ $# -ne 3 ] || [ ! -r "$3" ]; then
	echo "usage: embed.sh NAME HEADER FILE" >&2
	exit 2
fi

printf '/* Made by embed.sh from %s. */\n' "${3##*/}"
printf '#include "%s"\n\n' "$2"
printf 'const char %s[] = {\n' "$1"
od -An -v -tx1 "$3" | sed -e 's/ \([0-9a-f][0-9a-f]\)/(char)0x\1,/g'
printf '0};\n\nconst size_t %s_len = sizeof(%s) - 1;\n' "$1" "$1"
