// SPDX-License-Identifier: ISC
// What service_restarting() asks systemd, by itself; for the tests.
#pragma once

// Whether the job that systemd runs on this process's unit now is a restart: 1, 0 (another, or
// none), or -errno.
int service_ask_restarting(void);
