#!/bin/sh
# Writes a file as C: cu_rules_default[] and its length, for the library to hold.
# usage: embed.sh rules/default.yaml > default.c
set -eu

if [ $# -ne 1 ] || [ ! -r "$1" ]; then
	echo "usage: embed.sh FILE" >&2
	exit 2
fi

printf '/* Made by embed.sh from %s. */\n' "${1##*/}"
printf '#include "lib/rules/rules.h"\n\n'
printf 'const char cu_rules_default[] = {\n'
od -An -v -tx1 "$1" | sed -e 's/ \([0-9a-f][0-9a-f]\)/(char)0x\1,/g'
printf '0};\n\nconst size_t cu_rules_default_len = sizeof(cu_rules_default) - 1;\n'
