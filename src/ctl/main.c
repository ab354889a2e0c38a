// SPDX-License-Identifier: ISC
// The program jingle-relayctl.
#include "ctl.h"

#include <signal.h>

int main(int argc, char *argv[])
{
    (void)signal(SIGPIPE, SIG_IGN); // a daemon that ends is an error to tell
    return ctl_main(argc, argv, stdout, stderr);
}
