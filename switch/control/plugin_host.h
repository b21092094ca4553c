// SPDX-License-Identifier: MIT
//
// The plugins of one switch: finds, tries, loads, lists and unloads them, whichever of the two
// interfaces they are of: ours (plugins/lanyard_plugin.h) or vde_switch's. Lane thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/control/plugin.h"
#include "switch/control/vde_plugins.h"

namespace lanyard {

// Plugins of vde_switch know one switch a process, so where there are several only ours are loaded.
enum class PluginKinds : std::uint8_t { all, ours };

class PluginHost final : public EventSink {
 public:
  explicit PluginHost(PluginEnvironment environment, PluginKinds kinds = PluginKinds::all);
  ~PluginHost() override;
  PluginHost(const PluginHost&) = delete;
  PluginHost& operator=(const PluginHost&) = delete;

  // A file, or a name in one of the places. The codes are those of VDE's console: ENOENT no such
  // file, EEXIST loaded already, EINVAL no plugin.
  Result<void> add(std::string_view name);
  // Whether add() would find it, and a child process survive it. Loads nothing.
  static Result<void> rehearse(std::string_view name, PluginKinds kinds);
  // The first one whose name begins so. ENOENT.
  Result<void> remove(std::string_view prefix);
  // This one.
  void remove(const Plugin& plugin);
  // Runs a command of this plugin; EINVAL when it has no such command. An error holds what the
  // reply said.
  Result<void> say(const Plugin& plugin, std::string_view line, Reply& reply);

  // A plugin with what was said to it, for a successor process; all; and how that has one again.
  static HandoverPart handover(const Plugin& plugin);
  std::vector<HandoverPart> handover() const;
  Result<void> adopt(const HandoverPart& part);
  // In the order in which they were loaded.
  const std::vector<std::unique_ptr<Plugin>>& plugins() const { return plugins_; }

  void on_event(const Event& event) override;
  bool wants_mac_events() const override;
  void on_hangup_signal();
  void on_console(bool began, int fd);
  // Who serves a console on a descriptor that a plugin brings.
  void set_console_opener(std::function<void(UniqueFd)> opener);

 private:
  static Result<std::string> find(std::string_view name, PluginKinds kinds);
  static Result<void> try_out(const std::string& file, PluginKinds kinds);
  Result<std::unique_ptr<Plugin>> load(const std::string& file);
  void end(std::unique_ptr<Plugin> plugin);

  PluginEnvironment environment_;
  PluginKinds kinds_;
  std::optional<VdePlugins> vde_;  // where such are loaded
  DaemonInfo no_info_;             // of which no plugin's command makes use
  bool adopting_ = false;
  std::vector<std::unique_ptr<Plugin>> plugins_;
};

}  // namespace lanyard
