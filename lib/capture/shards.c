#include "lib/capture/shards.h"

#include "lib/base/bytes.h"
#include "lib/base/grow.h"
#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/base/units.h"
#include "lib/capture/dump.h"
#include "lib/capture/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum {
	SHARDS_CAP = 1 << 24,
	INTERFACES_CAP = 1 << 16, /* of one shard */
	ZSTD_LEVEL = 3,           /* zstd's own default */
	RESOLUTION_MICRO = 6,
};

static const char temporary_suffix[] = ".XXXXXX";

/* An interface as the shard numbers it. */
struct local_interface {
	struct cu_interface interface;
	uint16_t input;
};

struct shard {
	/* Those not finished, for abandon(): one store links a shard. */
	struct shard *next_unfinished, *prev_unfinished;
	/* Those open, the last used one first. */
	struct shard *newer, *older;
	char *temporary; /* the path and temporary_suffix */
	int fd;          /* -1: closed */
	struct cu_buf buf;
	struct local_interface *interfaces;
	size_t n_interfaces, interfaces_cap;
	struct cu_index index; /* of the interfaces, by input and number */
	uint64_t n_bytes;      /* put so far */
	int64_t last_ns;
	bool is_micro; /* a pcap in microseconds */
};

struct cu_shards {
	struct cu_shards_config config;
	struct cu_hash_seed seed;
	struct shard **all; /* NULL: finished */
	size_t n, all_cap;
	struct shard *unfinished;
	struct shard *newest, *oldest;
	size_t n_open;
	uint64_t n_left_out;
	int64_t last_ns;        /* of the packet put last */
	uint64_t *n_drops_said; /* of each input: in shards that are finished */
	mode_t mode;
	ZSTD_CCtx *zstd;
	struct cu_buf compressed;
	char path[PATH_MAX];
};

int cu_shards_open(struct cu_shards **shards, const struct cu_shards_config *config)
{
	struct cu_shards *s = calloc(1, sizeof(*s));
	*shards = s;
	if (s == NULL) {
		return CU_ERR_NOMEM;
	}
	s->config = *config;
	s->seed = cu_hash_seed_random();
	s->zstd = config->compress ? ZSTD_createCCtx() : NULL;
	s->n_drops_said = calloc(UINT16_MAX + 1, sizeof(*s->n_drops_said));
	mode_t mask = umask(0);
	umask(mask);
	s->mode = 0666 & ~mask;
	if (s->n_drops_said == NULL || (config->compress && s->zstd == NULL)) {
		cu_shards_close(s);
		*shards = NULL;
		return CU_ERR_NOMEM;
	}
	if (s->zstd != NULL) {
		ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
		ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
	}
	return 0;
}

/* ------------------------------------------------------------------ names */

bool cu_shards_pattern_has(const char *pattern, char letter)
{
	for (const char *p = pattern; (p = strchr(p, '%')) != NULL; p += 2) {
		if (letter != '\0' ? p[1] == letter : p[1] == '\0' || strchr("ntk%", p[1]) == NULL) {
			return true;
		}
		if (p[1] == '\0') {
			break;
		}
	}
	return false;
}

static size_t put_text(char *path, size_t at, const char *text)
{
	size_t len = strlen(text);
	if (at + len < PATH_MAX) {
		memcpy(path + at, text, len);
	}
	return at + len;
}

/* The path of the next shard at path; false when it is too long. */
static bool make_path(struct cu_shards *s, int64_t time_ns, const char *key)
{
	char number[16], when[32] = "";
	(void)snprintf(number, sizeof(number), "%0*zu", (int)s->config.n_digits, s->n);
	time_t seconds = (time_t)(time_ns / CU_NS_PER_S);
	struct tm tm;
	if (gmtime_r(&seconds, &tm) != NULL) {
		(void)strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	}
	size_t at = 0;
	for (const char *p = s->config.pattern; *p != '\0' && at < PATH_MAX; p++) {
		char one[2] = {*p, '\0'};
		const char *text = one;
		if (*p == '%' && p[1] != '\0') {
			p++;
			text = *p == 'n' ? number : *p == 't' ? when : *p == 'k' ? (key != NULL ? key : "") : "%";
		}
		at = put_text(s->path, at, text);
	}
	if (at + sizeof(temporary_suffix) > PATH_MAX) {
		return false;
	}
	s->path[at] = '\0';
	return true;
}

