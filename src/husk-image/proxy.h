/* proxy.h - the proxies of the environment, read as Go's programs read them, which a node's other tools are: libcurl
 * reads the same variables, but for some forms. */
#pragma once

#include <stdbool.h>

/* Puts the variables into the forms that libcurl knows: before the first request. */
void proxy_read_environment(void);
/* Does no_proxy have an entry for this host with this very port ("registry.example:5000")? libcurl knows those of hosts
 * only. */
bool proxy_is_passed_by(const char *host, const char *port);
