// SPDX-License-Identifier: ISC
// jingle-relayctl setup on machines that are directories: fresh ones, the same again, and such
// where somebody has been before.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROSODY    "/etc/prosody/prosody.cfg.lua"
#define OWN        "/etc/prosody/conf.d/jingle-relay.cfg.lua"
#define HOST       "/etc/prosody/conf.d/example.cfg.lua"
#define CONFIG     "/etc/jingle-relayd/jingle-relayd.conf"
#define SECRET     "/etc/jingle-relayd/component-secret"
#define DELEGATION "/usr/lib/prosody/modules/mod_delegation/mod_delegation.lua"
#define EXTDISCO   "urn:xmpp:extdisco:2"
#define MODULE     "/usr/lib/prosody/modules/mod_jingle_relay.lua"
#define DEBIAN                                                                                     \
    "modules_enabled = { \"roster\"; --[[ VirtualHost \"chat.test\" ]] }\n"                        \
    "VirtualHost \"localhost\"\n--VirtualHost \"chat.test\"\nInclude \"conf.d/*.cfg.lua\"\n"

static char root[64];
static char said[16384];

// ---- a machine

static char *at(const char *path)
{
    static char whole[512];

    snprintf(whole, sizeof whole, "%s%s", root, path);
    return whole;
}