/* Whether the path of a shard may be used. */
static int check_path(const struct cu_shards *s, struct cu_fault *fault)
{
	struct stat st;
	if (lstat(s->path, &st) != 0) {
		return 0; /* what else there may be against it, making it will tell */
	}
	if (!s->config.force) {
		return cu_fault_set(fault, CU_ERR_RANGE, "%s: is there already", s->path);
	}
	if (!S_ISREG(st.st_mode)) {
		return cu_fault_set(fault, CU_ERR_RANGE, "%s: is no regular file", s->path);
	}
	return 0;
}

/* --------------------------------------------------------- open and closed */

static void unlink_open(struct cu_shards *s, struct shard *shard)
{
	*(shard->newer != NULL ? &shard->newer->older : &s->newest) = shard->older;
	*(shard->older != NULL ? &shard->older->newer : &s->oldest) = shard->newer;
	shard->newer = shard->older = NULL;
}

static void link_newest(struct cu_shards *s, struct shard *shard)
{
	shard->older = s->newest;
	shard->newer = NULL;
	*(s->newest != NULL ? &s->newest->newer : &s->oldest) = shard;
	s->newest = shard;
}

static int path_fault(struct cu_fault *fault, const struct shard *shard, int error)
{
	int len = (int)(strlen(shard->temporary) - strlen(temporary_suffix));
	return cu_fault_set_errno(fault, error, "%.*s", len, shard->temporary);
}

