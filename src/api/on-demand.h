/* on-demand.h - objects that a table of this layer needs are read by somebody above it, when the table is first asked.
 */
#pragma once

#include <stddef.h>

struct on_demand {
        void (*load)(void *arg); /* fills the table; NULL: done, or nothing to read */
        void *arg;
};

/* Calls it once. It will add to the table itself, which asks here again: so it is forgotten first. */
static inline void on_demand_load(struct on_demand *d) {
        void (*load)(void *arg) = d->load;

        d->load = NULL;
        if (load)
                load(d->arg);
}
