/* apply.h - what `husk apply` would make of a document, for verbs that only look. */
#pragma once

#include "husk/plan.h"

/* The plan_decide of apply. */
struct error *apply_decide(struct plan_item *item) _must_check_;
