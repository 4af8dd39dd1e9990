#include "store/node-config.h"

#include "base/file.h"
#include "base/str.h"
#include "test.h"

static struct error *parse(const char *text, struct node_config *ret) {
        return node_config_parse("config.yaml", text, strlen(text), ret);
}

static void refused(const char *text, const char *words) {
        struct node_config config = { 0 };
        _cleanup_error_ struct error *err = parse(text, &config);

        assert_non_null(err);
        if (!strstr(error_message(err), words))
                fail_msg("%s: %s", text, error_message(err));
        assert_null(config.cdi_spec_dirs);
}

TEST(what_is_left_out_has_the_defaults) {
        _cleanup_node_config_ struct node_config config = { 0 };

        assert_ok(parse("# nothing\n", &config));
        assert_null(config.allowed_unsafe_sysctls);
        assert_int_equal(config.userns_first, 65536);
        assert_true(config.userns_pods > 1000);
        assert_string_equal(config.cdi_spec_dirs[0], "/etc/cdi");
        assert_string_equal(config.cdi_spec_dirs[1], "/var/run/cdi");
        assert_null(config.cdi_spec_dirs[2]);
        assert_int_equal(config.pod_pids_limit, -1);
        assert_null(node_config_runtime(&config, "runc"));
}

TEST(every_field_is_read) {
        _cleanup_node_config_ struct node_config config = { 0 };

        assert_ok(parse(
                "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
                "allowedUnsafeSysctls: [kernel.msgmax, 'net.core.*']\n"
                "userNamespaces: {firstID: 131072, pods: 7}\ncdiSpecDirs: [/a, /b]\n"
                "resolver: false\nclusterDomain: pods.test\nclusterDNS: [10.96.0.10, 'fd00::10']\nresolvConf: ''\n"
                "podPidsLimit: 100\ncniConfDir: /etc/cni/net.d\ncniBinDirs: [/x]\nimageGCHighThresholdPercent: "
                "70\nimageGCLowThresholdPercent: 60\n"
                "imageMinimumGCAge: 1m30s\nimageMaximumGCAge: 48h\nruntimeHandlers: {kata: kata-runtime, "
                "gvisor: /usr/bin/runsc}\n",
                &config));
        assert_string_equal(config.allowed_unsafe_sysctls[0], "kernel.msgmax");
        assert_string_equal(config.allowed_unsafe_sysctls[1], "net.core.*");
        assert_int_equal(config.userns_first, 131072);
        assert_int_equal(config.userns_pods, 7);
        assert_int_equal(config.pod_pids_limit, 100);
        assert_false(config.resolver);
        assert_string_equal(node_config_cluster_domain(&config), "pods.test");
        assert_string_equal(config.cluster_dns[1], "fd00::10");
        assert_string_equal(config.resolv_conf, "");
        assert_string_equal(config.cni_conf_dir, "/etc/cni/net.d");
        assert_string_equal(config.cni_bin_dirs[0], "/x");
        assert_null(config.cni_bin_dirs[1]);
        assert_int_equal(config.image_gc_high_percent, 70);
        assert_int_equal(config.image_gc_low_percent, 60);
        assert_int_equal(config.image_min_age_s, 90);
        assert_int_equal(config.image_max_age_s, 48 * 3600);
        assert_string_equal(node_config_runtime(&config, "gvisor"), "/usr/bin/runsc");
        assert_string_equal(node_config_runtime(&config, "kata"), "kata-runtime");
        assert_null(node_config_runtime(&config, "kat"));
        assert_string_equal(config.cdi_spec_dirs[1], "/b");
        assert_null(config.cdi_spec_dirs[2]);
}

TEST(mistakes_are_named) {
        refused("allowedUnsafeSysctl: [x]", "config.yaml: allowedUnsafeSysctl: unknown field");
        refused("allowedUnsafeSysctls: x", "allowedUnsafeSysctls: must be a list");
        refused("allowedUnsafeSysctls: ['']", "allowedUnsafeSysctls[0]");
        refused("userNamespaces: {firstID: 1000}", "userNamespaces.firstID: must be a number from 65536");
        refused("userNamespaces: {firstID: 65537}", "userNamespaces.firstID: must be a multiple of 65536");
        refused("userNamespaces: {firstID: 4294967295}", "userNamespaces.firstID");
        refused("userNamespaces: {pods: 0}", "userNamespaces.pods");
        refused("userNamespaces: {size: 1}", "userNamespaces.size: unknown field");
        refused("cdiSpecDirs: [etc/cdi]", "cdiSpecDirs: etc/cdi is no absolute path");
        refused("cniConfDir: etc", "cniConfDir: must be the absolute path of a folder");
        refused("cniBinDirs: ['/a:b']", "cniBinDirs: /a:b is no absolute path");
        refused("resolver: maybe", "resolver: must be true or false");
        refused("firewalldZone: 7", "firewalldZone: must be the name of a zone");
        refused("firewalldZone: --all", "firewalldZone: must be the name of a zone");
        refused("firewalldZone: eighteen_letters_x", "firewalldZone: must be the name of a zone");
        refused("resolver: true\nclusterDNS: [10.96.0.10]", "clusterDNS: choose one");
        refused("resolver: true\ncniConfDir: /etc/cni/net.d", "resolver: it listens on the bridge");
        refused("clusterDNS: [ns.example.org]", "clusterDNS: \"ns.example.org\" is no IP address");
        refused("clusterDomain: Cluster.local.", "clusterDomain: must be a domain");
        refused("resolvConf: resolv.conf", "resolvConf: must be the absolute path");
        refused("podPidsLimit: 0", "podPidsLimit: must be a positive number, or -1");
        refused("podPidsLimit: many", "podPidsLimit");
        refused("runtimeHandlers: [runc]", "runtimeHandlers: must have fields");
        refused("runtimeHandlers: {a=b: runc}", "runtimeHandlers.a=b: not a name");
        refused("runtimeHandlers: {a: ''}", "runtimeHandlers.a: must be the name or path of a program");
        refused("imageGCLowThresholdPercent: 85", "must be less than imageGCHighThresholdPercent (85)");
        refused("imageGCHighThresholdPercent: 101", "must be a number from 0 to 100");
        refused("imageMinimumGCAge: 2", "imageMinimumGCAge: must be a duration");
        refused("imageMaximumGCAge: -1s", "imageMaximumGCAge: must be a duration");
        refused("imagePullCredentialsVerificationPolicy: Sometimes",
                "must be NeverVerify, NeverVerifyPreloadedImages, ");
        refused("preloadedImagesVerificationAllowlist: [a]", "needs imagePullCredentialsVerificationPolicy");
        refused("imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\n"
                "preloadedImagesVerificationAllowlist: ['a/*/b']",
                "a star may only stand for all below a path");
        refused("- a", "must have fields");
        refused("a: [", "config.yaml:");
}
