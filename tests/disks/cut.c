/* Cuts the power of ext4 file systems: what was not synced is gone, and every later write fails, until they are mounted anew.
 * Usage: cut MOUNT_POINT.. */

#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SHUTDOWN _IOR('X', 125, __u32)
/* Without writing the journal out: as a cut does it. */
#define NO_LOG_FLUSH 2
#define MOST 16

int main(int count, char **paths) {
    int open_ones[MOST];
    if (count < 2 || count > MOST) {
        fprintf(stderr, "usage: cut MOUNT_POINT..\n");
        return 2;
    }
    for (int at = 1; at < count; at++) {
        open_ones[at] = open(paths[at], O_RDONLY | O_DIRECTORY);
        if (open_ones[at] < 0) {
            perror(paths[at]);
            return 1;
        }
    }
    for (int at = 1; at < count; at++) {
        __u32 how = NO_LOG_FLUSH;
        if (ioctl(open_ones[at], SHUTDOWN, &how) != 0) {
            perror(paths[at]);
            return 1;
        }
    }
    return 0;
}
