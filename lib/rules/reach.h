/*
 * Which rules can be reached: that their condition can be true, and that no
 * earlier rule takes all that they match.
 */
#ifndef CU_RULES_REACH_H
#define CU_RULES_REACH_H

#include "lib/rules/internal.h"

/*
 * Warns of rules that can never match, and of those that an earlier rule of
 * their file shadows. known has a true for each active rule of which it is
 * known already that it can never match. After all rules are compiled; gives up
 * in silence where there are too many rules and cases.
 */
void cu_warn_unreachable(struct cu_rules *rules, const bool *known);

#endif