static int write_all(const struct shard *shard, const uint8_t *data, size_t len, struct cu_fault *fault)
{
	while (len > 0) {
		ssize_t n = write(shard->fd, data, len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return path_fault(fault, shard, errno);
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Writes the buffer of an open shard. */
static int flush(struct cu_shards *s, struct shard *shard, struct cu_fault *fault)
{
	struct cu_buf *buf = &shard->buf;
	if (buf->failed) {
		return cu_fault_set(fault, CU_ERR_NOMEM, "no memory for a shard");
	}
	const uint8_t *data = buf->data;
	size_t len = buf->len;
	if (len > 0 && s->zstd != NULL) {
		cu_buf_clear(&s->compressed);
		if (!cu_buf_reserve(&s->compressed, ZSTD_compressBound(len))) {
			return cu_fault_set(fault, CU_ERR_NOMEM, "no memory to compress");
		}
		size_t got = ZSTD_compress2(s->zstd, s->compressed.data, s->compressed.cap, data, len);
		if (ZSTD_isError(got)) {
			return cu_fault_set(fault, CU_ERR_NOMEM, "compression: %s", ZSTD_getErrorName(got));
		}
		data = s->compressed.data;
		len = got;
	}
	cu_buf_clear(buf);
	return write_all(shard, data, len, fault);
}

static int close_shard(struct cu_shards *s, struct shard *shard, struct cu_fault *fault)
{
	int rc = flush(s, shard, fault);
	unlink_open(s, shard);
	s->n_open--;
	cu_buf_release(&shard->buf);
	/* Some file systems report a full disk or quota only here. */
	if (close(shard->fd) != 0 && rc == 0) {
		rc = path_fault(fault, shard, errno);
	}
	shard->fd = -1;
	return rc;
}

static int make_room(struct cu_shards *s, struct cu_fault *fault)
{
	return s->n_open >= s->config.open_cap ? close_shard(s, s->oldest, fault) : 0;
}

static void note_open(struct cu_shards *s, struct shard *shard)
{
	link_newest(s, shard);
	s->n_open++;
}

/* Makes a shard the last used one, open. */
static int use(struct cu_shards *s, struct shard *shard, struct cu_fault *fault)
{
	if (shard == s->newest) {
		return 0;
	}
	if (shard->fd >= 0) {
		unlink_open(s, shard);
		link_newest(s, shard);
		return 0;
	}
	int rc = make_room(s, fault);
	if (rc < 0) {
		return rc;
	}
	shard->fd = open(shard->temporary, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (shard->fd < 0) {
		return path_fault(fault, shard, errno);
	}
	note_open(s, shard);
	return 0;
}

/* ------------------------------------------------------------------- begin */

static void free_shard(struct shard *shard)
{
	if (shard != NULL) {
		cu_buf_release(&shard->buf);
		free(shard->interfaces);
		cu_index_release(&shard->index);
		free(shard->temporary);
		free(shard);
	}
}

static struct shard *new_shard(const char *path)
{
	struct shard *shard = calloc(1, sizeof(*shard));
	size_t len = strlen(path);
	if (shard != NULL) {
		shard->fd = -1;
		shard->temporary = malloc(len + sizeof(temporary_suffix));
	}
	if (shard == NULL || shard->temporary == NULL) {
		free_shard(shard);
		return NULL;
	}
	memcpy(shard->temporary, path, len);
	memcpy(shard->temporary + len, temporary_suffix, sizeof(temporary_suffix));
	return shard;
}

/* Creates the file; before that the shard is where abandon() finds it. */
static int create(struct cu_shards *s, struct shard *shard, struct cu_fault *fault)
{
	shard->next_unfinished = s->unfinished;
	if (s->unfinished != NULL) {
		s->unfinished->prev_unfinished = shard;
	}
	s->unfinished = shard;
	s->all[s->n++] = shard;
	shard->fd = mkostemp(shard->temporary, O_APPEND | O_CLOEXEC);
	if (shard->fd < 0) {
		return path_fault(fault, shard, errno);
	}
	note_open(s, shard);
	(void)fchmod(shard->fd, s->mode);
	if (!s->config.is_pcap) {
		cu_dump_section(&shard->buf, s->config.version);
		shard->n_bytes = shard->buf.len;
	}
	return 0;
}

int cu_shards_add(struct cu_shards *s, int64_t time_ns, const char *key, uint32_t *number, struct cu_fault *fault)
{
	if (s->n >= SHARDS_CAP) {
		return cu_fault_set(fault, CU_ERR_RANGE, "there are more than %d shards", SHARDS_CAP);
	}
	if (!make_path(s, time_ns, key)) {
		return cu_fault_set(fault, CU_ERR_RANGE, "%s: %s", s->config.pattern, strerror(ENAMETOOLONG));
	}
	int rc = check_path(s, fault);
	if (rc == 0) {
		rc = make_room(s, fault);
	}
	if (rc < 0) {
		return rc;
	}
	struct shard *shard = new_shard(s->path);
	if (shard == NULL || !cu_grow((void **)&s->all, &s->all_cap, s->n, sizeof(struct shard *))) {
		free_shard(shard);
		return cu_fault_set(fault, CU_ERR_NOMEM, "no memory for another shard");
	}
	*number = (uint32_t)s->n;
	return create(s, shard, fault);
}

/* ------------------------------------------------------------------- write */

static uint32_t interface_tag(const struct cu_shards *s, uint32_t number, uint16_t input)
{
	uint64_t key = (uint64_t)input << 32 | number;
	return cu_index_tag(cu_hash_mix(cu_hash_mix(key ^ s->seed.k[0], s->seed.k[1]), s->seed.k[0] | 1));
}

/* Makes room for another interface; false when there is no memory, or there are too many. */
static bool grow_interfaces(struct shard *shard)
{
	if (shard->n_interfaces < shard->interfaces_cap) {
		return true;
	}
	/* most shards have one */
	size_t cap = shard->interfaces_cap != 0 ? shard->interfaces_cap * 4 : 1;
	if (cap > INTERFACES_CAP) {
		return false;
	}
	struct local_interface *bigger = reallocarray(shard->interfaces, cap, sizeof(*bigger));
	if (bigger == NULL) {
		return false;
	}
	shard->interfaces = bigger;
	shard->interfaces_cap = cap;
	return true;
}

/* The shard's number for an interface of an input; -1 when it has none yet. */
static int64_t find_local(const struct cu_shards *s, const struct shard *shard, uint32_t number, uint16_t input)
{
	uint32_t tag = interface_tag(s, number, input);
	for (uint32_t i = tag, at; (at = cu_index_walk(&shard->index, tag, &i)) != 0;) {
		const struct local_interface *local = &shard->interfaces[at - 1];
		if (local->interface.number == number && local->input == input) {
			return at - 1;
		}
	}
	return -1;
}

static void dump_interface(struct cu_buf *buf, const struct cu_interface *interface, const struct cu_capture *capture,
                           const struct cu_packet *packet)
{
	char comment[CU_FILE_COMMENT_CAP];
	cu_file_comment(comment, cu_capture_file(capture, packet->file));
	cu_dump_interface(buf, interface, comment);
}

/* The shard's number for the packet's interface, which may begin with it; < 0 no memory. */
static int64_t local_id(struct cu_shards *s, struct shard *shard, const struct cu_capture *capture,
                        const struct cu_packet *packet, const struct cu_origin *origin)
{
	uint16_t input = origin != NULL ? origin->input : cu_capture_input(capture);
	uint32_t number = origin != NULL ? origin->interface.number : cu_capture_interface_number(capture);
	int64_t id = find_local(s, shard, number, input);
	if (id >= 0) {
		return id;
	}
	uint32_t tag = interface_tag(s, number, input);
	if (!grow_interfaces(shard) || !cu_index_add(&shard->index, tag, (uint32_t)shard->n_interfaces + 1)) {
		return CU_ERR_NOMEM;
	}
	struct local_interface *local = &shard->interfaces[shard->n_interfaces];
	if (origin != NULL) {
		local->interface = origin->interface;
	} else {
		cu_capture_interface(capture, &local->interface);
	}
	local->input = input;
	if (s->config.is_pcap && shard->n_interfaces == 0) {
		shard->is_micro = local->interface.resolution <= RESOLUTION_MICRO;
		cu_dump_pcap_header(&shard->buf, packet->linktype, local->interface.snaplen, shard->is_micro);
	} else if (!s->config.is_pcap) {
		dump_interface(&shard->buf, &local->interface, capture, packet);
	}
	return (int64_t)shard->n_interfaces++;
}

int cu_shards_put(struct cu_shards *s, uint32_t number, const struct cu_capture *capture,
                  const struct cu_packet *packet, const struct cu_origin *origin, struct cu_fault *fault)
{
	struct shard *shard = s->all[number];
	int rc = use(s, shard, fault);
	if (rc < 0) {
		return rc;
	}
	size_t before = shard->buf.len;
	int64_t id = local_id(s, shard, capture, packet, origin);
	if (id < 0) {
		return cu_fault_set(fault, CU_ERR_NOMEM, "no memory for the interfaces of a shard");
	}
	const struct cu_interface *interface = &shard->interfaces[id].interface;
	if (!s->config.is_pcap) {
		cu_dump_packet(&shard->buf, (uint32_t)id, interface, packet, cu_capture_packet_id(capture, packet));
	} else if (packet->linktype == shard->interfaces[0].interface.linktype) {
		cu_dump_pcap_packet(&shard->buf, packet, shard->is_micro);
	} else {
		s->n_left_out++;
	}
	shard->last_ns = packet->time_ns;
	s->last_ns = packet->time_ns;
	shard->n_bytes += shard->buf.len - before;
	return shard->buf.len >= s->config.buffer_bytes || shard->buf.failed ? flush(s, shard, fault) : 0;
}

/* What describes the interface of the capture's last packet takes. */
static uint64_t interface_bytes(const struct cu_capture *capture, const struct cu_packet *packet)
{
	struct cu_buf buf = {0};
	struct cu_interface interface;
	cu_capture_interface(capture, &interface);
	dump_interface(&buf, &interface, capture, packet);
	uint64_t n = buf.len;
	cu_buf_release(&buf);
	return n;
}

uint64_t cu_shards_bytes_with(const struct cu_shards *s, uint32_t number, const struct cu_capture *capture,
                              const struct cu_packet *packet)
{
	const struct shard *shard = s->all[number];
	if (s->config.is_pcap) {
		uint64_t header = shard->n_interfaces == 0 ? CU_DUMP_PCAP_HEADER_BYTES : 0;
		return shard->n_bytes + header + CU_DUMP_PCAP_PACKET_BYTES + packet->caplen;
	}
	bool is_new = find_local(s, shard, cu_capture_interface_number(capture), cu_capture_input(capture)) < 0;
	uint64_t statistics = (uint64_t)CU_DUMP_STATISTICS_BYTES * (shard->n_interfaces + is_new);
	return shard->n_bytes + (is_new ? interface_bytes(capture, packet) : 0) + CU_DUMP_PACKET_BYTES +
	       ((packet->caplen + 3) & ~3U) + statistics;
}

/* ------------------------------------------------------------------ finish */

/*
 * What no shard has said yet of the drops of a file, so that the sum over all
 * shards is right; and when what was split ended, if it did so behind the shard.
 */
static void add_statistics(struct cu_shards *s, struct shard *shard, const struct cu_capture *capture, int64_t end_ns)
{
	int64_t end_said_ns = end_ns > shard->last_ns ? end_ns : 0;
	for (size_t i = 0; i < shard->n_interfaces && !s->config.is_pcap; i++) {
		const struct local_interface *local = &shard->interfaces[i];
		uint64_t n = cu_capture_stats(capture, local->input)->n_drops;
		uint64_t *said = &s->n_drops_said[local->input];
		uint64_t n_new = n > *said ? n - *said : 0;
		if (n_new > 0 || end_said_ns != 0) {
			cu_dump_statistics(&shard->buf, (uint32_t)i, &local->interface, shard->last_ns, end_said_ns,
			                   n_new);
			*said += n_new;
			end_said_ns = 0;
		}
	}
}

/* A pcap without packets still has a file header. */
static void add_missing_header(struct cu_shards *s, struct shard *shard, const struct cu_capture *capture)
{
	enum { LINKTYPE_ETHERNET = 1 };
	if (s->config.is_pcap && shard->n_interfaces == 0) {
		const struct cu_capture_stats *stats = cu_capture_stats(capture, 0);
		uint16_t linktype = stats->format[0] != '\0' ? stats->linktype : LINKTYPE_ETHERNET;
		cu_dump_pcap_header(&shard->buf, linktype, stats->snaplen, true);
	}
}

/* Gives a file its name. An existing one is left alone, unless force is. */
static int give_name(const struct cu_shards *s, const struct shard *shard, struct cu_fault *fault)
{
	char path[PATH_MAX];
	size_t len = strlen(shard->temporary) - strlen(temporary_suffix);
	memcpy(path, shard->temporary, len);
	path[len] = '\0';
	int rc = s->config.force ? rename(shard->temporary, path)
	                         : renameat2(AT_FDCWD, shard->temporary, AT_FDCWD, path, RENAME_NOREPLACE);
	if (rc != 0 && (errno == EINVAL || errno == ENOSYS) && !s->config.force) {
		/* A file system that cannot: there is a gap between looking and renaming. */
		errno = EEXIST;
		rc = access(path, F_OK) != 0 ? rename(shard->temporary, path) : -1;
	}
	return rc != 0 ? path_fault(fault, shard, errno) : 0;
}

static void unlink_unfinished(struct cu_shards *s, struct shard *shard)
{
	*(shard->prev_unfinished != NULL ? &shard->prev_unfinished->next_unfinished : &s->unfinished) =
		shard->next_unfinished;
	if (shard->next_unfinished != NULL) {
		shard->next_unfinished->prev_unfinished = shard->prev_unfinished;
	}
}

static int finish(struct cu_shards *s, uint32_t number, const struct cu_capture *capture, int64_t end_ns,
                  struct cu_fault *fault)
{
	struct shard *shard = s->all[number];
	int rc = use(s, shard, fault);
	if (rc < 0) {
		return rc;
	}
	add_missing_header(s, shard, capture);
	add_statistics(s, shard, capture, end_ns);
	rc = close_shard(s, shard, fault);
	if (rc == 0) {
		rc = give_name(s, shard, fault);
	}
	if (rc == 0) {
		s->all[number] = NULL;
		unlink_unfinished(s, shard);
		free_shard(shard);
	}
	return rc;
}

int cu_shards_finish(struct cu_shards *s, uint32_t number, const struct cu_capture *capture, struct cu_fault *fault)
{
	return finish(s, number, capture, 0, fault);
}

int cu_shards_finish_all(struct cu_shards *s, const struct cu_capture *capture, struct cu_fault *fault)
{
	int rc = 0;
	int64_t end_ns = s->last_ns;
	for (size_t i = 0; i < cu_capture_n_inputs(capture); i++) {
		int64_t said_ns = cu_capture_stats(capture, i)->end_ns;
		end_ns = said_ns > end_ns ? said_ns : end_ns;
	}
	for (size_t i = 0; i < s->n && rc == 0; i++) {
		rc = s->all[i] != NULL ? finish(s, (uint32_t)i, capture, end_ns, fault) : 0;
	}
	return rc;
}

uint32_t cu_shards_count(const struct cu_shards *s)
{
	return (uint32_t)s->n;
}

uint64_t cu_shards_n_left_out(const struct cu_shards *s)
{
	return s->n_left_out;
}

void cu_shards_abandon(const struct cu_shards *s)
{
	for (const struct shard *shard = s->unfinished; shard != NULL; shard = shard->next_unfinished) {
		unlink(shard->temporary);
	}
}

void cu_shards_close(struct cu_shards *s)
{
	if (s == NULL) {
		return;
	}
	cu_shards_abandon(s);
	for (size_t i = 0; i < s->n; i++) {
		if (s->all[i] != NULL && s->all[i]->fd >= 0) {
			close(s->all[i]->fd);
		}
		free_shard(s->all[i]);
	}
	free(s->all);
	free(s->n_drops_said);
	ZSTD_freeCCtx(s->zstd);
	cu_buf_release(&s->compressed);
	free(s);
}
