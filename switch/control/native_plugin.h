// SPDX-License-Identifier: MIT
//
// A plugin of our own interface (plugins/lanyard_plugin.h): what it registered, what it holds, and
// the functions that it calls.
//
// What makes it hard: everything it registered must be taken back, whatever state it is in, before
// its code is unmapped; and its functions may be called from within the way of a frame, where
// frames it lets go must wait until that call is over (waiting_). Lane thread only.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plugins/lanyard_plugin.h"
#include "switch/control/plugin.h"

namespace lanyard {

class NativeFilter;
class NativeEndpoint;

// A structure as its maker knew it: what it is shorter than ours is zero. False when it is shorter
// than what there was in the first version of the interface.
template <typename Struct>
bool take_struct(const Struct* given, std::size_t least, Struct& into) {
  if (given == nullptr || given->size < least) return false;
  into = Struct{};
  std::memcpy(&into, given, std::min<std::size_t>(given->size, sizeof into));
  return true;
}

class NativePlugin;

// The table that a plugin gets: functions that ask this plugin's object, or, in a child process,
// functions that do nothing.
void delete_host_table(lanyard_host* host);
using HostTablePointer = std::unique_ptr<lanyard_host, decltype(&delete_host_table)>;
HostTablePointer make_host_table(NativePlugin& plugin);
lanyard_host make_probing_table();

class NativePlugin final : public Plugin {
 public:
  // What the library says it is; an error when it is for another interface.
  static Result<lanyard_plugin> read_table(const Library& library, const std::string& file);
  // In a child process: start and stop with a host that does nothing.
  static Result<void> try_start(const Library& library, const std::string& file);

  NativePlugin(Library library, const lanyard_plugin& table, std::string file,
               PluginEnvironment& environment);
  ~NativePlugin() override;
  NativePlugin(const NativePlugin&) = delete;
  NativePlugin& operator=(const NativePlugin&) = delete;

  // Whether a process before this one had it, and what was said to it will be said again.
  Result<void> start(bool again = false);

  const std::string& name() const override { return name_; }
  const std::string& help() const override { return help_; }
  const std::string& file() const override { return file_; }
  void on_event(const Event& event) override;
  bool wants_mac_events() const override;
  void on_hangup_signal() override;
  std::vector<std::string> commands() const override { return commands_; }

  PluginEnvironment& environment() { return environment_; }
  void* self() const { return self_; }
  void complain(std::string_view what);

  // Held around every call of the plugin's functions.
  class Call {
   public:
    explicit Call(NativePlugin& plugin, bool in_frame_path = false);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    NativePlugin& plugin_;
    bool in_frame_path_;
  };

  // ---- what the plugin asks for (native_host.cpp) ----
  int add_filter(const lanyard_filter* given);
  int add_command(const lanyard_command* given);
  int add_backend(const lanyard_backend* given);
  int add_category(const lanyard_category* given);
  int subscribe(const char* path, void (*told)(void*, const lanyard_event*));
  int category_wanted(int category) const;
  void tell(int category, const char* text);
  std::uint64_t add_timer(std::uint64_t delay_ns, std::uint64_t period_ns, void (*expired)(void*),
                          void* argument);
  void remove_timer(std::uint64_t timer) { timers_.erase(timer); }
  int watch_fd(int fd, std::uint32_t events, void (*ready)(void*, std::uint32_t), void* argument);
  void unwatch_fd(int fd) { watches_.erase(fd); }
  int writable(std::uint32_t index);
  std::uint64_t hold(std::uint32_t index);
  std::uint64_t copy(std::uint64_t held);
  void release(std::uint64_t held, int verdict);
  int inject(PortId port, int direction, const void* data, std::uint32_t length);
  std::int64_t plug(int port, const lanyard_endpoint* given, void* endpoint,
                    const char* description);
  void unplug(std::int64_t plug);
  void wake(std::int64_t plug);
  std::int64_t port_user(PortId port) const;
  const char* port_description(PortId port);

  std::size_t held_frames() const { return held_count_; }

 private:
  friend class NativeFilter;

  struct OwnedRow {  // what rows of the tables refer to
    std::string path;
    std::string synopsis;
    std::string help;
  };
  struct Subscription {
    std::string path;
    void (*told)(void*, const lanyard_event*);
  };
  // A frame outside of the switch: for where it was on its way.
  struct Held {
    Outgoing out;
    PortId port = 0;
    bool egress = false;
    const Filter* behind = nullptr;
    std::uint32_t generation = 1;
    bool used = false;
  };
  struct Timer {
    EventLoop::Timer handle;
    Duration period{0};
  };
  struct Outlet {
    Plug* plug = nullptr;
    NativeEndpoint* endpoint = nullptr;
  };

  void withdraw();
  void call_told(const lanyard_event& event);
  std::uint64_t keep(Held&& held);
  Held* find_held(std::uint64_t number);
  void let_waiting_go();
  void send_on(std::vector<Held>& all, std::size_t first, std::size_t count);
  void expire(std::uint64_t number, void (*expired)(void*), void* argument);

  Library library_;
  lanyard_plugin table_;
  std::string name_;
  std::string help_;
  std::string file_;
  PluginEnvironment& environment_;
  HostTablePointer host_;
  void* self_ = nullptr;
  bool started_ = false;

  std::vector<std::unique_ptr<NativeFilter>> filters_;
  NativeFilter* filtering_ = nullptr;  // whose call we are in
  std::deque<OwnedRow> owned_;
  std::vector<std::string> commands_;
  std::vector<std::string> backends_;
  std::vector<std::size_t> categories_;
  std::vector<Subscription> subscriptions_;
  std::uint64_t next_timer_ = 1;
  std::map<std::uint64_t, Timer> timers_;
  std::map<int, EventLoop::Watch> watches_;
  std::int64_t next_plug_ = 1;
  std::map<std::int64_t, Outlet> outlets_;
  std::vector<Held> held_;
  std::vector<std::uint32_t> free_held_;
  std::size_t held_count_ = 0;
  std::vector<Held> waiting_;  // let go, to be sent on when no call is in the way
  int calls_ = 0;
  bool sending_on_ = false;
  EventLoop::Timer waiting_timer_;
  std::string description_;
  RateLimit complaints_{10, std::chrono::seconds(10)};
};

}  // namespace lanyard
