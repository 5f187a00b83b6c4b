/*
 * What the core did to the ring, in order: looking at a rig's trace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

void rig_trace(Rig *r)
{
    if (!r->trace) {
        r->trace = g_array_new(false, false, sizeof(RigEvent));
    }
    g_array_set_size(r->trace, 0);
}

int rig_seen(Rig *r, unsigned kind, unsigned area, uint32_t ofs,
             unsigned nth)
{
    for (unsigned i = 0; i < r->trace->len; i++) {
        RigEvent *e = &g_array_index(r->trace, RigEvent, i);

        if (e->kind == kind && (kind == RIG_FENCE || e->area == area) &&
            ofs >= e->ofs && ofs < e->ofs + MAX(e->n, 1) && !nth--) {
            return i;
        }
    }
    return -1;
}

unsigned rig_count(Rig *r, unsigned kind, unsigned area, uint32_t from,
                   uint32_t to)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->trace->len; i++) {
        RigEvent *e = &g_array_index(r->trace, RigEvent, i);

        n += e->kind == kind && e->area == area && e->ofs >= from &&
             e->ofs < to;
    }
    return n;
}

bool rig_fenced(Rig *r, int from, int to, int order)
{
    for (int i = from + 1; i < to; i++) {
        RigEvent *e = &g_array_index(r->trace, RigEvent, i);

        if (e->kind == RIG_FENCE &&
            ((int)e->ofs == order || (int)e->ofs == __ATOMIC_SEQ_CST)) {
            return true;
        }
    }
    return false;
}
