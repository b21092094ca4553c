// SPDX-License-Identifier: MIT
/* The interface between lanyardd and its plugins: C, plain tables, no library to link.
 *
 * A plugin is a shared object that exports one symbol, `lanyard_plugin`. The host reads it, calls
 * start(), and the plugin registers what it offers through the host's functions: filters (they see
 * frames in batches and let them pass, drop, alter or delay them), kinds of endpoints, console
 * commands, debug categories. plugin/del calls stop() and takes back everything registered.
 *
 * Rules of the interface
 *  - It is versioned by LANYARD_PLUGIN_ABI. Within a version structures only grow at their end.
 *    Each begins with its size as its maker knew it; what lies beyond is taken as zero, or is not
 *    there. So a plugin built with an older header loads into a newer host, and the reverse when
 *    the plugin looks at host->size before it uses a newer function.
 *  - Everything is called in the thread that moves the frames: nothing may block. A plugin may have
 *    threads of its own, which call no function of the host.
 *  - Functions that return int return 0 (or a number) on success and -errno on failure.
 *  - Strings are UTF-8, ended by NUL, and the host copies those it keeps.
 *  - The host checks what a filter did after each call. One that left the bounds of a frame or gave
 *    a verdict there is none of is taken out of the way of the frames, and the log says why.
 *  - A daemon of several networks starts it once for each that wants it, with a host of its own: so
 *    what it knows is kept in *self, not in variables of the library.
 *  - Before a plugin is loaded, a child process tries it: loads it, calls start() and stop() with a
 *    host whose `probing` is 1 and whose functions do nothing. When that child dies or takes two
 *    seconds, the plugin is refused. start() should do nothing lasting while probing.
 */
#ifndef LANYARD_PLUGIN_H
#define LANYARD_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LANYARD_PLUGIN_ABI 1

struct lanyard_host;
struct lanyard_reply; /* what a command answers; only the host knows its inside */

/* ---- frames ---- */

/* Into the switch, or out of it. As bits: which of them a filter wants to see. */
enum { LANYARD_INGRESS = 1, LANYARD_EGRESS = 2 };

enum { LANYARD_PASS = 0, LANYARD_DROP = 1 };

/* What a frame owes: see the virtio network header. */
enum { LANYARD_WHOLE = 0, LANYARD_TCP4 = 1, LANYARD_TCP6 = 2, LANYARD_UDP = 3 };

/* From the destination address on, without FCS. Bytes are not to be written, except after
 * host->writable(); then up to `room`, and `length` may be changed within it. */
struct lanyard_frame {
  uint8_t* data;
  uint32_t length;
  uint32_t room;
  uint16_t vlan;        /* on the way out: the VLAN it is in; 0 on the way in, where a tag is
                           still part of the bytes */
  uint16_t priority;    /* PCP and DEI, where they stand in a tag: the upper four bits */
  uint8_t tagged;       /* on the way out: a tag of that VLAN will be put in */
  uint8_t verdict;      /* LANYARD_PASS before the call */
  uint8_t segmentation; /* not LANYARD_WHOLE: a large packet, to be cut at segment_size */
  uint8_t needs_checksum;
  uint16_t segment_size;
  uint16_t header_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
  uint32_t reserved;
};

/* The frames of one port, up to 64. */
struct lanyard_batch {
  uint32_t size;       /* of this structure */
  uint32_t frame_size; /* from one frame to the next: the host's sizeof(struct lanyard_frame) */
  uint32_t count;
  uint16_t port;
  uint8_t direction; /* LANYARD_INGRESS or LANYARD_EGRESS */
  uint8_t reserved;
  void* frames;
};

static inline struct lanyard_frame* lanyard_frame_at(const struct lanyard_batch* batch,
                                                     uint32_t index) {
  return (struct lanyard_frame*)(void*)((uint8_t*)batch->frames +
                                        (uint64_t)index * batch->frame_size);
}

/* ---- what a plugin registers ---- */

struct lanyard_filter {
  uint32_t size;
  uint32_t directions; /* of LANYARD_INGRESS, LANYARD_EGRESS */
  int32_t priority;    /* higher: nearer to the wire */
  uint32_t reserved;
  void (*frames)(void* self, struct lanyard_batch* batch);
};

