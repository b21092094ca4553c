// SPDX-License-Identifier: MIT
//
// A plugin with one thing odd about it, chosen by the macro it is compiled with.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/lanyard_plugin.h"

namespace {

struct State {
  const lanyard_host* host = nullptr;
  std::uint64_t held = 0;
  int events = 0;
  std::vector<std::string> tree;
  int expired = 0;
  int category = -1;

  // An endpoint that sends back what it gets, addresses exchanged.
  std::int64_t plug = 0;
  std::vector<std::vector<std::uint8_t>> echo;
  int closed = 0;
  bool lies = false;
};

#if defined(ODD_CRASH)
[[gnu::constructor]] void crash() {
  std::raise(SIGSEGV);
}
#elif defined(ODD_EXIT)
[[gnu::constructor]] void leave() {
  ::_exit(3);
}
#endif

// Marks a frame by its last byte: 'd' is dropped, 'x' is written over, and so on.
void see(void* self, lanyard_batch* batch) {
  auto& state = *static_cast<State*>(self);
  for (std::uint32_t i = 0; i < batch->count; ++i) {
    lanyard_frame* const frame = lanyard_frame_at(batch, i);
#if defined(ODD_LIAR_LENGTH)
    frame->length += 1000;
#elif defined(ODD_LIAR_DATA)
    frame->data += 14;
#elif defined(ODD_LIAR_VERDICT)
    frame->verdict = 77;
#else
    const std::uint8_t last = frame->data[frame->length - 1];
    if (last == 'd') frame->verdict = LANYARD_DROP;
    if (last == 'x' && state.host->writable(state.host, batch, i) == 0) {
      frame->data[frame->length - 1] = 'y';
      frame->data[frame->length++] = 'z';
    }
    if (last == 'h') state.held = state.host->hold(state.host, batch, i);
    if (last == '2') {
      state.host->inject(state.host, batch->port, batch->direction, frame->data, frame->length - 1);
    }
#endif
  }
  (void)state;
}

int echo_receive(void* endpoint, lanyard_batch* batch) {
  auto& state = *static_cast<State*>(endpoint);
  if (state.lies) return static_cast<int>(batch->count) + 1;
  std::uint32_t count = 0;
  for (const auto& bytes : std::exchange(state.echo, {})) {
    lanyard_frame* const frame = lanyard_frame_at(batch, count++);
    std::memcpy(frame->data, bytes.data(), bytes.size());
    frame->length = static_cast<std::uint32_t>(bytes.size());
  }
  return static_cast<int>(count);
}

int echo_transmit(void* endpoint, const lanyard_batch* batch) {
  auto& state = *static_cast<State*>(endpoint);
  for (std::uint32_t i = 0; i < batch->count; ++i) {
    const lanyard_frame* const frame = lanyard_frame_at(batch, i);
    std::vector<std::uint8_t> bytes(frame->data, frame->data + frame->length);
    std::swap_ranges(bytes.begin(), bytes.begin() + 6, bytes.begin() + 6);
    bytes[6] = 0x02;
    state.echo.push_back(std::move(bytes));
  }
  state.host->wake(state.host, state.plug);
  return static_cast<int>(batch->count);
}

// odd://PORT
int open(void* self, const char* target, const char* const* pairs) {
  auto& state = *static_cast<State*>(self);
  state.lies = pairs[0] != nullptr && std::string_view(pairs[0]) == "lies";
  lanyard_endpoint table{};
  table.size = sizeof table;
  table.frame_max = 1514;
  table.receive = echo_receive;
  table.transmit = echo_transmit;
  table.close = [](void* endpoint) { ++static_cast<State*>(endpoint)->closed; };
  const std::int64_t plug =
      state.host->plug(state.host, std::atoi(target), &table, &state, "an echo");
  if (plug < 0) return static_cast<int>(plug);
  state.plug = plug;
  return 0;
}

int run(void* self, const char* arguments, lanyard_reply* reply) {
  auto& state = *static_cast<State*>(self);
  const std::string_view word(arguments);
  if (word == "let go") {
    const std::uint64_t other = state.host->copy(state.host, state.held);
    state.host->release(state.host, state.held, LANYARD_PASS);
    state.host->release(state.host, other, LANYARD_PASS);
    state.host->release(state.host, state.held, LANYARD_PASS);  // a second time: nothing
    return 0;
  }
  if (word == "fail") return -EPERM;
  if (word == "count") {
    const std::string line = "events=" + std::to_string(state.events) +
                             " expired=" + std::to_string(state.expired) +
                             " closed=" + std::to_string(state.closed);
    state.host->reply(state.host, reply, line.c_str());
    return 0;
  }
  if (word == "tree") {
    for (const std::string& line : state.tree) {
      state.host->reply(state.host, reply, line.c_str());
    }
    return 0;
  }
  if (word.starts_with("timer ")) {
    state.host->add_timer(
        state.host, std::strtoull(arguments + 6, nullptr, 10), 0,
        [](void* argument) { ++static_cast<State*>(argument)->expired; }, self);
    return 0;
  }
  if (word == "tell") {
    state.host->tell(state.host, state.category, "something odd");
    return 0;
  }
  if (word == "unplug") {
    state.host->unplug(state.host, state.plug);
    return 0;
  }
  state.host->reply(state.host, reply, "two\nlines\x1b[1m");
  return 0;
}

[[maybe_unused]] int start(const lanyard_host* host, void** self) {
#if defined(ODD_HANG)
  for (;;) ::pause();
#elif defined(ODD_REFUSES)
  return -EPERM;
#endif
  static State state;
  state = State{};
  state.host = host;
  *self = &state;
  lanyard_filter filter{};
  filter.size = sizeof filter;
  filter.directions = LANYARD_INGRESS;
  filter.frames = see;
  lanyard_command command{};
  command.size = sizeof command;
  command.has_data = 1;
  command.path = "odd/run";
  command.synopsis = "[word]";
  command.help = "an odd command";
  command.run = run;
  // A command whose line would always run another one.
  lanyard_command shadowed = command;
  shadowed.path = "odd/runner";
  lanyard_backend backend{};
  backend.size = sizeof backend;
  backend.kind = "odd";
  backend.synopsis = "odd://PORT";
  backend.help = "an echo";
  backend.open = open;
  lanyard_category category{};
  category.size = sizeof category;
  category.tag = 0777;
  category.path = "odd/thing";
  category.help = "odd: a thing";
  host->add_filter(host, &filter);
  host->add_backend(host, &backend);
  state.category = host->add_category(host, &category);
  host->subscribe(host, "port/",
                  [](void* told, const lanyard_event*) { ++static_cast<State*>(told)->events; });
  host->subscribe(host, "fstp/", [](void* told, const lanyard_event* event) {
    static_cast<State*>(told)->tree.push_back(std::string(event->path) + " " +
                                              std::to_string(event->port) + " " +
                                              std::to_string(event->vlan) + " " + event->text);
  });
  const int added = host->add_command(host, &command);
  if (!host->probing && host->add_command(host, &shadowed) != -EEXIST) return -EINVAL;
  return added;
}

[[maybe_unused]] void stop(void*) {}

}  // namespace

