// libevent's configuration header defines _GNU_SOURCE, which renames the fields of fd_set; Glibc's module has them
// under their other names. Whoever comes first wins, so the system's header comes first.
#include <sys/types.h>
#include <sys/select.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
