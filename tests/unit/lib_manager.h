// SPDX-License-Identifier: ISC
// A service manager with an fd store, as systemd has one (sd_notify(3)), for a test.
#pragma once

#include "platform/handover.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/un.h>

enum { KEPT_MAX = 1500, DESCRIPTORS = 8192 };

struct manager { // of one service, with room for so many descriptors
    int socket;
    struct sockaddr_un address;
    int room;
    int fd[KEPT_MAX];
    char name[KEPT_MAX][32];
    int kept;
    bool deaf; // it removes nothing
    int removals, barriers;
    rlim_t descriptors;   // that the service may have; 0: as many as we
    pthread_mutex_t lock; // of what is kept
    pthread_t thread;
};

void manager_start(struct manager *m, int room); // and sets $NOTIFY_SOCKET
void manager_has(struct manager *m, int fd, const char *name);
int kept_by(struct manager *m);
void manager_stop(struct manager *m); // what it keeps can be looked at
void manager_forget(struct manager *m);

// In a process of its own, with what the manager keeps from descriptor 3 on, the last first, as
// systemd does it. 'check' says with which status it ends.
int successor(struct manager *m, int (*check)(struct handover *, void *), void *arg);
