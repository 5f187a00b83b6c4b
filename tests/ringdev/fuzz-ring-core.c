/*
 * Fuzz target: the ring core against a hostile driver; see hostile.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fuzz-ring.h"
#include "hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hostile_run(data, size, NULL);
    return 0;
}
