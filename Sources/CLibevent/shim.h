// The system's declarations stay Glibc's: without this, whichever module the compiler loads first has them, and a Swift file that
// imports the other one does not find them (and _GNU_SOURCE, which libevent defines, would rename the fields of fd_set).
#pragma clang module import SwiftGlibc

#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/util.h>
