# Does what a page says and prints the page as it then should be: a block of
# yaml that begins with "# NAME.yaml" is written to that file, the commands of
# a block of console ("$ ...") are run, and what they print stands behind each.
/^```yaml$/ { block = "yaml"; file = ""; print; next }
/^```console$/ { block = "console"; print; next }
/^```$/ {
	if (file != "") {
		close(file)
	}
	block = ""
	print
	next
}
block == "yaml" {
	if (file == "") {
		if (!/^# [a-z]+\.yaml$/) {
			print "a yaml block has to begin with # NAME.yaml, not " $0
			exit 1
		}
		file = $2
		printf "" > file
	}
	print > file
	print
	next
}
block == "console" {
	if (/^\$ /) {
		print
		command = "(" substr($0, 3) ") 2>&1"
		while ((command | getline line) > 0) {
			print line
		}
		close(command)
		n++
	}
	next # what it is said to print
}
{ print }
END {
	if (n == 0) {
		exit 1
	}
}
