// SPDX-License-Identifier: ISC
// jingle-relayctl setup DOMAIN: from an installed package to a configured relay. It makes the
// shared secret, fills in the daemon's configuration, and tells the XMPP server of the relay.
//
// It runs without the daemon. A file that it did not make is never overwritten: what would have to
// be changed in there is printed instead, and counted. Run again it changes nothing.
#pragma once

#include "ctl.h"

#include "base/buf.h"

#include <libconfig.h>
#include <sys/types.h>

#define SETUP_PATH_MAX 512
#define SETUP_NAME_MAX 256

enum setup_server { SETUP_UNKNOWN, SETUP_PROSODY, SETUP_EJABBERD };

struct setup {
    struct ctl *ctl;
    const char *domain;             // whose users are served
    char component[SETUP_NAME_MAX]; // the relay's name; "": not known yet
    bool component_given;
    const char *root; // before every path; "" but in tests
    enum setup_server server;
    bool turn;        // STUN and TURN, too
    bool dry;         // only tell
    char *secret;     // of the component; owned
    unsigned by_hand; // things that are left to a person
    bool failed;      // something that should have worked
};

// ---- setup_file.c

// Returns 0, -ENOENT or what the system said. The caller frees '*ret_text'.
int setup_read(const struct setup *setup, const char *path, char **ret_text);
bool setup_exists(const struct setup *setup, const char *path);
// A file in the syntax of the daemon's configuration, with all that it includes. Returns 0 or
// -errno, -EINVAL if it is no such; the caller destroys '*ret_parsed' in either case.
int setup_parse(const struct setup *setup, const char *path, config_t *ret_parsed);
// Puts a file in its place as a whole, and tells; what is wrong is told, too. 'mode' and 'group'
// (may be NULL) are for a new file: one that is there keeps its mode, its owner and its group.
void setup_write(struct setup *setup, const char *path, const char *text, mode_t mode,
                 const char *group, const char *what);
void setup_unchanged(struct setup *setup, const char *path, const char *what);
// Something that is left to a person: a sentence, and the lines for it (NULL: none).
void setup_by_hand(struct setup *setup, const char *lines, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// ---- a file each

void setup_secret(struct setup *setup);        // reads it where the daemon does, or makes it
void setup_configuration(struct setup *setup); // of the daemon; finds the component's name
void setup_prosody(struct setup *setup);
void setup_ejabberd(struct setup *setup);

// ---- setup_prosody_read.c

// What Prosody's configuration says, with all that it includes.
struct setup_prosody {
    bool host;                 // the domain is a VirtualHost of it
    bool included;             // a file at 'own' would be read
    bool module;               // the host loads ours
    bool component_of_host;    // jingle_relay_component is set there
    bool delegation;           // the host loads mod_delegation,
    bool services;             // it hands the question for STUN and TURN to somebody,
    bool component_delegation; // and the component loads it, too
    bool has_relay;            // Prosody finds mod_jingle_relay,
    bool has_delegation;       // and mod_delegation
    char list_file[SETUP_PATH_MAX];
    unsigned list_line; // modules_enabled of the host; 0: none
    char delegations_file[SETUP_PATH_MAX];
    unsigned delegations_line; // those that the host has, its own or those for all; 0: none
    char own_services_file[SETUP_PATH_MAX];
    unsigned own_services_line; // where Prosody answers that question by itself; 0: nowhere
    bool own_services_for_all;  // that is the part for all hosts
    bool services_disabled;     // ... but not by this one (modules_disabled)
    char component_file[SETUP_PATH_MAX];
    unsigned component_line;      // the component; 0: none
    unsigned component_list_line; // its modules_enabled, in the same file; 0: none
    char secret[SETUP_NAME_MAX];  // that it has there
};

// 'own' is not looked into. Returns 0, or -ENOENT without a configuration.
int setup_prosody_read(const struct setup *setup, const char *path, const char *own,
                       struct setup_prosody *ret_found);

// ---- setup_turn.c

void setup_turn_configuration(struct setup *setup);
bool setup_turn_in_prosody(const struct setup *setup); // our file has it already
void setup_turn_put_host(const struct setup *setup, struct buf *out);
bool setup_turn_is_handed_over(const char *text); // the namespace is named
void setup_turn_prosody(struct setup *setup, const struct setup_prosody *found); // what lacks
void setup_turn_ejabberd(struct setup *setup, const char *text);