/* What a command does to the plugin, for a fresh one that is to become like it (host->again): every
 * line is run again; only the last of this path, when it says all that those before it said; none,
 * as it only shows. */
enum { LANYARD_ADDS = 0, LANYARD_SETS = 1, LANYARD_SHOWS = 2 };

struct lanyard_command {
  uint32_t size;
  uint32_t has_data; /* the reply has a block of lines, made with host->reply() */
  const char* path;  /* "netem/delay" */
  const char* synopsis;
  const char* help;
  /* `arguments` is what follows the path, without blanks at its ends. */
  int (*run)(void* self, const char* arguments, struct lanyard_reply* reply);
  uint32_t effect; /* one of the above */
  uint32_t reserved;
};

/* A stream of lines that consoles subscribe to with debug/add. */
struct lanyard_category {
  uint32_t size;
  uint32_t tag; /* printed in octal, three digits */
  const char* path;
  const char* help;
};

/* An endpoint: bytes in, bytes out; the port and its queue are the host's. */
struct lanyard_endpoint {
  uint32_t size;
  uint32_t frame_max; /* the longest frame transmit() takes, tag included */
  /* Readable when receive() has work; -1: host->wake() tells. */
  int (*wait_fd)(void* endpoint);
  /* Fills up to batch->count frames (data, up to room, and length). How many; a negative errno when
   * the other side is gone. It is called again at once after a full batch. */
  int (*receive)(void* endpoint, struct lanyard_batch* batch);
  /* The first of the frames, as many as are done with (sent or given up). Fewer than count: wait_fd
   * becomes writable when there is room again. A tag is part of the bytes here. */
  int (*transmit)(void* endpoint, const struct lanyard_batch* batch);
  /* It is unplugged; nothing follows. */
  void (*close)(void* endpoint);
};

/* A kind of endpoint: port/plug KIND://TARGET?KEY=VALUE... */
struct lanyard_backend {
  uint32_t size;
  uint32_t reserved;
  const char* kind;
  const char* synopsis;
  const char* help;
  /* Plugs in with host->plug(), now or later. `pairs` is keys and values in turn, ended by NULL. */
  int (*open)(void* self, const char* target, const char* const* pairs);
};

/* What subscribers are told. `text` and the rest hold what the path makes sense of. */
struct lanyard_event {
  uint32_t size;
  uint16_t port;
  uint16_t vlan;
  const char* path; /* as in debug/list: "port/+", "hash/+"...; also "fstp/guard", "guard/drop",
                       "guard/shut" and "sig/hup" */
  const char* text; /* a description, the state or the root of a spanning tree, why a guard acted;
                       otherwise empty */
  int32_t endpoint; /* the ID of the console's endpoint tables, or -1 */
  uint8_t mac[6];
  uint16_t reserved;
};

enum { LANYARD_LOG_ERROR = 0, LANYARD_LOG_WARNING, LANYARD_LOG_NOTICE, LANYARD_LOG_INFO };

/* ---- what the host offers ---- */

struct lanyard_host {
  uint32_t size;
  uint32_t abi;
  uint32_t probing; /* 1: this is only a try */
  uint32_t reserved;

  /* Registration: at any time; the structures need not outlive the call. */
  int (*add_filter)(const struct lanyard_host* host, const struct lanyard_filter* filter);
  int (*add_command)(const struct lanyard_host* host, const struct lanyard_command* command);
  int (*add_backend)(const struct lanyard_host* host, const struct lanyard_backend* backend);
  /* The category's number. */
  int (*add_category)(const struct lanyard_host* host, const struct lanyard_category* category);
  /* Events whose path begins with `path`. */
  int (*subscribe)(const struct lanyard_host* host, const char* path,
                   void (*told)(void* self, const struct lanyard_event* event));

  /* Whether a console listens to the category, and a line for those that do. */
  int (*category_wanted)(const struct lanyard_host* host, int category);
  void (*tell)(const struct lanyard_host* host, int category, const char* text);

  /* A line of the log, and of a command's reply; both without newline. */
  void (*log)(const struct lanyard_host* host, int level, const char* text);
  void (*reply)(const struct lanyard_host* host, struct lanyard_reply* reply, const char* text);

