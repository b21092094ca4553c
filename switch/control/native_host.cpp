// SPDX-License-Identifier: MIT
//
// The table of functions a plugin gets. Each finds its plugin by the table's address, and is one
// line.
#include "switch/control/native_plugin.h"

namespace lanyard {
namespace {

using Host = const lanyard_host;

struct HostTable : lanyard_host {
  NativePlugin* plugin;
};

NativePlugin& plugin_of(Host* host) {
  return *static_cast<const HostTable*>(host)->plugin;
}

void log_of(Host* host, int level, const char* text) {
  if (text == nullptr) return;
  constexpr std::array kLevels{LogLevel::error, LogLevel::warning, LogLevel::notice,
                               LogLevel::info};
  const auto row = std::clamp<std::size_t>(static_cast<std::size_t>(level), 0, kLevels.size() - 1);
  NativePlugin& plugin = plugin_of(host);
  plugin.environment().log.write(kLevels[row],
                                 fmt::format("{}: {}", plugin.name(), printable(text)));
}

// Foreign text may hold lines, each of which is a line of the reply; a lone dot would end it.
void reply_line(Host*, lanyard_reply* reply, const char* text) {
  if (reply == nullptr || text == nullptr) return;
  auto& to = *reinterpret_cast<Reply*>(reply);  // NOLINT: its opaque name
  std::string_view rest(text);
  for (;;) {
    const std::size_t end = rest.find('\n');
    const std::string line = printable(rest.substr(0, end));
    to.line("{}", line == "." ? ". " : line);
    if (end == std::string_view::npos) return;
    rest.remove_prefix(end + 1);
  }
}

void fill_sizes(lanyard_host& host, bool probing) {
  host.size = sizeof(lanyard_host);
  host.abi = LANYARD_PLUGIN_ABI;
  host.probing = probing ? 1 : 0;
}

void fill_registration(lanyard_host& host) {
  host.add_filter = [](Host* h, const lanyard_filter* f) { return plugin_of(h).add_filter(f); };
  host.add_command = [](Host* h, const lanyard_command* c) { return plugin_of(h).add_command(c); };
  host.add_backend = [](Host* h, const lanyard_backend* b) { return plugin_of(h).add_backend(b); };
  host.add_category = [](Host* h, const lanyard_category* c) {
    return plugin_of(h).add_category(c);
  };
  host.subscribe = [](Host* h, const char* path, void (*told)(void*, const lanyard_event*)) {
    return plugin_of(h).subscribe(path, told);
  };
  host.category_wanted = [](Host* h, int category) {
    return plugin_of(h).category_wanted(category);
  };
  host.tell = [](Host* h, int category, const char* text) { plugin_of(h).tell(category, text); };
  host.log = log_of;
  host.reply = reply_line;
}

void fill_time(lanyard_host& host) {
  host.now_ns = [](Host* h) {
    return static_cast<std::uint64_t>(plugin_of(h).environment().lane.loop().now().count());
  };
  host.add_timer = [](Host* h, std::uint64_t delay, std::uint64_t period, void (*expired)(void*),
                      void* argument) {
    return plugin_of(h).add_timer(delay, period, expired, argument);
  };
  host.remove_timer = [](Host* h, std::uint64_t timer) { plugin_of(h).remove_timer(timer); };
  host.watch_fd = [](Host* h, int fd, std::uint32_t events, void (*ready)(void*, std::uint32_t),
                     void* argument) { return plugin_of(h).watch_fd(fd, events, ready, argument); };
  host.unwatch_fd = [](Host* h, int fd) { plugin_of(h).unwatch_fd(fd); };
}

void fill_frames(lanyard_host& host) {
  host.writable = [](Host* h, lanyard_batch*, std::uint32_t index) {
    return plugin_of(h).writable(index);
  };
  host.hold = [](Host* h, lanyard_batch*, std::uint32_t index) { return plugin_of(h).hold(index); };
  host.copy = [](Host* h, std::uint64_t held) { return plugin_of(h).copy(held); };
  host.release = [](Host* h, std::uint64_t held, int verdict) {
    plugin_of(h).release(held, verdict);
  };
  host.inject = [](Host* h, std::uint16_t port, int direction, const void* data,
                   std::uint32_t length) {
    return plugin_of(h).inject(static_cast<PortId>(port), direction, data, length);
  };
  host.plug = [](Host* h, int port, const lanyard_endpoint* table, void* endpoint,
                 const char* description) {
    return plugin_of(h).plug(port, table, endpoint, description);
  };
  host.unplug = [](Host* h, std::int64_t plug) { plugin_of(h).unplug(plug); };
  host.wake = [](Host* h, std::int64_t plug) { plugin_of(h).wake(plug); };
  host.port_user = [](Host* h, std::uint16_t port) {
    return plugin_of(h).port_user(static_cast<PortId>(port));
  };
  host.port_description = [](Host* h, std::uint16_t port) {
    return plugin_of(h).port_description(static_cast<PortId>(port));
  };
}

}  // namespace

void delete_host_table(lanyard_host* host) {
  delete static_cast<HostTable*>(host);
}

HostTablePointer make_host_table(NativePlugin& plugin) {
  auto table = std::make_unique<HostTable>();
  table->plugin = &plugin;
  fill_sizes(*table, false);
  fill_registration(*table);
  fill_time(*table);
  fill_frames(*table);
  return {table.release(), &delete_host_table};
}

// Every registration succeeds and nothing comes of it.
lanyard_host make_probing_table() {
  lanyard_host host{};
  fill_sizes(host, true);
  host.add_filter = [](Host*, const lanyard_filter*) { return 0; };
  host.add_command = [](Host*, const lanyard_command*) { return 0; };
  host.add_backend = [](Host*, const lanyard_backend*) { return 0; };
  host.add_category = [](Host*, const lanyard_category*) { return 0; };
  host.subscribe = [](Host*, const char*, void (*)(void*, const lanyard_event*)) { return 0; };
  host.category_wanted = [](Host*, int) { return 0; };
  host.tell = [](Host*, int, const char*) {};
  host.log = [](Host*, int, const char*) {};
  host.reply = [](Host*, lanyard_reply*, const char*) {};
  host.now_ns = [](Host*) { return static_cast<std::uint64_t>(monotonic_now().count()); };
  host.add_timer = [](Host*, std::uint64_t, std::uint64_t, void (*)(void*), void*) {
    return std::uint64_t{1};
  };
  host.remove_timer = [](Host*, std::uint64_t) {};
  host.watch_fd = [](Host*, int, std::uint32_t, void (*)(void*, std::uint32_t), void*) {
    return 0;
  };
  host.unwatch_fd = [](Host*, int) {};
  host.writable = [](Host*, lanyard_batch*, std::uint32_t) { return -EPERM; };
  host.hold = [](Host*, lanyard_batch*, std::uint32_t) { return std::uint64_t{0}; };
  host.copy = [](Host*, std::uint64_t) { return std::uint64_t{0}; };
  host.release = [](Host*, std::uint64_t, int) {};
  host.inject = [](Host*, std::uint16_t, int, const void*, std::uint32_t) { return -ENXIO; };
  host.plug = [](Host*, int, const lanyard_endpoint*, void*, const char*) {
    return std::int64_t{-ENXIO};
  };
  host.unplug = [](Host*, std::int64_t) {};
  host.wake = [](Host*, std::int64_t) {};
  host.port_user = [](Host*, std::uint16_t) { return std::int64_t{-1}; };
  host.port_description = [](Host*, std::uint16_t) { return ""; };
  return host;
}

}  // namespace lanyard
