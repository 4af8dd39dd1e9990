/* describe.h - what is said about an object of each kind. */
#pragma once

#include "husk/cli.h"
#include "server/field.h"
#include "husk/page.h"

void describe_pod(struct page *page, const json_t *pod);
/* One entry of spec.volumes. */
void describe_volume(struct page *page, const json_t *volume);
void describe_namespace(struct page *page, const json_t *namespace);
void describe_priority_class(struct page *page, const json_t *class);
/* With the pods that use it. */
struct error *describe_claim(struct cli *cli, struct page *page, const json_t *claim) _must_check_;
/* Name, namespace, labels, annotations. */
void describe_metadata(struct page *page, const json_t *object);
