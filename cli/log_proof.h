/* The words behind `log` that are about proofs. Internal to cli/. */
#ifndef DBK_CLI_LOG_PROOF_H
#define DBK_CLI_LOG_PROOF_H

#include "cli/cli.h"

bool dbk_log_proof_is(const dbk_cli *cli); /* the first word is one of them, and no store */
int dbk_log_proof_run(dbk_cli *cli);       /* what `log` is then; the exit code */

#endif
