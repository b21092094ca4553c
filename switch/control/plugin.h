// SPDX-License-Identifier: MIT
//
// A loaded plugin, of whichever interface, as the host sees it; and what the host lets plugins
// reach. Lane thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/control/command.h"

namespace lanyard {

struct PluginEnvironment {
  Switch& bridge;
  Lane& lane;
  BackendRegistry& backends;
  CommandTable& commands;
  DebugHub& hub;
  Log& log;
};

// A library that dlopen() gave.
class Library {
 public:
  // Looks up all symbols at once when `now`; else each when it is first used.
  static Result<Library> open(const std::string& path, bool now);
  Library(Library&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Library& operator=(Library&&) = delete;
  ~Library();

  void* symbol(const char* name) const;
  // It stays in memory for good.
  void abandon() { handle_ = nullptr; }

 private:
  explicit Library(void* handle) : handle_(handle) {}
  void* handle_;
};

class Plugin {
 public:
  // How many lines of a plugin are kept for a successor.
  static constexpr std::size_t kSaidMax = 4096;

  virtual ~Plugin() = default;
  virtual const std::string& name() const = 0;
  virtual const std::string& help() const = 0;
  virtual const std::string& file() const = 0;
  virtual void on_event(const Event& event) = 0;
  virtual bool wants_mac_events() const = 0;
  virtual void on_hangup_signal() = 0;
  // What consoles listen to has changed.
  virtual void on_debug_changed() {}
  // A console session began or ended.
  virtual void on_console(bool /*began*/, int /*fd*/) {}
  // Tries in a child process whether its end is survived; an error says that it is not.
  virtual Result<void> try_end() { return {}; }
  // Its library shall not be closed when it is destroyed.
  virtual void abandon() {}
  // The commands it brought, by path.
  virtual std::vector<std::string> commands() const = 0;

  // What was said to it that made a difference, in order: who says it again to a fresh one has one
  // like it. The oldest lines are lost past kSaidMax.
  std::vector<std::string> said() const;

 protected:
  // What takes the place of earlier lines: none, those of the same path, the same line.
  enum class Replaces : std::uint8_t { nothing, path, line };
  void note_said(std::string_view path, std::string_view arguments, Replaces replaces);

 private:
  struct Said {
    std::string path;
    std::string arguments;
  };
  std::deque<Said> said_;
};

}  // namespace lanyard
