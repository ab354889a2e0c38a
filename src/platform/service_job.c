// SPDX-License-Identifier: ISC
// Is the end that the service manager asks for a stop, or one half of a restart? A signal does not
// tell; systemd knows by the job that it runs on the unit (org.freedesktop.systemd1(5)).
#include "service_job.h"

#include "base/log.h"
#include "platform/service.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// systemd 254 and later say so by themselves, the unit does for older ones.
static bool has_fd_store(void)
{
    const char *room = getenv("FDSTORE");

    return getenv("NOTIFY_SOCKET") && room && strtoul(room, NULL, 10) > 0;
}

#ifdef HAVE_SYSTEMD

#include <errno.h>
#include <systemd/sd-bus.h>

#define SYSTEMD     "org.freedesktop.systemd1"
#define ANSWER_USEC 500000u // that the bus may take; nobody forwards anything meanwhile

// The bus knows whose question it is. The unit's own name would be in /proc, but to find where
// names begin libsystemd looks at process 1, which ProtectProc= hides. Returns 0 or -errno.
static int own_unit(sd_bus *bus, char *ret_path, size_t size)
{
    sd_bus_message *reply = NULL;
    const char *path;
    int r = sd_bus_call_method(bus, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager",
                               "GetUnitByPID", NULL, &reply, "u", 0u);

    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    if (r >= 0 && strlen(path) >= size)
        r = -ENAMETOOLONG;
    if (r >= 0)
        memcpy(ret_path, path, strlen(path) + 1);
    sd_bus_message_unref(reply);
    return r < 0 ? r : 0;
}

// The path of the job that the unit has, or "" without one. Returns 0 or -errno.
static int job_of(sd_bus *bus, const char *unit, char *ret_path, size_t size)
{
    sd_bus_message *reply = NULL;
    const char *job;
    uint32_t id;
    int r = sd_bus_get_property(bus, SYSTEMD, unit, SYSTEMD ".Unit", "Job", NULL, &reply, "(uo)");

    if (r >= 0)
        r = sd_bus_message_read(reply, "(uo)", &id, &job);
    if (r >= 0 && (id == 0 || strlen(job) >= size))
        job = "";
    if (r >= 0)
        memcpy(ret_path, job, strlen(job) + 1);
    sd_bus_message_unref(reply);
    return r < 0 ? r : 0;
}

// Whether this unit's job is a restart: 0, 1, or -errno.
static int ask(sd_bus *bus)
{
    char unit[512], path[256], *type = NULL;
    int r = own_unit(bus, unit, sizeof unit);

    if (r == 0)
        r = job_of(bus, unit, path, sizeof path);
    if (r < 0 || path[0] == '\0')
        return r;
    r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Job", "JobType", NULL, &type);
    if (r >= 0)
        r = strstr(type, "restart") != NULL; // "try-restart" and "reload-or-restart" as well
    free(type);
    return r;
}

int service_ask_restarting(void)
{
    sd_bus *bus = NULL;
    int r = sd_bus_open_system(&bus);

    if (r >= 0)
        r = sd_bus_set_method_call_timeout(bus, ANSWER_USEC);
    if (r >= 0)
        r = ask(bus);
    sd_bus_flush_close_unref(bus);
    return r;
}

bool service_restarting(void)
{
    int r = has_fd_store() ? service_ask_restarting() : 0;

    if (r < 0)
        log_info("systemd does not say whether this is a stop or a restart: %s", strerror(-r));
    return r != 0;
}

#else

bool service_restarting(void)
{
    return has_fd_store();
}

#endif
