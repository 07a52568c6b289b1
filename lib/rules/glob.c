#include "lib/rules/glob.h"

/* Reads one [set] at p: its length, and whether it has c; 0 when it is not closed. */
static size_t glob_set(const char *p, const char *end, char c, bool *has)
{
	const char *q = p + 1;
	bool negated = q < end && (*q == '!' || *q == '^');
	bool found = false;
	q += negated;
	for (const char *first = q; q < end && (*q != ']' || q == first); q++) {
		if (q + 2 < end && q[1] == '-' && q[2] != ']') {
			found = found ||
			        ((unsigned char)c >= (unsigned char)q[0] && (unsigned char)c <= (unsigned char)q[2]);
			q += 2;
		} else {
			found = found || *q == c;
		}
	}
	*has = found != negated;
	return q < end ? (size_t)(q - p) + 1 : 0;
}

bool cu_glob(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	if (len == 0) {
		text = "";
	}
	const char *p = pattern, *end = pattern + pattern_len;
	const char *t = text, *text_end = text + len;
	const char *star = NULL, *star_text = NULL; /* where to begin again: no other star needs it */
	while (t < text_end || p < end) {
		if (p < end && *p == '*') {
			star = ++p;
			star_text = t;
			continue;
		}
		if (p < end && t < text_end) {
			size_t n = 1;
			bool good;
			if (*p == '?') {
				good = true;
			} else if (*p == '[' && (n = glob_set(p, end, *t, &good)) > 0) {
				/* good is set */
			} else {
				n = *p == '\\' && p + 1 < end ? 2 : 1;
				good = p[n - 1] == *t;
			}
			if (good) {
				p += n;
				t++;
				continue;
			}
		}
		if (!star || star_text == text_end) {
			return false;
		}
		p = star;
		t = ++star_text;
	}
	return true;
}
