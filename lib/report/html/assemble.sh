#!/bin/sh
# Puts the page of report --format html together: page.html with the style and
# the scripts in it, and the hashes by which the page's policy knows them
# (Content Security Policy Level 3, "hash-source"). Nothing else in the page
# may run, whatever gets into it.
# usage: assemble.sh > page.html
set -eu
cd "$(dirname "$0")"
scripts='base.js data.js summary.js table.js ledger.js ladder.js sequence.js detail.js main.js'

# Without their indentation: a tab in a page that was made is one that should not be there.
tab=$(printf '\t')
style=$(sed "s/^$tab*//" style.css)
# shellcheck disable=SC2086 # a list of words
script=$(sed "s/^$tab*//" $scripts)
case $style$script in
*'</style'* | *'</script'* | *'<!--'*)
	echo 'assemble.sh: a script or style must not have </script, </style or <!-- in it' >&2
	exit 1
	;;
esac

# The SHA-256 of a text, in base64.
hash() {
	printf '%s' "$1" | sha256sum | awk '
		BEGIN { digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" }
		{
			hex = substr($1, 1, 64) "00" # 32 bytes are padded to 33
			for (at = 1; at < 66; at += 3) {
				n = 0
				for (i = 0; i < 3; i++)
					n = n * 16 + index("0123456789abcdef", substr(hex, at + i, 1)) - 1
				out = out substr(digits, int(n / 64) + 1, 1) substr(digits, n % 64 + 1, 1)
			}
			printf "%s=", substr(out, 1, 43)
		}'
}

style_hash=$(hash "$style") script_hash=$(hash "$script")
while IFS= read -r line; do
	case $line in
	*@POLICY@*) printf "%s%s%s\n" "${line%%@POLICY@*}" \
		"default-src 'none'; style-src 'sha256-$style_hash'; script-src 'sha256-$script_hash'; base-uri 'none'; form-action 'none'" \
		"${line#*@POLICY@}" ;;
	*@STYLE@*) printf '%s%s%s\n' "${line%%@STYLE@*}" "$style" "${line#*@STYLE@}" ;;
	*@SCRIPT@*) printf '%s%s%s\n' "${line%%@SCRIPT@*}" "$script" "${line#*@SCRIPT@}" ;;
	*) printf '%s\n' "$line" ;;
	esac
done <page.html
