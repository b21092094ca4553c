// SPDX-License-Identifier: MIT
//
// The life of a plugin of our interface. What it asks for meanwhile is native_requests.cpp.
#include "switch/control/native_plugin.h"

#include <dlfcn.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "switch/control/native_endpoint.h"
#include "switch/control/native_filter.h"

namespace lanyard {
namespace {

constexpr std::size_t kTableLeast = offsetof(lanyard_plugin, stop) + sizeof(lanyard_plugin::stop);

lanyard_event empty_event(const char* path) {
  lanyard_event event{};
  event.size = sizeof event;
  event.path = path;
  event.text = "";
  event.endpoint = -1;
  return event;
}

const char* path_of(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::mac_learned: return "hash/+";
    case Event::Kind::mac_forgotten: return "hash/-";
    case Event::Kind::port_added: return "port/+";
    case Event::Kind::port_emptied: return "port/-";
    case Event::Kind::port_described: return "port/descr";
    case Event::Kind::endpoint_added: return "port/ep/+";
    case Event::Kind::endpoint_removed: return "port/ep/-";
    case Event::Kind::mac_moved: return "hash/move";
    case Event::Kind::link_changed: return "port/link";
    case Event::Kind::tree_heard: return "fstp/+";
    case Event::Kind::tree_silent: return "fstp/-";
    case Event::Kind::tree_status: return "fstp/status";
    case Event::Kind::tree_root: return "fstp/root";
    case Event::Kind::tree_guarded: return "fstp/guard";
    case Event::Kind::guard_dropped: return "guard/drop";
    case Event::Kind::guard_shut: return "guard/shut";
  }
  return nullptr;
}

// A description, a state, a root; of a guard, why it acted.
std::string text_of(const Event& event) {
  const bool guard =
      event.kind == Event::Kind::guard_dropped || event.kind == Event::Kind::guard_shut;
  if (guard && event.why != Drop::none) {
    return std::string(kDropTexts[static_cast<std::size_t>(event.why)].sentence);
  }
  return printable(event.text);
}

}  // namespace

// ---- libraries ----

Result<Library> Library::open(const std::string& path, bool now) {
  if (void* const handle = ::dlopen(path.c_str(), (now ? RTLD_NOW : RTLD_LAZY) | RTLD_LOCAL)) {
    return Library(handle);
  }
  const char* const why = ::dlerror();
  // What is no library at all is as good as not there, to VDE's console.
  return Error{ENOENT, fmt::format("{} cannot be loaded: {}", printable(path),
                                   printable(why != nullptr ? why : "no reason given"))};
}

Library::~Library() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* Library::symbol(const char* name) const {
  return ::dlsym(handle_, name);
}

// ---- a plugin ----

Result<lanyard_plugin> NativePlugin::read_table(const Library& library, const std::string& file) {
  const auto* const given = static_cast<const lanyard_plugin*>(library.symbol("lanyard_plugin"));
  if (given == nullptr) {
    return Error{EINVAL, fmt::format("{} has no symbol lanyard_plugin (or vde_plugin_data): it is "
                                     "no plugin",
                                     printable(file))};
  }
  if (given->abi != LANYARD_PLUGIN_ABI) {
    return Error{EINVAL,
                 fmt::format("{} is for version {} of the plugin interface, this daemon has "
                             "version {}: build it with this version's lanyard_plugin.h",
                             printable(file), given->abi, LANYARD_PLUGIN_ABI)};
  }
  lanyard_plugin table{};
  if (!take_struct(given, kTableLeast, table)) {
    return Error{EINVAL, fmt::format("{}: its table says it has {} bytes, at least {} are needed",
                                     printable(file), given->size, kTableLeast)};
  }
  if (table.name == nullptr || *table.name == '\0' || table.start == nullptr) {
    return Error{EINVAL,
                 fmt::format("{}: its table has no name or no start function", printable(file))};
  }
  return table;
}

Result<void> NativePlugin::try_start(const Library& library, const std::string& file) {
  const Result<lanyard_plugin> table = read_table(library, file);
  if (!table) return table.error();
  const lanyard_host host = make_probing_table();
  void* self = nullptr;
  if (const int error = table.value().start(&host, &self); error < 0) {
    return Error{-error,
                 fmt::format("{} did not start: {}", printable(file), std::strerror(-error))};
  }
  if (table.value().stop != nullptr) table.value().stop(self);
  return {};
}

NativePlugin::NativePlugin(Library library, const lanyard_plugin& table, std::string file,
                           PluginEnvironment& environment)
    : library_(std::move(library)),
      table_(table),
      name_(printable(table.name)),
      help_(printable(table.help != nullptr ? table.help : "")),
      file_(std::move(file)),
      environment_(environment),
      host_(make_host_table(*this)) {}

Result<void> NativePlugin::start(bool again) {
  const Call call(*this);
  host_->again = again ? 1 : 0;
  if (const int error = table_.start(host_.get(), &self_); error < 0) {
    return Error{-error,
                 fmt::format("{} did not start: {}", printable(file_), std::strerror(-error))};
  }
  started_ = true;
  return {};
}

