// SPDX-License-Identifier: ISC
// The line that the log has of each call at its end.
#pragma once

#include "obs/report.h"

void call_line_log(const struct call_report *report, usec_t now);
