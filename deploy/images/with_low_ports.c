/* Runs a program, and lets it listen on ports below 1024 where the container may: `with-low-ports PROGRAM ARGUMENT...`

   Its file has cap_net_bind_service as permitted, and not as effective: exec of a file with effective capabilities
   fails where the container has not got them (--cap-drop ALL). It hands the capability on as an ambient one, which
   its program and the workers of that inherit by exec. Docker opens low ports to everybody in a network of the
   container's own, so that it changes something with --network host and in Kubernetes only. Where it may not, the
   program runs without: it says by itself which port it cannot have. */

#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void hand_on(int capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, sets) != 0)
        return;
    sets[CAP_TO_INDEX(capability)].inheritable |= CAP_TO_MASK(capability);
    if (syscall(SYS_capset, &header, sets) != 0)
        return; /* it is not permitted */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "Usage: %s PROGRAM [ARGUMENT...]\n", arguments[0]);
        return 2;
    }
    hand_on(CAP_NET_BIND_SERVICE);
    execvp(arguments[1], arguments + 1);
    perror(arguments[1]);
    return 127;
}
