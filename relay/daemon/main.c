/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/cli.h"

int main(int argc, char **argv)
{
    return chq_relay_cli(argc, argv);
}
