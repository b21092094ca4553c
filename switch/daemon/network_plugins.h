// SPDX-License-Identifier: MIT
//
// The plugins of one network, as its configuration lists them: each text is a plugin and what is
// said to it. The switch of a network has no console; so the plugins' commands are a table of their
// own, and the kinds of endpoints that one brings are nobody's to plug in.
//
// What makes it hard: a plugin can fail at its last command, and then all must be as it was before
// anything was unloaded. So what stays the same is not touched, what is new is loaded behind what
// goes, and after a failure the old ones are loaded again; no frame moves meanwhile. Lane thread
// only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/control/plugin_host.h"
#include "switch/control/rpc_host.h"

namespace lanyard {

class NetworkPlugins {
 public:
  NetworkPlugins(std::string network, Switch& bridge, Lane& lane, const BackendRegistry& backends,
                 Log& log);

  // These, and what is new behind what was there; or those of before, with all that was said to
  // them, and an error.
  Result<void> change_to(const std::vector<std::string>& texts);
  // Whether those that are not loaded could be, as far as a child process can tell.
  Result<void> rehearse(const std::vector<std::string>& texts) const;

  // Parts of the kind "plugin"; and how a successor has the same again. Those that cannot be had
  // are logged.
  std::vector<HandoverPart> handover() const;
  void resume(const std::vector<std::string>& texts, const std::vector<HandoverPart>& parts);

  std::vector<RpcPlugin> rows() const;
  // The text of the plugin of that name; null when there is none.
  const std::string* find_text(std::string_view name) const;
  // Runs a command of whichever plugin has it.
  Result<std::string> say(std::string_view line);

  void on_event(const Event& event) { host_.on_event(event); }
  bool wants_mac_events() const { return hub_.wants_mac_events(); }
  void on_hangup_signal() { host_.on_hangup_signal(); }

 private:
  // With the network's name before each line.
  class NamedLog final : public Log {
   public:
    NamedLog(Log& log, std::string name) : log_(log), name_(std::move(name)) {}
    void write(LogLevel level, std::string_view line) override {
      log_.write(level, fmt::format("network {}: {}", name_, line));
    }

   private:
    Log& log_;
    std::string name_;
  };
  struct Loaded {
    std::string text;
    const Plugin* plugin = nullptr;
  };

  Result<void> load(const std::string& text);
  Result<void> load_again(const HandoverPart& part);
  void unload(const std::string& text);
  const Loaded* find(std::string_view text) const;
  Error named(const Error& error) const;

  std::string network_;
  NamedLog log_;
  DebugHub hub_;
  CommandTable commands_;
  BackendRegistry backends_;
  PluginHost host_;
  std::vector<Loaded> loaded_;  // in the order of loading
};

}  // namespace lanyard
