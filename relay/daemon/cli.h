/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_CLI_H
#define CHQ_RELAY_DAEMON_CLI_H

/* The command line of chasqui-relay; returns the exit status: 0 fine, 1 failed, 2 wrong usage. */
int chq_relay_cli(int argc, char **argv);

#endif
