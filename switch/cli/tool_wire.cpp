// SPDX-License-Identifier: MIT
#include "switch/cli/tool_wire.h"

#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

Switch::Settings two_ports() {
  Switch::Settings settings;
  settings.ports_max = ToolWire::kRight;
  settings.mac_entries_max = 16;  // a hub learns nothing
  return settings;
}

}  // namespace

void ToolLog::write(LogLevel level, std::string_view line) {
  if (quiet_ && level > LogLevel::warning) return;
  std::fputs(fmt::format("lanyard {}: {}\n", tool_, line).c_str(), stderr);
}

ToolWire::ToolWire(EventLoop& loop, Log& log)
    : switch_(two_ports(), pool_, events_), lane_(switch_, pool_, loop, log) {
  switch_.pass_tags_by_default = true;
  switch_.set_hub(true);
}

Result<void> ToolWire::open(const BackendOptions& address, PortId port) {
  BackendRegistry registry;
  register_builtin_backends(registry);
  BackendOptions options = address;
  options.set("port", fmt::format("{}", port));
  return registry.open(options, lane_);
}

bool ToolWire::carries(PortId id) const {
  const Port* const port = switch_.port(id);
  return port != nullptr && port->active();
}

bool ToolWire::has_ended(PortId id) const {
  const Port* const port = switch_.port(id);
  return port == nullptr || (!port->active() && !port->reserved);
}

Result<void> stop_at_signals(EventLoop& loop, UniqueFd& signals, EventLoop::Watch& watch) {
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&handled, number);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  signals.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error{errno, fmt::format("signalfd: {}", std::strerror(errno))};
  Result<EventLoop::Watch> made =
      loop.watch(signals.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); });
  if (!made) return made.error();
  watch = made.take();
  return {};
}

}  // namespace lanyard
