# The actual transcript, with cases that were skipped, and cases that must be
# otherwise than they are, as the expected one has them.
#   awk -f merge.awk EXPECTED ACTUAL

FILENAME == ARGV[1] && FILENAME != ARGV[2] {
    if (/^== /)
        section = $0
    was[section] = was[section] $0 "\n"
    next
}
/^== / { flush_section(); section = $0; text = ""; skipped = 0 }
/^\[skipped: / || /^\[must be 0, / { skipped = 1 }
{ text = text $0 "\n" }
END { flush_section() }

function flush_section() {
    printf "%s", skipped ? was[section] : text
}
