#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int ftpsgate_tcp_socket(int domain) { return socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int ftpsgate_accept4(int listener, struct sockaddr *address, unsigned int *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int ftpsgate_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void ftpsgate_trim_memory(void) { malloc_trim(0); }

void ftpsgate_no_new_privileges(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

// What cannot be written to is as it is in the file; relocated constants lie in writable segments.
static int release_code_of(struct dl_phdr_info *object, size_t size, void *unused) {
    unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
    (void)size, (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        unsigned long start = (object->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
        unsigned long end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
        if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void ftpsgate_release_code(void) { dl_iterate_phdr(release_code_of, NULL); }

void ftpsgate_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int ftpsgate_inotify(void) { return inotify_init1(IN_NONBLOCK | IN_CLOEXEC); }

int ftpsgate_inotify_watch(int inotify, const char *folder) {
    return inotify_add_watch(inotify, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

int ftpsgate_pipe(int ends[2]) {
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -1;
    // What the kernel grants a process without privileges; the usual 64 KiB do as well, with more calls.
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    return 0;
}

long ftpsgate_splice(int from, int to, unsigned long count) {
    return splice(from, NULL, to, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}
