#include "cmd/common/private.h"

#include "lib/base/units.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Work shorter than the first shows no progress; after it a line this often. */
#define PROGRESS_AFTER_NS CU_NS_PER_S
#define PROGRESS_EVERY_NS (200 * CU_NS_PER_MS)

static int64_t start_ns, shown_ns;
static bool visible;

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * CU_NS_PER_S + now.tv_nsec;
}

/* An estimate: "42 s", "7 min", "3 h". */
static void format_left(char *text, size_t cap, double seconds)
{
	static const struct {
		double below, unit;
		const char *name;
	} steps[] = {{120, 1, "s"}, {7200, 60, "min"}, {INFINITY, 3600, "h"}};
	size_t i = 0;
	while (seconds >= steps[i].below) {
		i++;
	}
	snprintf(text, cap, "%.0f %s", seconds / steps[i].unit, steps[i].name);
}

void prog_progress(uint64_t done_bytes, uint64_t total_bytes, uint64_t n_items, const char *items)
{
	static int wanted = -1;
	if (wanted < 0) {
		wanted = !prog_settings.no_progress && !prog_settings.quiet && isatty(STDERR_FILENO);
		start_ns = wanted ? now_ns() : 0;
	}
	if (!wanted) {
		return;
	}
	int64_t now = now_ns(), spent = now - start_ns;
	if (spent < PROGRESS_AFTER_NS || now - shown_ns < PROGRESS_EVERY_NS) {
		return;
	}
	shown_ns = now;
	visible = true;
	char done[CU_TEXT_CAP], rate[CU_TEXT_CAP], left[CU_TEXT_CAP];
	double seconds = (double)spent / (double)CU_NS_PER_S;
	cu_format_size(done, done_bytes);
	cu_format_size(rate, (uint64_t)((double)done_bytes / seconds));
	fprintf(stderr, "\r\033[K%s: %s, %.1f million %s, %s/s", prog_spec->name, done, (double)n_items / 1e6, items,
	        rate);
	if (done_bytes > 0 && total_bytes >= done_bytes) {
		double share = (double)done_bytes / (double)total_bytes;
		format_left(left, sizeof(left), seconds * (1 / share - 1));
		fprintf(stderr, ", %.0f %%, %s left", 100 * share, left);
	}
	fflush(stderr);
}

void prog_progress_clear(void)
{
	if (visible) {
		fputs("\r\033[K", stderr);
		visible = false;
	}
}
