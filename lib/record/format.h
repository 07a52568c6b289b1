/*
 * The framing of the record stream, as flowrec(5) has it: what writer and
 * reader share.
 */
#ifndef CU_RECORD_FORMAT_H
#define CU_RECORD_FORMAT_H

#include <stdint.h>

/* As PNG's: a byte no text has, a name, and line ends that a text-mode copy would change. */
#define CU_STREAM_MAGIC \
	"\x89"          \
	"CFL\r\n\x1a\n"

enum {
	CU_MAGIC_LEN = 8,
	/* magic 8, major 2, minor 2, metadata length 4, CRC-32C of the metadata 4 */
	CU_HEADER_LEN = 20,
	CU_METADATA_CAP = 4 << 20,
	/* type 1, flags 1, reserved 2, records 4, raw length 4, stored length 4, CRC-32C of what is stored 4 */
	CU_BLOCK_HEADER_LEN = 20,
};

enum cu_block_type {
	CU_BLOCK_RECORDS = 1,
	CU_BLOCK_TRAILER = 2, /* payload: blocks 8, records 8 */
};

/* Flags. */
enum {
	CU_BLOCK_ZSTD = 1,    /* what is stored is one zstd frame */
	CU_BLOCK_COLUMNS = 2, /* and what is in that the records in columns */
};
enum { CU_TRAILER_LEN = 16 };

/* Tags of the header's metadata: varint tag, varint length, bytes. */
enum cu_metadata_tag {
	CU_META_TOOL = 1, /* text */
	CU_META_FILE = 2, /* varint linktype, varint snaplen, path; one for each input */
	CU_META_KIND = 3, /* varint kind, name; one for each kind of record that may follow */
};

/* The name of a kind of record, or NULL: for refusing unknown ones by name. */
const char *cu_record_kind_name(unsigned kind);

#endif
