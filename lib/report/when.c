#include "lib/report/when.h"

#include "lib/base/units.h"

/* Exactly n digits, at most max. */
static bool number(const char **at, unsigned n, unsigned min, unsigned max, unsigned *value)
{
	*value = 0;
	for (; n > 0; n--, (*at)++) {
		if (**at < '0' || **at > '9') {
			return false;
		}
		*value = *value * 10 + (unsigned)(**at - '0');
	}
	return *value >= min && *value <= max;
}

static bool skip(const char **at, char c)
{
	bool there = **at == c;
	*at += there;
	return there;
}

static bool is_leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in(unsigned year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return days[month - 1] + (month == 2 && is_leap(year) ? 1U : 0U);
}

/* Its days since 1970; has_day: it does not end before the day. */
static bool parse_date(const char **at, int64_t *days, bool *has_day)
{
	unsigned year, month = 1, day = 1;
	if (!number(at, 4, 1970, 2261, &year)) {
		return false;
	}
	bool has_month = skip(at, '-');
	if (has_month && !number(at, 2, 1, 12, &month)) {
		return false;
	}
	*has_day = has_month && skip(at, '-');
	if (*has_day && !number(at, 2, 1, days_in(year, month), &day)) {
		return false;
	}
	*days = (int64_t)day - 1;
	for (unsigned y = 1970; y < year; y++) {
		*days += is_leap(y) ? 366 : 365;
	}
	for (unsigned m = 1; m < month; m++) {
		*days += days_in(year, m);
	}
	return true;
}

static bool parse_clock(const char **at, int64_t *ns)
{
	unsigned hours, minutes = 0, seconds = 0;
	if (!number(at, 2, 0, 23, &hours)) {
		return false;
	}
	bool has_minutes = skip(at, ':');
	if (has_minutes && !number(at, 2, 0, 59, &minutes)) {
		return false;
	}
	int64_t fraction = 0;
	if (has_minutes && skip(at, ':')) {
		if (!number(at, 2, 0, 60, &seconds)) {
			return false;
		}
		if (skip(at, '.')) {
			int64_t place = CU_NS_PER_S;
			if (**at < '0' || **at > '9') {
				return false;
			}
			for (; **at >= '0' && **at <= '9'; (*at)++) {
				place /= 10;
				fraction += (**at - '0') * place;
			}
		}
	}
	*ns = ((int64_t)hours * 3600 + minutes * 60 + seconds) * CU_NS_PER_S + fraction;
	return true;
}

bool cu_parse_time(const char *text, int64_t *time_ns)
{
	int64_t days, ns = 0;
	bool has_day;
	if (!parse_date(&text, &days, &has_day)) {
		return false;
	}
	if (has_day && (skip(&text, 'T') || skip(&text, ' ')) && !parse_clock(&text, &ns)) {
		return false;
	}
	skip(&text, 'Z');
	*time_ns = days * 86400 * CU_NS_PER_S + ns;
	return *text == '\0';
}
