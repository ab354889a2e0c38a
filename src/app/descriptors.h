// SPDX-License-Identifier: ISC
// How many descriptors this process may have.
#pragma once

// Raises the limit as far as it goes, if it is below 'wanted'; warns if that is not far enough.
void descriptors_allow(unsigned long wanted);
