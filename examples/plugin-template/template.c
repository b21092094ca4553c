// SPDX-License-Identifier: MIT
/* A plugin to start from: it counts frames into the switch, shows the count with
 * template/showinfo, and tells consoles that asked (debug/add template) of every thousandth frame.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lanyard_plugin.h"

struct template {
  const struct lanyard_host *host;
  int category;
  unsigned long long frames;
  unsigned long long bytes;
};

/* Sees up to 64 frames of one port at a time. A verdict of LANYARD_DROP would end a frame here. */
static void see_frames(void *self, struct lanyard_batch *batch) {
  struct template *const plugin = self;
  for (uint32_t i = 0; i < batch->count; ++i) {
    const struct lanyard_frame *const frame = lanyard_frame_at(batch, i);
    plugin->bytes += frame->length;
    if (++plugin->frames % 1000 != 0 ||
        !plugin->host->category_wanted(plugin->host, plugin->category)) {
      continue;
    }
    char line[80];
    snprintf(line, sizeof line, "%llu frames", plugin->frames);
    plugin->host->tell(plugin->host, plugin->category, line);
  }
}

/* What the console answers; the result is 0, or a negative errno, which it shows as 1NNN. */
static int show_info(void *self, const char *arguments, struct lanyard_reply *reply) {
  struct template *const plugin = self;
  char line[80];
  (void)arguments;
  snprintf(line, sizeof line, "frames=%llu bytes=%llu", plugin->frames, plugin->bytes);
  plugin->host->reply(plugin->host, reply, line);
  return 0;
}

static int start(const struct lanyard_host *host, void **self) {
  const struct lanyard_filter filter = {
      .size = sizeof filter, .directions = LANYARD_INGRESS, .frames = see_frames};
  const struct lanyard_command command = {.size = sizeof command,
                                          .has_data = 1,
                                          .path = "template/showinfo",
                                          .synopsis = "",
                                          .help = "show how many frames came",
                                          .run = show_info};
  const struct lanyard_category category = {.size = sizeof category,
                                            .tag = 0701,
                                            .path = "template/frames",
                                            .help = "template: a thousand frames more"};
  struct template *const plugin = calloc(1, sizeof *plugin);
  int error = 0;
  if (plugin == NULL) return -12; /* ENOMEM */
  plugin->host = host;
  *self = plugin;
  plugin->category = host->add_category(host, &category);
  error = host->add_filter(host, &filter);
  if (error == 0) error = host->add_command(host, &command);
  if (error < 0) free(plugin);
  return error;
}

/* What was registered is taken back without being asked for. */
static void stop(void *self) {
  free(self);
}

LANYARD_PLUGIN("template", "a plugin to start from", start, stop);
