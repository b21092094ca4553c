// SPDX-License-Identifier: MIT
//
// Plugins compiled for vde_switch, as they are in the vde2 package: a library with a data symbol
// `vde_plugin_data`, whose constructor registers commands, debug categories and event handlers by
// calling functions of the program that loads it (vde_symbols.cpp; the program exports exactly
// those, see plugins/vde_symbols.list).
//
// What makes it hard: that interface has no version, no size and no context argument. So which
// plugin calls is known only by which one we are calling (VdePlugin::Running), and the functions
// find us by the one global pointer of the program, set while a host exists. The original's faults
// are not kept: its table of handlers overflows at the fifth, arguments get lost, and a plugin
// that is unloaded is still called. Here what a plugin registered belongs to it and ends with it.
// Lane thread only.
#pragma once

#include <array>
#include <cstdarg>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "switch/bridge/filter.h"
#include "switch/control/plugin.h"

namespace lanyard {

// The structures of vde_switch's plugin interface, as LP64 lays them out.
struct VdeCommand {
  char* path;
  char* syntax;
  char* help;
  int (*run)();
  unsigned char type;
  VdeCommand* next;
};
struct VdeCategory {
  char* path;
  char* help;  // null: an event nobody can listen to on a console
  int tag;
  int* fds;
  int (**handlers)(VdeCategory*, void*, va_list);
  void** arguments;
  unsigned short fd_count;       // plugins speak only when this is not 0
  unsigned short handler_count;  // likewise
  unsigned short fds_max;
  unsigned short handlers_max;
  VdeCategory* next;
};
struct VdePluginData {
  char* name;
  char* help;
  void* handle;
  VdePluginData* next;
};
static_assert(sizeof(void*) != 8 || (sizeof(VdeCommand) == 48 && sizeof(VdeCategory) == 64));
using VdeHandler = int (*)(VdeCategory*, void*, va_list);

class VdePlugins;

class VdePlugin final : public Plugin, public Filter {
 public:
  VdePlugin(VdePlugins& all, std::string file, PluginEnvironment& environment);
  ~VdePlugin() override;

  // Loads the library, whose constructor then calls us. False: it is no such plugin.
  Result<bool> open();

  const std::string& name() const override { return name_; }
  const std::string& help() const override { return help_; }
  const std::string& file() const override { return file_; }
  void on_event(const Event& event) override;
  bool wants_mac_events() const override;
  void on_hangup_signal() override;
  void on_debug_changed() override;
  void on_console(bool began, int fd) override;
  Result<void> try_end() override;
  void abandon() override;
  std::vector<std::string> commands() const override;

  void ingress(PortId in, std::span<FrameRef> frames, std::span<Verdict> verdicts) override;
  void egress(PortId out, std::span<Outgoing> frames, std::span<Verdict> verdicts) override;

  // ---- what it asks for (vde_symbols.cpp) ----
  void add_command(const VdeCommand& row);
  void remove_command(const VdeCommand& row);
  void add_category(VdeCategory& row);
  void remove_category(VdeCategory& row);
  bool tell(const VdeCategory& row, std::string_view text);  // false: not its category
  int add_handler(VdeHandler handler, std::string_view path, void* argument);
  int remove_handler(VdeHandler handler, std::string_view path, const void* argument);
  int add_timer(Duration period, int times, void (*expired)(void*), void* argument);
  void remove_timer(int number) { timers_.erase(number); }
  int fire(VdeCategory& event, va_list arguments);
  bool hears(std::string_view path) const;
  void count_handlers();

 private:
  class Running;

  struct Row {
    const VdeCommand* given;
    std::unique_ptr<std::array<std::string, 3>> text;  // path, syntax, help
  };
  struct Category {
    VdeCategory* given;
    std::unique_ptr<std::array<std::string, 2>> text;  // path, help
    std::size_t number = 0;
    bool listed = false;
  };
  struct Handler {
    VdeHandler run;
    std::string path;
    void* argument;
  };
  struct Timer {
    EventLoop::Timer handle;
    int left = 0;  // 0: for ever
  };

  Result<void> run_command(const VdeCommand& row, Args& args, Reply& reply);
  int call(VdeCategory* event, ...);
  Verdict judge(VdeCategory& event, PortId port, FrameRef& frame, std::size_t size);
  void end_registrations();
  void update_filter();

  VdePlugins& all_;
  std::string file_;
  PluginEnvironment& environment_;
  std::unique_ptr<Library> library_;
  std::string name_;
  std::string help_;
  std::vector<Row> commands_;
  std::vector<Category> categories_;
  std::vector<Handler> handlers_;
  std::map<int, Timer> timers_;
  int next_timer_ = 1;
  bool filtering_ = false;
  std::vector<std::uint8_t> scratch_;
};

class VdePlugins {
 public:
  explicit VdePlugins(PluginEnvironment& environment);
  ~VdePlugins();
  VdePlugins(const VdePlugins&) = delete;
  VdePlugins& operator=(const VdePlugins&) = delete;

  static bool is_one(const Library& library) {
    return library.symbol("vde_plugin_data") != nullptr;
  }
  // From now on plugins' calls have no effect: in a child process that only tries.
  static void stand_aside();
  // The one that plugins' calls are for; null when there is none.
  static VdePlugins* active();

  // Null when the file is no such plugin.
  Result<std::unique_ptr<Plugin>> load(const std::string& file);

  VdePlugin* running() const { return running_; }
  const std::vector<VdePlugin*>& plugins() const { return plugins_; }
  PluginEnvironment& environment() { return environment_; }
  std::function<void(UniqueFd)> console_opener;
  // A place for a text that a plugin may read for some calls more: the interface does not say how
  // long it must stay.
  std::string& next_text() { return texts_[next_text_++ % texts_.size()]; }

 private:
  friend class VdePlugin;

  PluginEnvironment& environment_;
  VdePlugin* running_ = nullptr;
  std::vector<VdePlugin*> plugins_;
  std::array<std::string, 8> texts_;
  std::size_t next_text_ = 0;
};

// The events that the switch itself has, by path; null when there is none such.
VdeCategory* vde_event(std::string_view path);

}  // namespace lanyard