  /* Time never goes back; it stands still during a call. */
  uint64_t (*now_ns)(const struct lanyard_host* host);
  /* Once after delay_ns, and every period_ns from then on unless that is 0. A timer without a
   * period is on time to some microseconds, which costs a processor for 150 us. The timer's number,
   * or 0 when there is no room for one more; a number is good until the timer has run for the last
   * time. */
  uint64_t (*add_timer)(const struct lanyard_host* host, uint64_t delay_ns, uint64_t period_ns,
                        void (*expired)(void* argument), void* argument);
  void (*remove_timer)(const struct lanyard_host* host, uint64_t timer);
  /* `events` as for epoll(7). The descriptor stays the plugin's. */
  int (*watch_fd)(const struct lanyard_host* host, int fd, uint32_t events,
                  void (*ready)(void* argument, uint32_t events), void* argument);
  void (*unwatch_fd)(const struct lanyard_host* host, int fd);

  /* Within a filter's call: makes the bytes of frame `index` writable, for this receiver alone, and
   * sets its data and room. */
  int (*writable)(const struct lanyard_host* host, struct lanyard_batch* batch, uint32_t index);
  /* Within a filter's call: takes the frame out of the batch. Its number, or 0 when the plugin
   * holds as many as it may (LANYARD_HELD_MAX); then the frame is still in the batch. */
  uint64_t (*hold)(const struct lanyard_host* host, struct lanyard_batch* batch, uint32_t index);
  /* One more of a held frame: a number of its own, or 0. */
  uint64_t (*copy)(const struct lanyard_host* host, uint64_t held);
  /* Lets a held frame go on, behind this filter (LANYARD_PASS), or not (LANYARD_DROP). */
  void (*release)(const struct lanyard_host* host, uint64_t held, int verdict);
  /* A frame as if it came from (LANYARD_INGRESS) or were for (LANYARD_EGRESS) this port. */
  int (*inject)(const struct lanyard_host* host, uint16_t port, int direction, const void* data,
                uint32_t length);

  /* Plugs an endpoint in; port -1: the first free one. The number of the plug, or a negative errno.
   * Also when it is the host that ends it, close() is called once. */
  int64_t (*plug)(const struct lanyard_host* host, int port, const struct lanyard_endpoint* table,
                  void* endpoint, const char* description);
  void (*unplug)(const struct lanyard_host* host, int64_t plug);
  /* receive() has work that wait_fd() cannot show. */
  void (*wake)(const struct lanyard_host* host, int64_t plug);

  /* Who has the port: his user ID, -1 for none or unknown; and the description of its oldest
   * endpoint, made printable, or "". The text is good until the next call. */
  int64_t (*port_user)(const struct lanyard_host* host, uint16_t port);
  const char* (*port_description)(const struct lanyard_host* host, uint16_t port);

  /* 1: the process is the successor of one that had this plugin. After start() the commands that
   * succeeded there are run again, in order, by their `effect`. */
  uint32_t again;
  uint32_t reserved_at_end;
};

#define LANYARD_HELD_MAX 65536

/* ---- the plugin ---- */

struct lanyard_plugin {
  uint32_t size;
  uint32_t abi; /* LANYARD_PLUGIN_ABI */
  const char* name;
  const char* help;
  /* `*self` is given to every function of the plugin. A failure refuses the plugin; what was
   * registered until then is taken back. */
  int (*start)(const struct lanyard_host* host, void** self);
  /* Nothing of the plugin is called any more, and this is the last. NULL: nothing to do. */
  void (*stop)(void* self);
};

#ifdef __cplusplus
}
#define LANYARD_PLUGIN_C extern "C"
#else
#define LANYARD_PLUGIN_C extern
#endif

/* The symbol, in one line of the plugin: LANYARD_PLUGIN("name", "help", start, stop); */
#define LANYARD_PLUGIN(name, help, start, stop)           \
  LANYARD_PLUGIN_C __attribute__((visibility("default"))) \
  const struct lanyard_plugin lanyard_plugin;             \
  const struct lanyard_plugin lanyard_plugin = {          \
      sizeof(struct lanyard_plugin), LANYARD_PLUGIN_ABI, name, help, start, stop}
#endif
