/* hosts-toml.h - a folder of certs.d: the certificates of one registry, and containerd's hosts.toml.
 *
 *     server = "https://registry.example"            where the image comes from at last
 *     [host."https://mirror.example:5000"]           asked before it, in this order
 *       capabilities = ["pull", "resolve"]           "resolve": also asked for tags
 *       ca = "mirror.crt"                            or a list; relative to the folder
 *       client = [["cert.pem", "key.pem"]]           or one file that holds both
 *       skip_verify = true
 *       override_path = true                         the address has a path that stands instead of /v2
 *       [host."https://mirror.example:5000".header]
 *         x-team = "edge"
 *
 * See containerd's docs/hosts.md. */
#pragma once

#include "husk-image/registry.h"

/* Endpoints for the image, the server last. `folder` is where hosts.toml, whose text is given, lies. */
struct error *hosts_toml_read(const char *folder, const char *text, size_t len, const struct reference *reference,
                              struct registry_endpoint **ret, size_t *ret_n) _must_check_;

/* containers-certs.d(5): *.crt are trusted, the first *.cert with its *.key is shown. */
struct error *certs_read(const char *folder, struct registry_endpoint *endpoint) _must_check_;
