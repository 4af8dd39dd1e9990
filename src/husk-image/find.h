/* find.h - finding an image by what a person types. */
#pragma once

#include "husk-image/options.h"
#include "image/image.h"

/* By reference, by id ("sha256:…") or by the first digits of one (at least 6, meaning one image only). */
struct error *image_find(struct context *context, const char *text, struct image **ret) _must_check_;