#if defined(ODD_NO_SYMBOL)
extern "C" __attribute__((visibility("default"))) const int something_else = 1;
#elif defined(ODD_WRONG_ABI)
LANYARD_PLUGIN_C __attribute__((visibility("default"))) const struct lanyard_plugin lanyard_plugin;
const struct lanyard_plugin lanyard_plugin = {
    sizeof(struct lanyard_plugin), 99, "odd", "", start, stop};
#elif defined(ODD_SHORT_TABLE)
LANYARD_PLUGIN_C __attribute__((visibility("default"))) const struct lanyard_plugin lanyard_plugin;
const struct lanyard_plugin lanyard_plugin = {16, LANYARD_PLUGIN_ABI, "odd", "", start, stop};
#elif defined(ODD_NEW)
// Built with a header of later times: there is more behind what we know.
struct LaterPlugin {
  struct lanyard_plugin known;
  void (*something_new)();
};
LANYARD_PLUGIN_C __attribute__((visibility("default"))) const LaterPlugin lanyard_plugin;
const LaterPlugin lanyard_plugin = {
    {sizeof(LaterPlugin), LANYARD_PLUGIN_ABI, "odd", "", start, stop}, nullptr};
#else
LANYARD_PLUGIN("odd", "something is odd about it", start, stop);
#endif
