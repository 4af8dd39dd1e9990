/* classes.h - the classes that pods name (PriorityClass, RuntimeClass), as the node's store has them. */
#pragma once

#include "store/store.h"

/* Makes the PriorityClasses of the store known to this process (api/priority.h), and none besides: to be called before
 * pods are checked. A class that cannot be read does not exist. */
void classes_load(struct store *store);
/* The same of RuntimeClasses (api/runtime-class.h). */
void runtime_classes_load(struct store *store);
/* Makes a class of either kind known that is about to be stored. */
void classes_add(const json_t *object);
