/* describe.h - what is said about an object of each kind. */
#pragma once

#include "husk/cli.h"
#include "server/field.h"
#include "husk/page.h"

void describe_pod(struct page *page, const json_t *pod);
/* Name, namespace, labels, annotations. */
void describe_metadata(struct page *page, const json_t *object);