// Nothing leads to the plugin's code any more, but for stop().
void NativePlugin::withdraw() {
  for (const auto& filter : filters_) environment_.bridge.filters().remove(*filter);
  for (const std::string& path : commands_) environment_.commands.remove(path);
  for (const std::string& kind : backends_) environment_.backends.remove(kind);
  for (const std::size_t number : categories_) environment_.hub.remove_category(number);
  subscriptions_.clear();
  timers_.clear();
  watches_.clear();
  for (const auto& [number, outlet] : std::exchange(outlets_, {})) {
    outlet.endpoint->end();
    environment_.lane.close_plug(*outlet.plug, UnplugReason::by_operator);
  }
}

NativePlugin::~NativePlugin() {
  {
    const Call call(*this);
    withdraw();
    if (started_ && table_.stop != nullptr) table_.stop(self_);
    // What it still holds goes nowhere, and is counted.
    for (std::size_t slot = 0; slot < held_.size(); ++slot) {
      if (held_[slot].used)
        release(std::uint64_t{held_[slot].generation} << 32 | slot, LANYARD_DROP);
    }
  }
  if (sending_on_ || waiting_.empty()) return;
  let_waiting_go();
}

void NativePlugin::complain(std::string_view what) {
  if (!complaints_.allow(environment_.lane.loop().now())) return;
  environment_.log.error("plugin {} is taken out of the frames' way: {}", name_, what);
}

NativePlugin::Call::Call(NativePlugin& plugin, bool in_frame_path)
    : plugin_(plugin), in_frame_path_(in_frame_path) {
  ++plugin_.calls_;
}

NativePlugin::Call::~Call() {
  // A call from the frame path keeps frames waiting until the loop is back.
  if (--plugin_.calls_ != 0 || plugin_.waiting_.empty() || plugin_.sending_on_) return;
  if (!in_frame_path_) {
    plugin_.let_waiting_go();
    return;
  }
  if (plugin_.waiting_timer_) return;
  plugin_.waiting_timer_ = plugin_.environment_.lane.loop().after(Duration{0}, [&p = plugin_] {
    p.waiting_timer_.reset();
    p.let_waiting_go();
  });
}

void NativePlugin::call_told(const lanyard_event& event) {
  for (std::size_t i = 0; i < subscriptions_.size(); ++i) {
    if (!std::string_view(event.path).starts_with(subscriptions_[i].path)) continue;
    // The bridge may be anywhere when it reports.
    const Call call(*this, true);
    subscriptions_[i].told(self_, &event);
  }
}

void NativePlugin::on_event(const Event& event) {
  const char* const path = path_of(event.kind);
  if (subscriptions_.empty() || path == nullptr) return;
  lanyard_event told = empty_event(path);
  const std::string text = text_of(event);
  told.port = static_cast<std::uint16_t>(event.port);
  told.vlan = event.vlan;
  told.text = text.c_str();
  told.endpoint = event.endpoint_id;
  const std::uint64_t number = event.mac.number();
  for (int i = 0; i < 6; ++i) {
    told.mac[i] = static_cast<std::uint8_t>(number >> (40 - 8 * i));
  }
  call_told(told);
}

bool NativePlugin::wants_mac_events() const {
  return std::any_of(subscriptions_.begin(), subscriptions_.end(), [](const Subscription& one) {
    return std::string_view("hash/").starts_with(one.path) || one.path.starts_with("hash/");
  });
}

void NativePlugin::on_hangup_signal() {
  call_told(empty_event("sig/hup"));
}

// ---- frames that are let go ----

// Those that are there now: what is added meanwhile waits for the loop, so that a plugin that
// makes a frame of each frame cannot keep us here.
void NativePlugin::let_waiting_go() {
  if (sending_on_) return;
  sending_on_ = true;
  std::vector<Held> batch;
  batch.swap(waiting_);
  std::size_t first = 0;
  while (first < batch.size()) {
    std::size_t count = 1;
    while (first + count < batch.size() && count < FrameBatch::kCapacity &&
           batch[first + count].port == batch[first].port &&
           batch[first + count].egress == batch[first].egress &&
           batch[first + count].behind == batch[first].behind) {
      ++count;
    }
    send_on(batch, first, count);
    first += count;
  }
  sending_on_ = false;
  if (!waiting_.empty() && !waiting_timer_) {
    waiting_timer_ = environment_.lane.loop().after(Duration{0}, [this] {
      waiting_timer_.reset();
      let_waiting_go();
    });
  }
}

// A run of frames for the same place.
void NativePlugin::send_on(std::vector<Held>& all, std::size_t first, std::size_t count) {
  const PortId port = all[first].port;
  const Filter* const behind = all[first].behind;
  if (all[first].egress) {
    EgressBatch batch;
    for (std::size_t i = first; i < first + count; ++i) batch.push(std::move(all[i].out));
    environment_.bridge.resume_egress(port, behind, batch);
  } else {
    FrameBatch batch;
    for (std::size_t i = first; i < first + count; ++i) batch.push(std::move(all[i].out.frame));
    environment_.bridge.resume_ingress(port, behind, batch);
  }
}

}  // namespace lanyard
