/* SPDX-License-Identifier: MIT
 *
 * A plugin of vde_switch's interface that logs what it hears of the spanning tree: which arguments
 * come with which event is known to its authors alone, so this is what they were when the packaged
 * vde_switch called it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

struct plugin {
  char* name;
  char* help;
  void* handle;
  struct plugin* next;
};
struct event {
  char* path;
};

extern int eventadd(int (*handler)(struct event*, void*, va_list), const char* path, void* argument);
extern void printlog(int priority, const char* format, ...);

__attribute__((visibility("default"))) struct plugin vde_plugin_data = {"vde_tree", "logs", 0, 0};

static int hear(struct event* event, void* argument, va_list values) {
  const int port = va_arg(values, int);
  const int vlan = va_arg(values, int);
  char text[32] = "";
  (void)argument;
  if (strcmp(event->path, "fstp/status") == 0) {
    snprintf(text, sizeof text, "%d", va_arg(values, int));
  } else if (strcmp(event->path, "fstp/root") == 0) {
    const unsigned char* const root = va_arg(values, unsigned char*);
    for (int i = 0; i < 8; ++i) snprintf(text + 2 * i, 3, "%02x", root[i]);
  }
  printlog(LOG_INFO, "heard %s %d %d %s", event->path, port, vlan, text);
  return 0;
}

__attribute__((constructor)) static void start(void) {
  eventadd(hear, "fstp/", 0);
}
