// SPDX-License-Identifier: MIT
//
// What a plugin asks of the host, checked.
#include <sys/epoll.h>

#include <cerrno>
#include <cstddef>

#include "switch/control/native_endpoint.h"
#include "switch/control/native_filter.h"
#include "switch/control/native_plugin.h"

namespace lanyard {
namespace {

constexpr std::size_t kTimersMax = 4096;
constexpr std::size_t kWatchesMax = 1024;

// Up to the last member of the interface's first version.
constexpr std::size_t kFilterLeast = offsetof(lanyard_filter, frames) + sizeof(void*);
constexpr std::size_t kCommandLeast = offsetof(lanyard_command, run) + sizeof(void*);
constexpr std::size_t kBackendLeast = offsetof(lanyard_backend, open) + sizeof(void*);
constexpr std::size_t kCategoryLeast = offsetof(lanyard_category, help) + sizeof(void*);
constexpr std::size_t kEndpointLeast = offsetof(lanyard_endpoint, close) + sizeof(void*);

std::string text_or_empty(const char* text) {
  return text != nullptr ? printable(text) : std::string();
}

// A word of a table: printable, without blanks.
bool is_word(const char* text) {
  if (text == nullptr || *text == '\0') return false;
  return printable(text) == text && std::string_view(text).find(' ') == std::string_view::npos;
}

}  // namespace

int NativePlugin::add_filter(const lanyard_filter* given) {
  lanyard_filter table{};
  if (!take_struct(given, kFilterLeast, table) || table.frames == nullptr) return -EINVAL;
  if (filtering_ != nullptr) return -EBUSY;
  filters_.push_back(std::make_unique<NativeFilter>(*this, table));
  environment_.bridge.filters().add(*filters_.back());
  return 0;
}

int NativePlugin::add_command(const lanyard_command* given) {
  lanyard_command table{};
  if (!take_struct(given, kCommandLeast, table) || table.run == nullptr) return -EINVAL;
  if (!is_word(table.path)) return -EINVAL;
  // The first row a line begins with runs: it would never be this one.
  if (environment_.commands.match(table.path) != nullptr) return -EEXIST;
  owned_.push_back({table.path, text_or_empty(table.synopsis), text_or_empty(table.help)});
  const OwnedRow& row = owned_.back();
  Command command;
  command.path = row.path;
  command.synopsis = row.synopsis;
  command.help = row.help;
  command.has_data = table.has_data != 0;
  command.run = [this, table, path = std::string_view(row.path)](CommandContext&, Args& args,
                                                                 Reply& reply) -> Result<void> {
    const Call call(*this);
    const std::string arguments(args.rest());
    const int error =
        table.run(self_, arguments.c_str(), reinterpret_cast<lanyard_reply*>(&reply));  // NOLINT
    if (error >= 0) {
      const Replaces replaces = table.effect == LANYARD_SETS ? Replaces::path : Replaces::nothing;
      if (table.effect != LANYARD_SHOWS) note_said(path, arguments, replaces);
      return {};
    }
    return Error{-error, fmt::format("{}: {}", name_, std::strerror(-error))};
  };
  environment_.commands.add(command);
  commands_.push_back(row.path);
  return 0;
}

int NativePlugin::add_backend(const lanyard_backend* given) {
  lanyard_backend table{};
  if (!take_struct(given, kBackendLeast, table) || table.open == nullptr) return -EINVAL;
  if (!is_word(table.kind)) return -EINVAL;
  if (environment_.backends.find(table.kind) != nullptr) return -EEXIST;
  owned_.push_back({table.kind, text_or_empty(table.synopsis), text_or_empty(table.help)});
  const OwnedRow& row = owned_.back();
  Backend backend;
  backend.kind = row.path;
  backend.synopsis = row.synopsis;
  backend.help = row.help;
  backend.open = [this, open = table.open](const BackendOptions& options,
                                           Patchbay&) -> Result<void> {
    std::vector<const char*> pairs;
    for (const auto& [key, value] : options.values()) {
      pairs.push_back(key.c_str());
      pairs.push_back(value.c_str());
    }
    pairs.push_back(nullptr);
    const Call call(*this);
    const int error = open(self_, options.target().c_str(), pairs.data());
    if (error >= 0) return {};
    return Error{-error, fmt::format("{}://{}: {}", options.kind(), printable(options.target()),
                                     std::strerror(-error))};
  };
  environment_.backends.add(backend);
  backends_.push_back(row.path);
  return 0;
}

int NativePlugin::add_category(const lanyard_category* given) {
  lanyard_category table{};
  if (!take_struct(given, kCategoryLeast, table) || !is_word(table.path)) return -EINVAL;
  owned_.push_back({table.path, "", text_or_empty(table.help)});
  const OwnedRow& row = owned_.back();
  const Result<std::size_t> number =
      environment_.hub.add_category({row.path, table.tag & 0777, row.help});
  if (!number) return -number.error().code;
  categories_.push_back(number.value());
  return static_cast<int>(number.value());
}

int NativePlugin::subscribe(const char* path, void (*told)(void*, const lanyard_event*)) {
  if (path == nullptr || told == nullptr) return -EINVAL;
  subscriptions_.push_back({path, told});
  environment_.hub.refresh();
  return 0;
}

int NativePlugin::category_wanted(int category) const {
  const auto number = static_cast<std::size_t>(category);
  if (std::find(categories_.begin(), categories_.end(), number) == categories_.end()) return 0;
  return environment_.hub.is_wanted(number) ? 1 : 0;
}

void NativePlugin::tell(int category, const char* text) {
  const auto number = static_cast<std::size_t>(category);
  if (std::find(categories_.begin(), categories_.end(), number) == categories_.end()) return;
  environment_.hub.tell(number, text_or_empty(text));
}

// ---- timers and descriptors ----

std::uint64_t NativePlugin::add_timer(std::uint64_t delay_ns, std::uint64_t period_ns,
                                      void (*expired)(void*), void* argument) {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 62;
  if (expired == nullptr || timers_.size() >= kTimersMax) return 0;
  const std::uint64_t number = next_timer_++;
  Timer timer;
  timer.period = Duration(static_cast<std::int64_t>(std::min(period_ns, kLongest)));
  const Duration delay(static_cast<std::int64_t>(std::min(delay_ns, kLongest)));
  const auto ends = [this, number, expired, argument] { expire(number, expired, argument); };
  EventLoop& loop = environment_.lane.loop();
  timer.handle = period_ns == 0 ? loop.exactly_after(delay, ends) : loop.prepare(ends);
  if (period_ns != 0) timer.handle.hurry(delay);
  timers_.emplace(number, std::move(timer));
  return number;
}

void NativePlugin::expire(std::uint64_t number, void (*expired)(void*), void* argument) {
  const auto found = timers_.find(number);
  if (found == timers_.end()) return;
  // First of all, for what runs now may end it; and without memory, or it would be the last time.
  const Duration period = found->second.period;
  if (period == Duration{0}) {
    timers_.erase(found);
  } else {
    found->second.handle.hurry(period);
  }
  const Call call(*this);
  expired(argument);
}

int NativePlugin::watch_fd(int fd, std::uint32_t events, void (*ready)(void*, std::uint32_t),
                           void* argument) {
  if (fd < 0 || ready == nullptr) return -EINVAL;
  if (const auto known = watches_.find(fd); known != watches_.end()) {
    known->second.set_events(events);
    return 0;
  }
  if (watches_.size() >= kWatchesMax) return -ENOSPC;
  Result<EventLoop::Watch> watch =
      environment_.lane.loop().watch(fd, events, [this, ready, argument](std::uint32_t happened) {
        const Call call(*this);
        ready(argument, happened);
      });
  if (!watch) return -watch.error().code;
  watches_.emplace(fd, watch.take());
  return 0;
}

// ---- frames ----

int NativePlugin::writable(std::uint32_t index) {
  return filtering_ != nullptr ? filtering_->writable(index) : -EPERM;
}

std::uint64_t NativePlugin::hold(std::uint32_t index) {
  if (filtering_ == nullptr || held_count_ >= LANYARD_HELD_MAX) return 0;
  Held held;
  held.out = filtering_->take(index);
  if (!held.out.frame) return 0;
  held.port = filtering_->port();
  held.egress = filtering_->is_egress();
  held.behind = filtering_;
  return keep(std::move(held));
}

std::uint64_t NativePlugin::keep(Held&& held) {
  if (free_held_.empty()) {
    free_held_.push_back(static_cast<std::uint32_t>(held_.size()));
    held_.emplace_back();
  }
  const std::uint32_t slot = free_held_.back();
  free_held_.pop_back();
  held.generation = held_[slot].generation;
  held.used = true;
  held_[slot] = std::move(held);
  ++held_count_;
  return std::uint64_t{held_[slot].generation} << 32 | slot;
}

NativePlugin::Held* NativePlugin::find_held(std::uint64_t number) {
  const auto slot = static_cast<std::size_t>(number & 0xffffffff);
  if (slot >= held_.size() || !held_[slot].used) return nullptr;
  return held_[slot].generation == number >> 32 ? &held_[slot] : nullptr;
}

std::uint64_t NativePlugin::copy(std::uint64_t number) {
  const Held* const held = find_held(number);
  if (held == nullptr || held_count_ >= LANYARD_HELD_MAX) return 0;
  Held other;
  other.out = held->out.share();
  other.port = held->port;
  other.egress = held->egress;
  other.behind = held->behind;
  return keep(std::move(other));
}

void NativePlugin::release(std::uint64_t number, int verdict) {
  Held* const held = find_held(number);
  if (held == nullptr) return;
  held->used = false;
  // Never 0, so that no number of a held frame is.
  if (++held->generation == 0) held->generation = 1;
  free_held_.push_back(static_cast<std::uint32_t>(number & 0xffffffff));
  --held_count_;
  if (verdict == LANYARD_PASS) {
    Held gone;
    gone.out = std::move(held->out);
    gone.port = held->port;
    gone.egress = held->egress;
    gone.behind = held->behind;
    waiting_.push_back(std::move(gone));
    return;
  }
  held->out = {};
  Port* const port = environment_.bridge.port(held->port);
  if (port == nullptr) return;
  if (held->egress) {
    ++port->counters.offered;
    port->counters.drops.count(Drop::filtered_out);
  } else {
    ++port->counters.received;
    port->counters.drops.count(Drop::filtered);
  }
}

int NativePlugin::inject(PortId port, int direction, const void* data, std::uint32_t length) {
  if (direction != LANYARD_INGRESS && direction != LANYARD_EGRESS) return -EINVAL;
  if (data == nullptr || length < kEthernetHeaderSize) return -EINVAL;
  if (length > kMaxFrameSize) return -EMSGSIZE;
  if (environment_.bridge.port(port) == nullptr) return -ENXIO;
  if (waiting_.size() >= LANYARD_HELD_MAX) return -ENOBUFS;
  FrameRef frame = environment_.lane.pool().make();
  std::uint8_t* const bytes = frame->segments[0].data;
  std::memcpy(bytes, data, length);
  frame->set_bytes(bytes, length);
  Held made;
  made.out.set_untagged(std::move(frame));
  made.port = port;
  made.egress = direction == LANYARD_EGRESS;
  waiting_.push_back(std::move(made));
  return 0;
}

// ---- endpoints ----

std::int64_t NativePlugin::plug(int port, const lanyard_endpoint* given, void* endpoint,
                                const char* description) {
  lanyard_endpoint table{};
  if (!take_struct(given, kEndpointLeast, table)) return -EINVAL;
  if (table.receive == nullptr || table.transmit == nullptr) return -EINVAL;
  PlugRequest request;
  if (port >= 0) request.port = static_cast<PortId>(port);
  request.traits.module = "plugin";
  request.traits.description = text_or_empty(description);
  const Result<PortId> reserved = environment_.lane.reserve(request);
  if (!reserved) return -reserved.error().code;
  auto made = std::make_unique<NativeEndpoint>(
      *this, table, endpoint, fmt::format("{} {}", name_, request.traits.description));
  Outlet outlet;
  outlet.endpoint = made.get();
  const std::int64_t number = next_plug_++;
  // Whoever ends the plug: the plugin hears of it from its endpoint.
  Result<Plug*> plugged = environment_.lane.plug(
      reserved.value(), std::move(made), request.traits, [this, number](UnplugReason) {
        const auto gone = outlets_.find(number);
        if (gone == outlets_.end()) return;
        NativeEndpoint* const ended = gone->second.endpoint;
        outlets_.erase(gone);
        ended->end();
      });
  if (!plugged) return -plugged.error().code;
  outlet.plug = plugged.value();
  outlets_.emplace(number, outlet);
  return number;
}

void NativePlugin::unplug(std::int64_t plug) {
  const auto found = outlets_.find(plug);
  if (found == outlets_.end()) return;
  const Outlet outlet = found->second;
  outlets_.erase(found);
  outlet.endpoint->end();
  environment_.lane.unplug(*outlet.plug);
}

void NativePlugin::wake(std::int64_t plug) {
  const auto found = outlets_.find(plug);
  if (found != outlets_.end()) environment_.lane.wake(*found->second.plug);
}

std::int64_t NativePlugin::port_user(PortId id) const {
  const Port* const port = environment_.bridge.port(id);
  return port == nullptr || port->current_user == kNoUser ? -1 : std::int64_t{port->current_user};
}

const char* NativePlugin::port_description(PortId id) {
  const Port* const port = environment_.bridge.port(id);
  description_.clear();
  if (port != nullptr && port->active()) {
    description_ = printable(port->plugs().back()->traits().description);
  }
  return description_.c_str();
}

}  // namespace lanyard
