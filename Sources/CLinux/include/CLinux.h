// What Swift's Glibc module leaves out, since it is compiled without _GNU_SOURCE.
#pragma once

#include <stddef.h>

struct sockaddr;

/// A TCP socket of a domain (AF_INET, AF_INET6), non-blocking, close-on-exec. The types' names are enumerators that a clean
/// release build does not find when another C module has brought them in first.
int ftpsgate_tcp_socket(int domain);
/// accept(2) that sets SOCK_NONBLOCK and SOCK_CLOEXEC in the same call.
int ftpsgate_accept4(int listener, struct sockaddr *address, unsigned int *length);
/// An eventfd(2), non-blocking, close-on-exec.
int ftpsgate_eventfd(void);
/// An inotify(7) descriptor, non-blocking, close-on-exec.
int ftpsgate_inotify(void);
/// Reports whatever may have given a folder's file another content: written and closed, renamed into or out of it, made, removed, or the folder
/// itself gone.
int ftpsgate_inotify_watch(int inotify, const char *folder);
/// A pipe, non-blocking, close-on-exec, with room for about a mebibyte where the kernel grants it: [0] is read, [1] written.
int ftpsgate_pipe(int ends[2]);
/// splice(2) that moves pages and never blocks on the pipe; -1 with errno, else how many bytes.
long ftpsgate_splice(int from, int to, unsigned long count);
/// 0 where the kernel can make TLS records, loading its module if that is allowed; else errno (ENOENT: it has none).
int ftpsgate_find_kernel_tls(void);
/// Has the kernel make TLS records of what is sent on a connected socket, under these keys (a structure of <linux/tls.h>); 0, or -1 with errno,
/// and then all is as before.
int ftpsgate_encrypt_in_kernel(int socket, const void *keys, unsigned int size);
/// Sends a record of another type than application data on such a socket; -1 with errno, else how many bytes.
long ftpsgate_send_record(int socket, unsigned char type, const void *bytes, unsigned long count);
/// Whether poll(2) finds room for sending.
int ftpsgate_has_room(int socket);
/// On how many processors the calling thread may run (sched_getaffinity(2)); 0 where there are more than 1,024 to choose from.
int ftpsgate_processors(void);
/// Gives free memory back to the kernel (malloc_trim(3)).
void ftpsgate_trim_memory(void);
/// Gives the pages that lie wholly within a block of anonymous memory back to the kernel (madvise(2), MADV_DONTNEED).
void ftpsgate_release_pages(void *block, size_t size);
/// An allocator whose smallest blocks lie in pages of their own: for a library that keeps one such block for every descriptor number that it has
/// ever seen, and would keep a page of other memory with each of them. May be used by several threads at once.
void *ftpsgate_apart_malloc(size_t size);
void *ftpsgate_apart_realloc(void *block, size_t size);
void ftpsgate_apart_free(void *block);
/// Unmaps the code and constants of the program and its libraries (madvise(2), MADV_DONTNEED): each page that runs again is mapped again.
void ftpsgate_release_code(void);
/// Sets PR_SET_NO_NEW_PRIVS (prctl(2)) for the process's threads to come.
void ftpsgate_no_new_privileges(void);
/// Names the calling thread, in at most 15 bytes.
void ftpsgate_name_thread(const char *name);
