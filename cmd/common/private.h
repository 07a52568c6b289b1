/*
 * What the parts of cmd/common know of each other.
 */
#ifndef CU_CMD_PRIVATE_H
#define CU_CMD_PRIVATE_H

#include "cmd/common/common.h"

/* The running program, from prog_start. */
extern const struct prog_spec *prog_spec;

/* Writes the usage, with its newline: to standard error in one line, to standard output in lines that fit. */
void prog_print_usage(bool to_stderr);

/* Takes the progress line off the terminal. */
void prog_progress_clear(void);

/* Frees what the options' lists hold. */
void prog_options_release(void);

#endif
