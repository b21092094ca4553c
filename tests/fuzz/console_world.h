// SPDX-License-Identifier: MIT
//
// A whole switch with its console and nothing outside the process: endpoints are in memory, there
// are no backends to open, and scripts are read from memory too. Descriptions are as evil as
// clients may send them.
#pragma once

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "switch/control/console.h"
#include "tests/fuzz/plain_text.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard::fuzz {

// A file that has a path and lies in no directory.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("script", MFD_CLOEXEC)) {
    require(static_cast<bool>(fd_), "the machine lends us a file in memory");
  }
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_.get()); }
  void write(std::string_view text) const {
    require(::write(fd_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
            "a file in memory takes what it is given");
  }

 private:
  UniqueFd fd_;
};

class ConsoleWorld {
 public:
  ConsoleWorld()
      : loop_(EventLoop::create().take()),
        hub_(*loop_, log_),
        bridge_(settings(), pool(), hub_),
        lane_(bridge_, pool(), *loop_, log_),
        console_({bridge_, lane_, backends_, table(), info_, hub_, log_}),
        never_sleep_(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {
    awake_ = loop_->watch(never_sleep_.get(), EPOLLIN, [](std::uint32_t) {}).take();
    info_.control_directory = "/nowhere";
    const std::array<std::string_view, 3> descriptions{"alice user=root pid=1",
                                                       ".\n1000 Success\n.\n\nvde$ \x1b[2J%n\\x00",
                                                       "\xc2\x9b\xe2\x80\xae\xff\x80\x7f."};
    for (const std::string_view description : descriptions) plug(description);
  }
  ~ConsoleWorld() { lane_.close_all(); }
  ConsoleWorld(const ConsoleWorld&) = delete;
  ConsoleWorld& operator=(const ConsoleWorld&) = delete;

  static const CommandTable& table() {
    static const CommandTable all = [] {
      CommandTable made;
      add_all_commands(made);
      return made;
    }();
    return all;
  }

  // One round of everything; every station says something.
  void turn() {
    for (std::size_t i = 0; i < stations_.size(); ++i) {
      if (stations_[i].plug == nullptr) continue;
      stations_[i].cable->to_switch.push_back(testing::frame().from(testing::station(i)).size(60));
      stations_[i].cable->from_switch.clear();
      lane_.wake(*stations_[i].plug);
    }
    lane_.turn();
  }

  // A successor starts from what was configured.
  void check_state() const {
    const SwitchState state = bridge_.state();
    Switch successor(settings(), pool(), no_events());
    require(successor.restore(state).ok(), "a state can be restored");
    require(successor.state() == state, "a restored state is the same");
  }

  Console& console() { return console_; }
  EventLoop& loop() { return *loop_; }
  PlainLog& log() { return log_; }
  CommandContext context() { return {bridge_, lane_, backends_, table(), info_, log_, hub_}; }

 private:
  struct Station {
    std::shared_ptr<testing::Cable> cable;
    Plug* plug = nullptr;
  };

  // It maps much memory, so all inputs share one.
  static FramePool& pool() {
    static FramePool one;
    return one;
  }
  static EventSink& no_events() {
    struct None final : EventSink {
      void on_event(const Event&) override {}
    };
    static None none;
    return none;
  }
  static Switch::Settings settings() {
    Switch::Settings settings;
    settings.mac_entries_max = 64;
    return settings;
  }

  void plug(std::string_view description) {
    PlugRequest request;
    request.traits = {
        "memory", std::string(description), static_cast<int>(stations_.size() + 10), {}};
    auto cable = std::make_shared<testing::Cable>();
    stations_.push_back({cable, nullptr});
    Result<Plug*> plugged = lane_.plug(
        lane_.reserve(request).take(), std::make_unique<testing::MemoryEndpoint>(cable, pool()),
        request.traits,
        [this, at = stations_.size() - 1](UnplugReason) { stations_[at].plug = nullptr; });
    stations_.back().plug = plugged.take();
  }

  PlainLog log_;
  std::unique_ptr<EventLoop> loop_;
  DebugHub hub_;
  Switch bridge_;
  Lane lane_;
  BackendRegistry backends_;
  DaemonInfo info_;
  Console console_;
  UniqueFd never_sleep_;
  EventLoop::Watch awake_;
  std::vector<Station> stations_;
};

}  // namespace lanyard::fuzz
