# Compares the transcript of a test script with the expected one, case by case.
#   awk -v name=NAME -f compare.awk EXPECTED ACTUAL

FNR == 1 { file++; section = "(start)" }
/^== / { section = $0; if (file == 2) order[++n] = section; else if (!(section in was)) known[++k] = section }
file == 1 { was[section] = was[section] $0 "\n" }
file == 2 {
    is[section] = is[section] $0 "\n"
    if (/^\[skipped: /)
        skip[section] = $0
}
END {
    # An expected file that is empty or missing makes the actual one the first.
    for (i = 1; i <= n; i++) {
        section = order[i]
        if (section in skip) {
            skipped++
            report = report name ": " substr(section, 4) " " skip[section] "\n"
        } else if (is[section] == was[section]) {
            passed++
        } else {
            failed++
            report = report name ": " substr(section, 4) "\n"
            report = report (section in was ? lines("- ", was[section]) : "- (not expected)\n") lines("+ ", is[section])
        }
    }
    for (i = 1; i <= k; i++)
        if (!(known[i] in is)) {
            failed++
            report = report name ": " substr(known[i], 4) ": expected, but did not run\n"
        }
    printf "#counts %d %d %d\n%s", passed, failed, skipped, report
}

function lines(mark, text) {
    gsub(/\n/, "\n" mark, text)
    return mark substr(text, 1, length(text) - length(mark))
}
