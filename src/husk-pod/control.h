/* control.h - what other programs may ask of a living husk-pod, over <run>/pods/<uid>/socket (SOCK_SEQPACKET, 0600).
 *
 * A client connects, sends one packet with one JSON object, `{"<request>": {…}}`, and perhaps descriptors
 * (base/socket.h), and gets one packet back: `{}` or what the request says, or `{"error": "<what is wrong>"}`. Most
 * requests end there and the client hangs up; husk-pod keeps no state for them. A packet is at most
 * CONTROL_PACKET_MAX bytes.
 *
 *   attach     {"container": NAME, "stdin": BOOL, "stdout": BOOL, "stderr": BOOL}
 *              Descriptors: one write end of a pipe for each of stdout and stderr that is true, in that order. What the
 *              container prints from now on is copied there, too, without waiting: what does not fit into the pipe is
 *              left out (the log has it). With a tty everything is stdout.
 *              Answer: {"tty": BOOL}; with "stdin" also a descriptor: the write end of the container's standard input,
 *              with a tty its terminal's master, to which the client then writes (and on which it sets the window
 * size). Asking for stdin of a container without `stdin: true` is an error. The connection stays open while attached.
 * When the client closes it, or says {"stdinEnd": {}} on it because its own input has ended, husk-pod closes the
 * container's standard input if it has `stdinOnce` and stdin was asked for; "stdinEnd" is answered with
 * {"stdinClosed": BOOL}. When the container ends, the client gets
 *              {"exitCode": N} after the last byte is in the pipes, and husk-pod hangs up.
 *
 *   condition  {"type": T, "status": S, "reason": R, "message": M}
 *              Sets a condition that is not husk-pod's own (a readiness gate): pod_set_condition(). Answer: {}. */
#pragma once

#define CONTROL_SOCKET "socket"
#define CONTROL_PACKET_MAX 65536
