/*
 * The dispatcher's parts.
 */
#ifndef CU_CMD_CULPRIT_H
#define CU_CMD_CULPRIT_H

/* The folder of the stages' programs, with an absolute path; exits when there is none. */
const char *culprit_exec_path(void);

/* culprit run; argv[0] is "run". Returns the exit status. */
int culprit_run(int argc, char **argv);

#endif
