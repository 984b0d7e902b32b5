#define _GNU_SOURCE
#include "CLinux.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>

int ftpsgate_tcp_socket(int domain) { return socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int ftpsgate_accept4(int listener, struct sockaddr *address, unsigned int *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int ftpsgate_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void ftpsgate_trim_memory(void) { malloc_trim(0); }

void ftpsgate_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int ftpsgate_inotify(void) { return inotify_init1(IN_NONBLOCK | IN_CLOEXEC); }

int ftpsgate_inotify_watch(int inotify, const char *folder) {
    return inotify_add_watch(inotify, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}
