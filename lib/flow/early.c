#include "lib/flow/early.h"

void cu_early_release(struct cu_early *early)
{
	for (uint32_t i = 0; i < CU_EARLY_CAP; i++) {
		cu_buf_release(&early->packets[i].data);
	}
	early->n = 0;
}

static struct cu_early_packet *nth(struct cu_early *early, uint32_t i)
{
	return &early->packets[(early->first + i) % CU_EARLY_CAP];
}

/* Those at the front that were taken make room. */
static void drop_taken(struct cu_early *early)
{
	while (early->n > 0 && nth(early, 0)->datagram == 0) {
		early->first = (early->first + 1) % CU_EARLY_CAP;
		early->n--;
	}
}

bool cu_early_add(struct cu_early *early, uint64_t datagram, const struct cu_capture *capture,
                  const struct cu_packet *packet)
{
	drop_taken(early);
	if (early->n == CU_EARLY_CAP || packet->caplen > CU_EARLY_BYTES_CAP) {
		return false;
	}
	struct cu_early_packet *kept = nth(early, early->n);
	cu_buf_clear(&kept->data);
	cu_buf_add(&kept->data, packet->data, packet->caplen);
	if (kept->data.failed) {
		return false;
	}
	kept->datagram = datagram;
	kept->packet = *packet;
	kept->packet.data = kept->data.data;
	cu_capture_origin(capture, &kept->origin);
	early->n++;
	return true;
}

const struct cu_early_packet *cu_early_take(struct cu_early *early, uint64_t datagram)
{
	for (uint32_t i = 0; i < early->n; i++) {
		struct cu_early_packet *kept = nth(early, i);
		if (kept->datagram == datagram) {
			kept->datagram = 0;
			return kept;
		}
	}
	return NULL;
}

const struct cu_early_packet *cu_early_expire(struct cu_early *early, int64_t time_ns, bool all)
{
	drop_taken(early);
	if (early->n == 0) {
		return NULL;
	}
	struct cu_early_packet *kept = nth(early, 0);
	int64_t waited_ns = (int64_t)((uint64_t)time_ns - (uint64_t)kept->packet.time_ns);
	if (!all && waited_ns >= 0 && waited_ns <= CU_EARLY_WAIT_NS) {
		return NULL;
	}
	kept->datagram = 0;
	return kept;
}
