/* env.h - the environment of a container by Kubernetes' rules, and $(VAR) in command, args and subPathExpr.
 *
 * The order of precedence, weakest first: PATH's default, TERM for a terminal, HOSTNAME, the image's ENV, envFrom (in
 * order; invalid keys are skipped and listed), env (in order). A value of `env` may refer with $(NAME) to what envFrom
 * and earlier entries of `env` gave, never to the image's variables; "$$" is one "$"; what names no variable stays as
 * it is (https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/).
 *
 * Every error from here means that the container waits with reason CreateContainerConfigError and the error's message.
 */
#pragma once

#include "api/downward.h"
#include "image/image.h"
#include "store/store.h"

struct env_config {
        struct store *store;      /* ConfigMaps and Secrets are read from it */
        struct downward downward; /* the pod, its addresses, its node */
        const V1Container *container;
        char *const *image_env; /* "NAME=value" of the image; may be NULL */
        const char *hostname;   /* for HOSTNAME; NULL: not set */
        /* For fileKeyRef: opens the folder of a volume of the pod (O_PATH). Returns a descriptor (the caller closes it)
         * or -errno. NULL: such references are an error. */
        int (*open_volume)(void *userdata, const char *volume_name);
        void *userdata;
};

struct env {
        char **all;        /* "NAME=value", what the process gets */
        char **kubernetes; /* "NAME=value" of envFrom and env alone: what $(NAME) may refer to */
        char **warnings;   /* messages for InvalidEnvironmentVariableNames events, usually NULL */
};

struct error *env_build(const struct env_config *config, struct env *ret) _must_check_;
void env_release(struct env *env);
#define _cleanup_env_ _cleanup_(env_release)

struct image;

/* Expands $(NAME) from `variables` ("NAME=value"; the last one of a name counts). */
char *env_expand(const char *text, char *const *variables);
/* The same, where a reference to an unknown variable is an error (subPathExpr). */
struct error *env_expand_strict(const char *text, char *const *variables, char **ret) _must_check_;

/* argv of the container: command and args of the manifest (expanded) over ENTRYPOINT and CMD of the image; `command`
 * replaces ENTRYPOINT and drops CMD, `args` replaces CMD. With neither anywhere: ERROR_INVALID "no command specified",
 * which is the one error here that means CreateContainerError. */
struct error *env_command(const V1Container *container, const struct image *image, char *const *variables,
                          char ***ret) _must_check_;
