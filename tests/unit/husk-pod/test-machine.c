#include "world.h"

TEST(a_pod_comes_up_sandbox_first) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'x'}]}");
        pod_step(w.pod);
        assert_lines(&w, "admit\nsandbox-start 0\nvolumes\n");
        world_run(&w);
        assert_lines(&w, "start a/0\nstart b/0\n");
        assert_string_equal(w.status->phase, "Running");
        assert_string_equal(world_state(&w, "a"), "running");
        assert_string_equal(world_condition_text(&w, "Ready"), "True");
        assert_string_equal(w.status->podip, "10.88.0.2");
}