static void put(const char *path, const char *text)
{
    char part[512];

    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        snprintf(part, sizeof part, "%s%.*s", root, (int)(p - path), path);
        (void)mkdir(part, 0755);
    }
    FILE *f = fopen(at(path), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static const char *text_of(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(at(path), "r");

    if (!f)
        fail_msg("there is no %s; said: %s", path, said);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static bool is_there(const char *path)
{
    return access(at(path), F_OK) == 0;
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(at(path), &st), 0);
    return st.st_mode & 07777;
}

static void put_sample(void)
{
    static char text[1 << 16];
    char path[512];

    snprintf(path, sizeof path, "%s/../../conf/jingle-relayd.conf", getenv("TEST_DATA"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    put(CONFIG, text);
}

// Debian's Prosody, and the packages.
static int make(void **state)
{
    strcpy(root, "/tmp/test_setup.XXXXXX");
    assert_non_null(mkdtemp(root));
    put(PROSODY, DEBIAN);
    put("/etc/prosody/conf.d/README", "");
    put(MODULE, "");
    put_sample();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static int clean(void **state)
{
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

// ---- the tool

static int setup(const char *line)
{
    char program[] = "jingle-relayctl", verb[] = "setup", option[] = "--root";
    char copy[256], *rest = copy, *argv[16] = {program, verb};
    int argc = 2;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strsep(&rest, " "); word && argc < 12; word = strsep(&rest, " "))
        argv[argc++] = word;
    argv[argc++] = option;
    argv[argc++] = root;
    memset(said, 0, sizeof said);
    FILE *out = fmemopen(said, sizeof said, "w");
    assert_non_null(out);
    int status = ctl_main(argc, argv, out, out);
    fclose(out);
    return status;
}

static void expect_said(const char *part)
{
    if (!strstr(said, part))
        fail_msg("\"%s\" is not in: %s", part, said);
}

static void expect_in(const char *path, const char *part)
{
    if (!strstr(text_of(path), part))
        fail_msg("\"%s\" is not in %s: %s", part, path, text_of(path));
}

// ---- tests

static void a_fresh_machine_is_ready(void **state)
{
    char secret[128], line[256];

    assert_int_equal(setup("chat.test"), CTL_OK);
    snprintf(secret, sizeof secret, "%s", text_of(SECRET));
    assert_int_equal(strlen(secret), 64);
    assert_int_equal(mode_of(SECRET), 0600);
    expect_in(CONFIG, "\n    domain = \"relay.chat.test\";\n");
    expect_in(CONFIG, "\n    served_domains = [ \"chat.test\" ];\n");
    snprintf(line, sizeof line,
             "\nComponent \"relay.chat.test\"\n    component_secret = \"%s\"\n\n"
             "VirtualHost \"chat.test\"\n    modules_enabled = { \"jingle_relay\" }\n"
             "    jingle_relay_component = \"relay.chat.test\"\n",
             secret);
    expect_in(OWN, line);
    assert_int_equal(mode_of(OWN), 0640);
    expect_said("systemctl restart prosody\n    systemctl enable --now jingle-relayd\n    "
                "jingle-relayctl doctor\n");
    expect_said("no other file of Prosody has VirtualHost \"chat.test\"");
    assert_null(strstr(said, secret)); // it does not have to be copied, so nobody is to see it
}

static void again_nothing_changes(void **state)
{
    static char before[3][1 << 16];
    static const char *const paths[] = {SECRET, CONFIG, OWN};

    assert_int_equal(setup("chat.test"), CTL_OK);
    for (int i = 0; i < 3; i++)
        strcpy(before[i], text_of(paths[i]));
    assert_int_equal(setup("chat.test"), CTL_OK);
    for (int i = 0; i < 3; i++)
        assert_string_equal(text_of(paths[i]), before[i]);
    assert_null(strstr(said, "made "));
    assert_null(strstr(said, "changed "));
}

static void a_dry_run_only_tells(void **state)
{
    static char before[1 << 16];

    strcpy(before, text_of(CONFIG));
    assert_int_equal(setup("chat.test --dry-run"), CTL_OK);
    expect_said("to make    " OWN);
    expect_said("to change  " CONFIG);
    expect_said("Nothing was changed");
    assert_false(is_there(SECRET));
    assert_false(is_there(OWN));
    assert_string_equal(text_of(CONFIG), before);
}

static void a_host_with_modules_keeps_them(void **state)
{
    put(HOST, "-- ours\nVirtualHost(\"chat.test\")\n  modules_enabled = {\n    \"muc\";\n  }\n");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said(HOST ", line 3");
    expect_said("modules_enabled = { \"jingle_relay\";");
    assert_null(strstr(text_of(OWN), "modules_enabled"));
    expect_in(OWN, "jingle_relay_component = \"relay.chat.test\"");
    assert_null(strstr(said, "no other file"));

    put(HOST, "VirtualHost \"chat.test\"\nmodules_enabled = { 'jingle_relay', \"muc\" }\n");
    assert_int_equal(setup("chat.test"), CTL_OK);
}

static void modules_of_others_do_not_matter(void **state)
{
    put(HOST, "VirtualHost \"other.test\" modules_enabled = { \"x\" }\nVirtualHost \"chat.test\"\n"
              "s = [==[ modules_enabled = { ]] } ]==] t = \"modules_enabled = {\"\n"
              "Component \"muc.chat.test\" \"muc\"\nmodules_enabled = { \"muc_mam\" }\n");
    assert_int_equal(setup("chat.test"), CTL_OK);
    expect_in(OWN, "modules_enabled = { \"jingle_relay\" }");
}

static void another_component_is_left_alone(void **state)
{
    put(SECRET, "0123456789abcdef\n");
    put(HOST, "VirtualHost \"chat.test\"\nComponent \"relay.chat.test\"\n"
              "  component_secret = \"0123456789abcdef\"\n");
    assert_int_equal(setup("chat.test"), CTL_OK);
    assert_null(strstr(text_of(OWN), "Component \""));
    put(SECRET, "fedcba9876543210\n");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said(HOST ", line 2, has another secret");
    expect_said("component_secret = \"fedcba9876543210\"");
}

static void files_of_others_are_left_alone(void **state)
{
    put(OWN, "-- mine\n");
    put(CONFIG, "xmpp = { domain = \"r.chat.test\"; served_domains = [ \"a.test\" ]; };\n");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    assert_string_equal(text_of(OWN), "-- mine\n");
    expect_said(OWN " is not from here");
    expect_said("Component \"r.chat.test\"");
    expect_said("add \"chat.test\" to xmpp.served_domains");
    expect_in(CONFIG, "[ \"a.test\" ]");

    assert_int_equal(setup("chat.test --component relay.chat.test"), CTL_PROBLEM);
    expect_said("has xmpp.domain = \"r.chat.test\"; you asked for \"relay.chat.test\"");
}

// What was made for one domain is not overwritten for the next.
static void a_second_domain_is_by_hand(void **state)
{
    assert_int_equal(setup("chat.test"), CTL_OK);
    assert_int_equal(setup("more.test"), CTL_PROBLEM);
    expect_in(OWN, "VirtualHost \"chat.test\"");
    expect_said("VirtualHost \"more.test\"");
    expect_said("add \"more.test\" to xmpp.served_domains");
    expect_said("jingle_relay_component = \"relay.chat.test\"");
}

static void what_lacks_is_named(void **state)
{
    put(PROSODY, "VirtualHost \"chat.test\"\n");
    assert_int_equal(unlink(at(MODULE)), 0);
    assert_int_equal(unlink(at(CONFIG)), 0);
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said("install the package prosody-mod-jingle-relay");
    expect_said("Include \"conf.d/*.cfg.lua\"");
    expect_in(CONFIG, "domain = \"relay.chat.test\";");
}

// One command, and no second secret.
static void turn_on_top(void **state)
{
    static char before[1 << 16];

    assert_int_equal(setup("chat.test"), CTL_OK);
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    expect_said("apt install prosody-modules");
    put(DELEGATION, "");
    assert_int_equal(setup("chat.test --turn"), CTL_OK);
    expect_said("as it was  " CONFIG ": TURN is on");
    expect_said("systemctl restart jingle-relayd");
    expect_in(CONFIG, "turn = {\n");
    expect_in(CONFIG, "\n    enabled = true;\n");
    expect_in(CONFIG, "\n    # enabled = true;\n"); // of another group
    expect_in(OWN, "modules_enabled = { \"jingle_relay\", \"delegation\" }");
    expect_in(OWN, "[\"urn:xmpp:extdisco:2\"] = { jid = \"relay.chat.test\" };");
    expect_in(OWN, "\n    modules_enabled = { \"delegation\" }\n\nVirtualHost");
    strcpy(before, text_of(OWN));
    assert_int_equal(setup("chat.test"), CTL_OK);
    assert_string_equal(text_of(OWN), before);

    assert_int_equal(unlink(at(CONFIG)), 0); // all at once
    assert_int_equal(unlink(at(OWN)), 0);
    assert_int_equal(setup("chat.test --turn"), CTL_OK);
    assert_string_equal(text_of(OWN), before);
    expect_in(CONFIG, "turn = {\n    enabled = true;\n};\n");
    put_sample();
    assert_int_equal(setup("chat.test --turn --dry-run"), CTL_OK);
    expect_in(CONFIG, "example.org");
}

// Each is told where it stands, and nothing is said of it afterwards.
static void turn_beside_what_prosody_has(void **state)
{
    put("/opt/modules/mod_delegation.lua", "");
    put(PROSODY, "plugin_paths = { \"/opt/other\", '/opt/modules' }\n"
                 "modules_enabled = { \"roster\";\n \"turn_external\" }\n" DEBIAN);
    put(HOST,
        "VirtualHost \"chat.test\"\n"
        "delegations = { [\"urn:xmpp:mam:2\"] = { jid = \"mam.test\" } } x = \"" EXTDISCO "\"\n"
        "Component \"relay.chat.test\"\ncomponent_secret = \"0123456789abcdef\"\n"
        "modules_enabled = { \"x\" }\n");
    put(SECRET, "0123456789abcdef");
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    expect_said("add to \"delegations\" in " HOST ", line 2\n\n    [\"" EXTDISCO
                "\"] = { jid = \"relay.chat.test\" };\n");
    expect_said("add the name in " HOST ", line 5, so that it begins\n\n"
                "    modules_enabled = { \"delegation\";\n");
    expect_said("below VirtualHost \"chat.test\" add, since by " PROSODY ", line 3,");
    assert_null(strstr(said, "lacks mod_delegation"));
    assert_null(strstr(text_of(OWN), "delegations ="));
    expect_in(OWN, "modules_enabled = { \"jingle_relay\", \"delegation\" }");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM); // it stays with TURN
    expect_in(OWN, "modules_enabled = { \"jingle_relay\", \"delegation\" }");

    put(PROSODY, "plugin_paths = \"/opt/modules\"\n" DEBIAN);
    put(HOST, "VirtualHost \"other.test\"\nmodules_enabled = { \"turn_external\" }\n"
              "VirtualHost \"chat.test\"\n"
              "delegations = { [\"" EXTDISCO "\"] = { jid = \"relay.chat.test\" } }\n"
              "Component \"relay.chat.test\"\ncomponent_secret = \"0123456789abcdef\"\n"
              "modules_enabled = { \"x\", \"delegation\" }\n");
    assert_int_equal(setup("chat.test --turn"), CTL_OK);
}

// Not for the other hosts' sake: what the host has of its own takes the place of what is for all.
static void turn_beside_what_is_for_all_hosts(void **state)
{
    put(DELEGATION, "");
    put_sample();
    put(PROSODY, "modules_enabled = { \"turn_external\" }\n"
                 "delegations = { [\"urn:xmpp:mam:2\"] = { jid = \"mam.test\" } }\n" DEBIAN);
    put(HOST, "VirtualHost \"chat.test\"\n");
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    expect_said("add to \"delegations\" in " PROSODY ", line 2\n");
    expect_said("below VirtualHost \"chat.test\" add, since by " PROSODY ", line 1,");
    assert_null(strstr(text_of(OWN), "delegations ="));
    put(HOST, "VirtualHost \"chat.test\"\nmodules_enabled = { \"external_services\" }\n");
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    expect_said("remove turn_external and external_services from " HOST ", line 2:");
    put(HOST, "VirtualHost \"chat.test\"\n"
              "modules_disabled = { \"turn_external\"; \"external_services\" }\n"
              "delegations = { [\"" EXTDISCO "\"] = { jid = \"relay.chat.test\" } }\n");
    assert_int_equal(setup("chat.test --turn"), CTL_OK);
}

// What stands behind it is read nevertheless.
static void a_list_that_only_lua_knows(void **state)
{
    put(PROSODY, "local mine = require \"mine\"\nmodules_enabled = mine\n" DEBIAN);
    put(HOST, "VirtualHost \"chat.test\"\nmodules_enabled = { \"mam\" }\n");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said(HOST ", line 2");
    assert_null(strstr(text_of(OWN), "modules_enabled = { \"jingle_relay\""));
}

// In a file of its own, as the documentation has it; a comment is none.
static void turn_in_what_ejabberd_includes(void **state)
{
    put("/etc/ejabberd/ejabberd.yml", "#include_config_file: [\"/etc/ejabberd/turn.yml\"]\n"
                                      "ejabberd_service relay.chat.test mod_jingle_relay\n"
                                      "modules:\n  mod_delegation: {\"urn:xmpp:mam:2\": {}}\n");
    put("/etc/ejabberd/turn.yml", "modules:\n  # mod_stun_disco:\n  mod_delegation:\n"
                                  "    namespaces:\n      \"" EXTDISCO "\": {access: relay}\n");
    assert_int_equal(setup("chat.test --turn --server ejabberd"), CTL_PROBLEM);
    expect_said("\"" EXTDISCO "\": {access: relay}\n");
    put("/etc/ejabberd/ejabberd.yml", "include_config_file:\n  - turn.yml\n  - no.yml\n"
                                      "ejabberd_service relay.chat.test mod_jingle_relay\n");
    assert_int_equal(setup("chat.test --turn --server ejabberd"), CTL_OK);
    put("/etc/ejabberd/turn.yml", "modules:\n  mod_stun_disco: {}\n");
    assert_int_equal(setup("chat.test --turn --server ejabberd"), CTL_PROBLEM);
    expect_said("remove \"mod_stun_disco\"");
    assert_null(strstr(said, "ejabberd_stun"));
    put("/etc/ejabberd/turn.yml", "listen:\n  - port: 3478\n    module: ejabberd_stun\n");
    assert_int_equal(setup("chat.test --turn --server ejabberd"), CTL_PROBLEM);
    expect_said("remove the entry with \"module: ejabberd_stun\"");
}

// Who has turned it off beside the sample's comment gets no second line of that name.
static void turn_that_is_off_stays_one_line(void **state)
{
    static const char text[] =
        "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ]; };\n"
        "turn = {\n    # enabled = true;\n    enabled = false;\n};\n";

    put(DELEGATION, "");
    put(CONFIG, text);
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    assert_string_equal(text_of(CONFIG), text);
    expect_said("the group \"turn\" has to have\n\n    enabled = true;\n");
    put(CONFIG, "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ]; };\n");
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    expect_said("add to " CONFIG "\n\n    turn = { enabled = true; };\n");
}

// The daemon reads it there: another one would lock it out.
static void the_secret_is_where_the_configuration_says(void **state)
{
    put(CONFIG, "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ];\n"
                "secret_file = \"/etc/jingle-relayd/mine\"; };\n");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said("/etc/jingle-relayd/mine cannot be used: No such file");
    put("/etc/jingle-relayd/mine", "fedcba9876543210\n");
    assert_int_equal(setup("chat.test"), CTL_OK);
    expect_in(OWN, "component_secret = \"fedcba9876543210\"");
    put(CONFIG, "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ];\n"
                "secret = \"0123456789abcdef\"; };\n");
    assert_int_equal(setup("chat.test"), CTL_OK);
    expect_in(OWN, "component_secret = \"0123456789abcdef\"");
    put(CONFIG, "@include \"more.conf\"\n");
    put("/etc/jingle-relayd/more.conf",
        "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ];\n"
        "secret = \"0123456789abcdef\"; };\n");
    assert_int_equal(setup("chat.test"), CTL_OK);
    assert_false(is_there(SECRET));
}

static void a_link_that_leads_nowhere_stays(void **state)
{
    struct stat st;

    assert_int_equal(unlink(at(CONFIG)), 0);
    assert_int_equal(symlink("nowhere.conf", at(CONFIG)), 0);
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    assert_int_equal(lstat(at(CONFIG), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

// It may hold a secret, or be kept elsewhere.
static void a_file_keeps_its_mode_and_its_place(void **state)
{
    struct stat st;
    char real[512];

    snprintf(real, sizeof real, "%s", at("/etc/jingle-relayd/kept.conf"));
    assert_int_equal(rename(at(CONFIG), real), 0);
    assert_int_equal(symlink("kept.conf", at(CONFIG)), 0);
    assert_int_equal(chmod(real, 0640), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(real, 12, 34), 0);
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM); // without mod_delegation
    expect_said("changed    " CONFIG ": TURN is turned on");
    assert_int_equal(lstat(at(CONFIG), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_in("/etc/jingle-relayd/kept.conf", "domain = \"relay.chat.test\";");
    assert_int_equal(stat(real, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    if (geteuid() == 0) {
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_gid, 34);
    }
}

static void turn_beside_what_others_wrote(void **state)
{
    put(DELEGATION, "");
    put(CONFIG, "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ]; };\n"
                "turn = { host = \"turn.chat.test\"; };\n");
    put(HOST, "VirtualHost \"chat.test\"\nmodules_enabled = { \"jingle_relay\" }\n"
              "Component \"relay.chat.test\"\ncomponent_secret = \"0123456789abcdef\"\n");
    put(SECRET, "0123456789abcdef");
    assert_int_equal(setup("chat.test --turn"), CTL_PROBLEM);
    expect_said("the group \"turn\" has to have\n\n    enabled = true;\n");
    assert_null(strstr(said, "turn = {"));
    expect_said(HOST ", line 2, so that it begins\n\n    modules_enabled = { \"delegation\";");
    expect_said("below the component in " HOST ", line 3, add");
    put(CONFIG, "xmpp = { domain = \"relay.chat.test\"; served_domains = [ \"chat.test\" ]; };\n"
                "turn = { enabled = true; };\n");
    put(HOST, "VirtualHost \"chat.test\"\nmodules_enabled = { \"jingle_relay\", \"delegation\" }\n"
              "Component \"relay.chat.test\"\ncomponent_secret = \"0123456789abcdef\"\n"
              "modules_enabled = { \"delegation\" }\n");
    assert_int_equal(setup("chat.test --turn"), CTL_OK);
    expect_in(OWN, "delegations = {");

    put("/etc/ejabberd/ejabberd.yml", "ejabberd_service relay.chat.test mod_jingle_relay");
    assert_int_equal(setup("chat.test --turn --server ejabberd"), CTL_PROBLEM);
    expect_said("    server: relay.chat.test\n");
    expect_said("\"urn:xmpp:extdisco:2\": {access: relay}");
}

static void ejabberd_is_told_by_hand(void **state)
{
    put("/etc/ejabberd/ejabberd.yml", "listen:\n");
    assert_int_equal(setup("chat.test"), CTL_USAGE);
    expect_said("say which one by --server");
    assert_false(is_there(SECRET));
    assert_int_equal(setup("chat.test --server ejabberd"), CTL_PROBLEM);
    expect_said("      relay.chat.test:\n            password: \"");
    expect_said("chown -R ejabberd: ~ejabberd/.ejabberd-modules\n    ejabberdctl module_install");
    expect_said("ejabberdctl reload_config");
    assert_false(is_there(OWN));
    put("/etc/ejabberd/ejabberd.yml", "ejabberd_service relay.chat.test mod_jingle_relay");
    assert_int_equal(setup("chat.test --server=ejabberd"), CTL_OK);
}

static void wrong_words_are_refused(void **state)
{
    static const char *const lines[] = {
        "Chat.Test",           "chat.test\"x",          "me@chat.test", "a.test b.test",
        "a.test --frobnicate", "a.test --server nginx", "--dry-run",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(setup(lines[i]), CTL_USAGE);
        expect_said("Usage: jingle-relayctl setup");
    }
    put(SECRET, "\n");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said("component-secret cannot be used");
    put(SECRET, "0123456789abcdef");
    put(CONFIG, "xmpp = {");
    assert_int_equal(setup("chat.test"), CTL_PROBLEM);
    expect_said("--check-config");
    assert_false(is_there(OWN));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_machine_is_ready),
        TEST(again_nothing_changes),
        TEST(a_dry_run_only_tells),
        TEST(a_host_with_modules_keeps_them),
        TEST(modules_of_others_do_not_matter),
        TEST(another_component_is_left_alone),
        TEST(files_of_others_are_left_alone),
        TEST(a_second_domain_is_by_hand),
        TEST(what_lacks_is_named),
        TEST(turn_on_top),
        TEST(a_file_keeps_its_mode_and_its_place),
        TEST(turn_that_is_off_stays_one_line),
        TEST(the_secret_is_where_the_configuration_says),
        TEST(turn_beside_what_prosody_has),
        TEST(turn_in_what_ejabberd_includes),
        TEST(turn_beside_what_others_wrote),
        TEST(turn_beside_what_is_for_all_hosts),
        TEST(a_list_that_only_lua_knows),
        TEST(a_link_that_leads_nowhere_stays),
        TEST(ejabberd_is_told_by_hand),
        TEST(wrong_words_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
